//! Steps relative to the size of the weights, divided by second moments of rows and columns.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, between, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::norms::{sum_of_squares, sum_of_squares_nodes};
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateStart, StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adafactor",
    summary: "Steps relative to the size of the weights, divided by second moments of rows and columns.",
    documentation: "Shazeer and Stern, \"Adafactor: Adaptive Learning Rates with Sublinear Memory Cost\" (2018), as PyTorch's \
        `Adafactor` computes it. Of a weight with two axes or more it remembers a number a row and a number a column of its last \
        two axes, not one a weight: r ← r + w·(mean over columns of g² − r) and c alike, with w = t^`beta2_decay` at step t \
        (from 1); v = r·c / max(mean(r), ε₁). Of a vector v ← v + w·(g² − v). u = g/√max(v, ε₁²), divided by \
        max(1, RMS(u)/`clip_threshold`); θ ← θ·(1 − η·λ) − ρ·max(ε₂, RMS(θ))·u with ρ = min(η, 1/√t). Without \
        `scale_by_parameter` the step is ρ·u. With `momentum`, as in transformers' `Adafactor`, b ← β·b + (1 − β)·step and b is \
        the step. Biases and other vectors do not decay.",
    samples: &[
        "{}",
        r#"{"learning_rate": 0.001, "scale_by_parameter": false, "weight_decay": 0.1}"#,
        r#"{"momentum": 0.9, "beta2_decay": -0.5, "clip_threshold": 2, "epsilon2": 0.01}"#,
    ],
    learning_rate: 1e-2,
    build: Build::of::<Adafactor>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Adafactor {
    /// Share of a new squared gradient in its mean at step t is t to this power, -1 to 0.
    #[schemars(range(min = -1, max = 0))]
    beta2_decay: f64,
    /// Least mean of the second moments of rows, and least root of a second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon1: f64,
    /// Least root mean square of a parameter that its step is relative to; where it is zero, say.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon2: f64,
    /// Largest root mean square of an update before it is multiplied by its rate, 1 or more.
    #[schemars(range(min = 1))]
    clip_threshold: f64,
    /// Whether steps are relative to the root mean square of the parameter.
    scale_by_parameter: bool,
    /// Share of the last step that is kept, 0 to below 1; above 0 one more number is remembered of each weight.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    momentum: f64,
    /// Pull towards zero, times the learning rate, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
}

impl Default for Adafactor {
    fn default() -> Self {
        Self {
            beta2_decay: -0.8,
            epsilon1: f64::from(f32::EPSILON),
            epsilon2: 1e-3,
            clip_threshold: 1.0,
            scale_by_parameter: true,
            momentum: 0.0,
            weight_decay: 0.0,
        }
    }
}

impl Options for Adafactor {
    fn validate(&self) -> Result<(), String> {
        between("beta2_decay", self.beta2_decay, -1.0, 0.0)?;
        above("epsilon1", self.epsilon1)?;
        above("epsilon2", self.epsilon2)?;
        if !(self.clip_threshold.is_finite() && self.clip_threshold >= 1.0) {
            return Err(format!("clip_threshold is a finite number of 1 or more, got {}", self.clip_threshold));
        }
        share("momentum", self.momentum)?;
        at_least("weight_decay", self.weight_decay)
    }
}

/// The second moments of one matrix: those of its rows, divided by their mean, and those of its columns.
struct Factored<'a> {
    rows: &'a [f32],
    columns: &'a [f32],
    mean: f32,
}

impl Factored<'_> {
    fn at(&self, place: usize) -> f32 {
        self.rows[place / self.columns.len()] / self.mean * self.columns[place % self.columns.len()]
    }
}

fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64) as f32
}

fn root_mean_square(values: &[f32]) -> f32 {
    (sum_of_squares(values) / values.len().max(1) as f64).sqrt() as f32
}

impl Adafactor {
    /// ε₁², as a float that is not 0.
    fn least_square(&self) -> f32 {
        ((self.epsilon1 * self.epsilon1) as f32).max(f32::MIN_POSITIVE)
    }

    /// Takes a gradient into the second moments, and gives the gradient over their root.
    fn direction(&self, new: f32, shape: &[usize], gradient: &[f32], state: &mut [StateValues]) -> Vec<f32> {
        let (epsilon, least) = (self.epsilon1 as f32, self.least_square());
        let over_root = |gradient: f32, square: f32| gradient / square.max(least).sqrt();
        let [.., rows, columns] = *shape else {
            let moments = gradient.iter().zip(state[0].floats_mut());
            let directions = moments.map(|(gradient, square)| {
                *square += new * (gradient * gradient - *square);
                over_root(*gradient, *square)
            });
            return directions.collect();
        };
        let [of_rows, of_columns] = floats(state);
        let moments = of_rows.chunks_mut(rows.max(1)).zip(of_columns.chunks_mut(columns.max(1)));
        let mut directions = Vec::with_capacity(gradient.len());
        for (gradient, (of_rows, of_columns)) in gradient.chunks((rows * columns).max(1)).zip(moments) {
            let mut sums = vec![0.0_f64; columns];
            for (row, moment) in gradient.chunks(columns).zip(of_rows.iter_mut()) {
                for (value, sum) in row.iter().zip(&mut sums) {
                    *sum += f64::from(*value) * f64::from(*value);
                }
                *moment += new * ((sum_of_squares(row) / columns as f64) as f32 - *moment);
            }
            for (moment, sum) in of_columns.iter_mut().zip(sums) {
                *moment += new * ((sum / rows as f64) as f32 - *moment);
            }
            let squares = Factored { mean: mean(of_rows).max(epsilon), rows: of_rows, columns: of_columns };
            directions.extend(gradient.iter().enumerate().map(|(at, value)| over_root(*value, squares.at(at))));
        }
        directions
    }

    /// The same as nodes, and the new second moments.
    fn direction_nodes(
        &self,
        graph: &mut Graph,
        inputs: &NodeInputs<'_>,
    ) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let new = inputs.coefficients[2];
        let square = graph.times(inputs.gradient, inputs.gradient)?;
        let taken_in = |graph: &mut Graph, moment: ValueId, square: ValueId| {
            let difference = graph.minus(square, moment)?;
            let change = graph.times(difference, new)?;
            graph.plus(moment, change)
        };
        let (squares, moments) = if inputs.facts.shape.len() > 1 {
            let mean = graph.reduce_mean(square, &[-1])?;
            let of_rows = taken_in(graph, inputs.state[0], mean)?;
            let mean = graph.reduce_mean(square, &[-2])?;
            let of_columns = taken_in(graph, inputs.state[1], mean)?;
            let mean = graph.reduce_mean(of_rows, &[-2])?;
            let epsilon = graph.scalar(self.epsilon1 as f32);
            let mean = graph.add("Max", &[mean, epsilon], &[])?;
            let relative = graph.divided_by(of_rows, mean)?;
            (graph.times(relative, of_columns)?, vec![of_rows, of_columns])
        } else {
            let squares = taken_in(graph, inputs.state[0], square)?;
            (squares, vec![squares])
        };
        let least = graph.scalar(self.least_square());
        let squares = graph.add("Max", &[squares, least], &[])?;
        let root = graph.add("Sqrt", &[squares], &[])?;
        Ok((graph.divided_by(inputs.gradient, root)?, moments))
    }
}

impl UpdateRule for Adafactor {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let mut state = match facts.shape {
            [others @ .., rows, columns] => [("rows", [*rows, 1]), ("columns", [1, *columns])]
                .map(|(name, axes)| StateTensor { name, shape: [others, &axes].concat(), start: StateStart::F32(0.0) })
                .to_vec(),
            _ => vec![facts.state_alike("mean_of_squares")],
        };
        state.extend((self.momentum > 0.0).then(|| facts.state_alike("momentum")));
        state
    }

    /// Learning rate η, its ceiling 1/√t, and the share of a new squared gradient.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let number = (step + 1) as f64;
        vec![learning_rate, (1.0 / number.sqrt()) as f32, number.powf(self.beta2_decay) as f32]
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [StateValues],
    ) {
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let keep = 1.0 - rate * facts.decay(self.weight_decay as f32);
        let mut step = rate.min(coefficients[1]);
        if self.scale_by_parameter {
            step *= root_mean_square(parameter).max(self.epsilon2 as f32);
        }
        let gradient: Vec<f32> = gradient.iter().map(|value| value * scale).collect();
        let directions = self.direction(coefficients[2], facts.shape, &gradient, state);
        step /= (root_mean_square(&directions) / self.clip_threshold as f32).max(1.0);
        let (kept, new) = (self.momentum as f32, (1.0 - self.momentum) as f32);
        let mut momentum = state.last_mut().filter(|_| self.momentum > 0.0).map(StateValues::floats_mut);
        for (index, (value, direction)) in parameter.iter_mut().zip(directions).enumerate() {
            let mut change = step * direction;
            if let Some(momentum) = &mut momentum {
                change = kept * momentum[index] + new * change;
                momentum[index] = change;
            }
            *value = *value * keep - change;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let root_mean_square = |graph: &mut Graph, value| {
            let elements = inputs.facts.shape.iter().product::<usize>();
            let share = graph.scalar(1.0 / elements.max(1) as f32);
            let sum = sum_of_squares_nodes(graph, value)?;
            let mean = graph.times(sum, share)?;
            graph.add("Sqrt", &[mean], &[])
        };
        let rate = inputs.rate(graph, 0)?;
        let mut step = graph.add("Min", &[rate, inputs.coefficients[1]], &[])?;
        if self.scale_by_parameter {
            let size = root_mean_square(graph, inputs.parameter)?;
            let least = graph.scalar(self.epsilon2 as f32);
            let size = graph.add("Max", &[size, least], &[])?;
            step = graph.times(step, size)?;
        }
        let (direction, mut state) = self.direction_nodes(graph, inputs)?;
        let size = root_mean_square(graph, direction)?;
        let (threshold, one) = (graph.scalar(self.clip_threshold as f32), graph.scalar(1.0));
        let size = graph.divided_by(size, threshold)?;
        let divisor = graph.add("Max", &[size, one], &[])?;
        let step = graph.divided_by(step, divisor)?;
        let mut change = graph.times(direction, step)?;
        if self.momentum > 0.0 {
            let [kept, new] = [self.momentum, 1.0 - self.momentum].map(|value| graph.scalar(value as f32));
            let kept = graph.times(inputs.state[state.len()], kept)?;
            let new = graph.times(change, new)?;
            change = graph.plus(kept, new)?;
            state.push(change);
        }
        let parameter = inputs.decayed_parameter(graph, rate, self.weight_decay as f32)?;
        Ok((graph.minus(parameter, change)?, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::{assert_trajectory, facts_of_matrix};

    /// `torch.optim.Adafactor(groups, lr=0.05, weight_decay=0.1)`, and with `lr=0.3, d=2.0, eps=(1e-4, 0.9)`, where the
    /// ceiling of the rate, the threshold and the least size are met.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = Adafactor { weight_decay: 0.1, ..Adafactor::default() };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.42898318,
                0.12215411,
                -0.41187912,
                -0.64367306,
                -0.23162793,
                0.52837819,
                0.91476238,
                0.57032371,
                -0.27561051,
                -0.98918283,
                -0.88187087,
                -0.087889902,
                0.87469053,
                1.0029819,
                0.24487388,
                -0.71648371,
            ],
        );
        let rule = Adafactor { clip_threshold: 2.0, epsilon1: 1e-4, epsilon2: 0.9, ..rule };
        assert_trajectory(
            &rule,
            0.3,
            [
                -0.083559535,
                -0.91940606,
                -1.4267292,
                -1.2776885,
                -0.38879657,
                0.69330877,
                1.4150263,
                1.4211131,
                0.76151729,
                -0.3387841,
                -1.1269162,
                -1.3099575,
                -5.3364391,
                -0.96739256,
                3.5148914,
                6.0704694,
            ],
        );
    }

    /// `transformers.optimization.Adafactor([matrix, vector], lr=0.05, relative_step=False, beta1=0.9)`, and with
    /// `scale_parameter=False`.
    #[test]
    fn with_momentum_fifty_steps_are_those_of_transformers() {
        let rule = Adafactor { momentum: 0.9, ..Adafactor::default() };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.77551973,
                0.36440682,
                -0.43479481,
                -0.89849782,
                -0.49382585,
                0.45061323,
                1.0181451,
                0.72163063,
                -0.21416321,
                -1.0491066,
                -0.93162858,
                -0.024397474,
                0.83107752,
                0.98394895,
                0.25270671,
                -0.68608999,
            ],
        );
        assert_trajectory(
            &Adafactor { scale_by_parameter: false, ..rule },
            0.05,
            [
                0.69795239,
                0.27518499,
                -0.48304844,
                -0.90763366,
                -0.45584041,
                0.52191997,
                1.0726733,
                0.7533918,
                -0.20450026,
                -1.093555,
                -0.98719156,
                -0.075050309,
                0.89350134,
                1.0926759,
                0.34933341,
                -0.65497231,
            ],
        );
    }

    /// Kernels of convolutions: each matrix of the last two axes has rows and columns of its own.
    #[test]
    fn matrices_of_more_axes_are_factored_one_by_one() {
        let rule = Adafactor::default();
        let stacked = ParameterFacts { shape: &[2, 3, 4], ..facts_of_matrix() };
        let shapes: Vec<_> = rule.state(stacked).into_iter().map(|tensor| tensor.shape).collect();
        assert_eq!(shapes, [[2, 3, 1], [2, 1, 4]]);
        let gradient: Vec<f32> = (0..24).map(|i| (0.9 * i as f32).cos()).collect();
        let mut state = rule.state(stacked).iter().map(StateTensor::start_values).collect::<Vec<_>>();
        let together = rule.direction(1.0, stacked.shape, &gradient, &mut state);
        let alone = gradient.chunks(12).flat_map(|gradient| {
            let mut state = rule.state(facts_of_matrix()).iter().map(StateTensor::start_values).collect::<Vec<_>>();
            rule.direction(1.0, &[3, 4], gradient, &mut state)
        });
        assert_eq!(together, alone.collect::<Vec<_>>());
    }
}
