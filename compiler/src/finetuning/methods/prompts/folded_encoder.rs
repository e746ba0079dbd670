//! The layers of an encoder, computed once, where nodes do not have to.

/// Numbers as 64-bit floats.
pub(in super::super) fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|value| f64::from(*value)).collect()
}

/// x·W + b, W `[inputs, made]`.
pub(in super::super) struct Linear {
    /// W.
    pub(in super::super) weight: Vec<f32>,
    /// b.
    pub(in super::super) bias: Vec<f32>,
    /// Numbers that it makes.
    pub(in super::super) made: usize,
}

impl Linear {
    /// Of a row.
    pub(in super::super) fn of(&self, row: &[f64]) -> Vec<f64> {
        let mut made = wide(&self.bias);
        for (value, weights) in row.iter().zip(self.weight.chunks(self.made)) {
            made.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * f64::from(*weight));
        }
        made
    }
}

/// An LSTM in both directions as ONNX has it: W `[2, 4·hidden, inputs]`, R `[2, 4·hidden, hidden]`, biases of both
/// `[2, 8·hidden]`; gates i, o, f and g.
pub(super) struct Recurrent {
    pub(super) weight: Vec<f32>,
    pub(super) recurrence: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) hidden: usize,
}

impl Recurrent {
    /// Of one sequence: the states of both directions at each of its entries, `2·hidden`.
    pub(super) fn of(&self, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut made = vec![Vec::new(); rows.len()];
        for direction in 0..2 {
            let (mut state, mut cell) = (vec![0.0; self.hidden], vec![0.0; self.hidden]);
            let mut places: Vec<usize> = (0..rows.len()).collect();
            if direction == 1 {
                places.reverse();
            }
            for place in places {
                self.step(direction, &rows[place], (&mut state, &mut cell));
                made[place].extend_from_slice(&state);
            }
        }
        made
    }

    fn step(&self, direction: usize, row: &[f64], (state, cell): (&mut Vec<f64>, &mut [f64])) {
        let hidden = self.hidden;
        let gates = 4 * hidden;
        let product = |weights: &[f32], gate: usize, row: &[f64]| -> f64 {
            let from = (direction * gates + gate) * row.len();
            weights[from..from + row.len()].iter().zip(row).map(|(weight, value)| f64::from(*weight) * value).sum()
        };
        let bias = |gate: usize| {
            let from = direction * 2 * gates + gate;
            f64::from(self.bias[from]) + f64::from(self.bias[from + gates])
        };
        let gate = |gate: usize| product(&self.weight, gate, row) + product(&self.recurrence, gate, state) + bias(gate);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut next = Vec::with_capacity(hidden);
        for (at, cell) in cell.iter_mut().enumerate() {
            let [i, o, f, g] = [0, 1, 2, 3].map(|part| gate(part * hidden + at));
            *cell = sigmoid(f) * *cell + sigmoid(i) * g.tanh();
            next.push(sigmoid(o) * cell.tanh());
        }
        *state = next;
    }
}
