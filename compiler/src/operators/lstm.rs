use super::recurrences::{self, Direction, DirectionGradients, Layer, PEEPHOLES, Sizes};
use super::recurrent_gates::{Activation, Gate, one_minus};
use super::{Gradient, Operator, recurrent_samples};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Step, Steps, ValueId};

/// `LSTM`: for each step t, with the gates i, o, f and g of x_t · Wᵀ + h_{t−1} · Rᵀ + biases,
/// c_t = f · c_{t−1} + i · g and h_t = o · tanh c_t. With peepholes P, i and f see P · c_{t−1} too, and o sees P · c_t; with
/// `input_forget` f is 1 − i; a `clip` bounds what the gates are of, and not the cell, as in ONNX Runtime.
///
/// The gates of all steps are computed again at once, the cell states one after another. Then, from the last step to the
/// first, dc += dh · o · (1 − tanh² c), the gradients of the gates, dh = dgates · R and dc = dc · f; those of W, R and the
/// biases follow from those of the gates for all steps at once.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LSTM",
    opsets: 13..=25,
    weights: &[1, 2, 3, PEEPHOLES],
    types: |rule| recurrences::types(rule, 4, 2),
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let plain = recurrent_samples::samples(4, 2, &["Tanh", "Sigmoid", "Relu"]);
        [plain, recurrent_samples::of_all_activations(4, 2, 3), recurrent_samples::of_seen_cells()].concat()
    },
};

const USUAL: [Activation; 3] = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let form = Form { is_coupled: b.node.int("input_forget").unwrap_or(0) != 0, wants_peepholes: b.wants(PEEPHOLES) };
    let layer = Layer::of(b, 2, &USUAL)?;
    let mut found = Vec::new();
    for direction in &layer.directions {
        found.push(through(b.graph, &layer.sizes, direction, form)?);
    }
    layer.give(b, 4, &found)
}

#[derive(Clone, Copy)]
struct Form {
    /// Whether f is 1 − i.
    is_coupled: bool,
    wants_peepholes: bool,
}

/// The gates and cells of all steps, `[T, B, H]` each.
struct Gates {
    i: Gate,
    o: Gate,
    /// None where it is 1 − i.
    f: Option<Gate>,
    g: Gate,
    /// What of the cell is kept: f.
    kept: ValueId,
    /// The cell before and after each step.
    cells: [ValueId; 2],
}

/// The way back through one direction.
fn through(
    graph: &mut Graph,
    sizes: &Sizes,
    direction: &Direction,
    form: Form,
) -> Result<DirectionGradients, CompilerError> {
    let gates = match direction.peepholes {
        None => gates(graph, sizes, direction, form)?,
        Some(peepholes) => gates_of_cells(graph, sizes, direction, form, peepholes)?,
    };
    let Gates { i, o, f, g, mut kept, cells: [before, after] } = gates;
    let cell = direction.activations[2];
    let bent = cell.of(graph, after)?;
    let shaped = |graph: &mut Graph, flat: ValueId| sizes.sequence(graph, flat, &sizes.hidden);
    let of_i = if form.is_coupled { graph.minus(g.y, before)? } else { g.y };
    let mut factors = Vec::new();
    for (beside, gate) in [(of_i, Some(i)), (bent, Some(o)), (before, f), (i.y, Some(g))] {
        factors.push(match gate {
            Some(gate) => {
                let slope = gate.slope(graph, shaped)?;
                graph.times(beside, slope)?
            }
            None => graph.zeros(&[&sizes.steps, &sizes.batch, &sizes.hidden])?,
        });
    }
    let all = graph.concat(&factors, 2)?;
    let all = direction.held(graph, all)?;
    let of_cell = cell.slope(graph, bent, |_| Ok(after))?;
    let mut of_cell = graph.times(o.y, of_cell)?;
    if let Some([by_i, by_o, by_f]) = direction.peepholes {
        let through_o = graph.times(factors[1], by_o)?;
        of_cell = graph.plus(of_cell, through_o)?;
        for (factor, by) in [(factors[0], by_i), (factors[2], by_f)] {
            let through = graph.times(factor, by)?;
            kept = graph.plus(kept, through)?;
        }
        kept = direction.kept(graph, kept)?;
    }
    let of_cell = direction.held(graph, of_cell)?;
    let mut steps = direction.steps_back(graph, &[all, of_cell, kept], vec![direction.r])?;
    steps.sequences.extend(direction.held.map(|held| held.behind));
    // states 0 and 1 are the gradients of h and c
    let made = graph.scan(&steps, |step, given| {
        let dh = direction.with_dy(step, given, 5)?;
        let through_cell = step.times(dh, given[3])?;
        let dc = step.plus(given[1], through_cell)?;
        let all = step.concat(&[dc, dh, dc, dc], 1)?;
        let gates = step.times(all, given[2])?;
        let before = direction.state_before(step, given, gates, dh)?;
        let dc = step.times(dc, given[4])?;
        Ok(Step { states: vec![before, dc], entries: vec![gates] })
    })?;
    let gates = sizes.flat(graph, made[2], &(&sizes.hidden * 4))?;
    let of_peepholes =
        if form.wants_peepholes { Some(of_peepholes(graph, sizes, gates, [before, after])?) } else { None };
    Ok(DirectionGradients { of_input: gates, of_state: None, of_r: None, of_first: made[..2].to_vec(), of_peepholes })
}

/// Gates that see no cell: all at once, and then the cells.
fn gates(graph: &mut Graph, sizes: &Sizes, direction: &Direction, form: Form) -> Result<Gates, CompilerError> {
    let open = open(graph, direction)?;
    let [gate, candidate] = [0, 1].map(|at| direction.activations[at]);
    let i = gate_of(graph, sizes, direction, gate, open[0])?;
    let o = gate_of(graph, sizes, direction, gate, open[1])?;
    let f = match form.is_coupled {
        true => None,
        false => Some(gate_of(graph, sizes, direction, gate, open[2])?),
    };
    let g = gate_of(graph, sizes, direction, candidate, open[3])?;
    let kept = kept(graph, i, f)?;
    let kept = direction.kept(graph, kept)?;
    let added = graph.times(i.y, g.y)?;
    let added = direction.held(graph, added)?;
    let cells = cells(graph, direction, &[kept, added], &[], |step, given| {
        let kept = step.times(given[0], given[1])?;
        step.plus(kept, given[2])
    })?;
    Ok(Gates { i, o, f, g, kept, cells })
}

/// Gates that see the cell: the cells one after another, and then the gates of all steps.
fn gates_of_cells(
    graph: &mut Graph,
    sizes: &Sizes,
    direction: &Direction,
    form: Form,
    peepholes: [ValueId; 3],
) -> Result<Gates, CompilerError> {
    let open = open(graph, direction)?;
    let [gate, candidate] = [0, 1].map(|at| direction.activations[at]);
    let g = gate_of(graph, sizes, direction, candidate, open[3])?;
    let mut sequences = vec![g.y];
    for at in [0, 2] {
        sequences.push(sizes.sequence(graph, open[at], &sizes.hidden)?);
    }
    sequences.extend(direction.held.iter().flat_map(|held| [held.steps, held.behind]));
    let [by_i, by_o, by_f] = peepholes;
    let cells = cells(graph, direction, &sequences, &[by_i, by_f], |step, given| {
        let (cell, g) = (given[0], given[1]);
        let [by_i, by_f] = [2, 1].map(|from_end| given[given.len() - from_end]);
        let i = seeing(step, given[2], cell, by_i)?;
        let i = Gate::of(step, gate, direction.clip, i)?;
        let f = match form.is_coupled {
            true => None,
            false => {
                let f = seeing(step, given[3], cell, by_f)?;
                Some(Gate::of(step, gate, direction.clip, f)?)
            }
        };
        let f = kept(step, i, f)?;
        let kept = step.times(f, cell)?;
        let added = step.times(i.y, g)?;
        let after = step.plus(kept, added)?;
        if direction.held.is_none() {
            return Ok(after);
        }
        let after = step.times(after, given[4])?;
        let passed = step.times(cell, given[5])?;
        step.plus(after, passed)
    })?;
    let [before, after] = cells.map(|cell| sizes.flat(graph, cell, &sizes.hidden));
    let (before, after) = (before?, after?);
    let mut seen = |at: usize, cell: ValueId, by: ValueId| -> Result<Gate, CompilerError> {
        let open = seeing(graph, open[at], cell, by)?;
        gate_of(graph, sizes, direction, gate, open)
    };
    let i = seen(0, before, by_i)?;
    let o = seen(1, after, by_o)?;
    let f = if form.is_coupled { None } else { Some(seen(2, before, by_f)?) };
    let kept = kept(graph, i, f)?;
    Ok(Gates { i, o, f, g, kept, cells })
}

/// What the gates i, o, f and g are of without the cell, `[T · B, H]` each.
fn open(graph: &mut Graph, direction: &Direction) -> Result<Vec<ValueId>, CompilerError> {
    let (of_input, of_state) = (direction.gates_of_input(graph)?, direction.gates_of_state(graph)?);
    let gates = graph.plus(of_input, of_state)?;
    recurrences::apart(graph, gates, 4)
}

/// The gate of what is `[T · B, H]`, whose result is `[T, B, H]`.
fn gate_of(
    graph: &mut Graph,
    sizes: &Sizes,
    direction: &Direction,
    activation: Activation,
    open: ValueId,
) -> Result<Gate, CompilerError> {
    let mut gate = Gate::of(graph, activation, direction.clip, open)?;
    gate.y = sizes.sequence(graph, gate.y, &sizes.hidden)?;
    Ok(gate)
}

/// What a gate is of that sees the cell.
fn seeing(graph: &mut Graph, open: ValueId, cell: ValueId, by: ValueId) -> Result<ValueId, CompilerError> {
    let seen = graph.times(cell, by)?;
    graph.plus(open, seen)
}

/// What of the cell is kept: f, or what i leaves.
fn kept(graph: &mut Graph, i: Gate, f: Option<Gate>) -> Result<ValueId, CompilerError> {
    match f {
        Some(f) => Ok(f.y),
        None => one_minus(graph, i.y),
    }
}

/// The cell states before and after each step. `next` makes the one after of the one before, the entries of `sequences` and
/// `outer`.
fn cells(
    graph: &mut Graph,
    direction: &Direction,
    sequences: &[ValueId],
    outer: &[ValueId],
    next: impl FnOnce(&mut Graph, &[ValueId]) -> Result<ValueId, CompilerError>,
) -> Result<[ValueId; 2], CompilerError> {
    let steps = Steps {
        states: vec![direction.first[1]],
        sequences: sequences.to_vec(),
        outer: outer.to_vec(),
        from_last: direction.is_reverse,
    };
    let made = graph.scan(&steps, |step, given| {
        let after = next(step, given)?;
        Ok(Step { states: vec![after], entries: vec![given[0], after] })
    })?;
    Ok([made[1], made[2]])
}

/// The gradient of P `[1, 3 · H]`, of those of the gates `[T · B, 4 · H]`.
fn of_peepholes(
    graph: &mut Graph,
    sizes: &Sizes,
    gates: ValueId,
    cells: [ValueId; 2],
) -> Result<ValueId, CompilerError> {
    let gates = recurrences::apart(graph, gates, 4)?;
    let [before, after] = cells.map(|cell| sizes.flat(graph, cell, &sizes.hidden));
    let (before, after) = (before?, after?);
    let mut parts = Vec::new();
    for (gate, cell) in gates.into_iter().zip([before, after, before]) {
        let product = graph.times(gate, cell)?;
        parts.push(graph.reduce_sum(product, &[0], true)?);
    }
    graph.concat(&parts, 1)
}
