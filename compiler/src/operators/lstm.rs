use super::recurrences::{self, Activation, Direction, DirectionGradients, Layer, Sizes};
use super::{Gradient, Operator, recurrent_samples};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Step, Steps, ValueId};

/// `LSTM`: for each step t, with the gates i, o, f and g of x_t · Wᵀ + h_{t−1} · Rᵀ + biases,
/// c_t = f · c_{t−1} + i · g and h_t = o · tanh c_t.
///
/// The gates of all steps are computed again at once, the cell states one after another. Then, from the last step to the
/// first, dc += dh · o · (1 − tanh² c), the gradients of the gates, dh = dgates · R and dc = dc · f; those of W, R and the
/// biases follow from those of the gates for all steps at once.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LSTM",
    opsets: 13..=25,
    weights: &[1, 2, 3],
    types: |rule| recurrences::types(rule, 4, 2),
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || recurrent_samples::samples(4, 2, &["Tanh", "Sigmoid", "Relu"]),
};

const USUAL: [Activation; 3] = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.node.input(7).is_some() || b.node.int("input_forget").unwrap_or(0) != 0 {
        return Err(b.no_gradient("its gates see the cell (P), or one is what another leaves (input_forget)"));
    }
    let layer = Layer::of(b, 2, &USUAL)?;
    let mut found = Vec::new();
    for direction in &layer.directions {
        found.push(through(b.graph, &layer.sizes, direction)?);
    }
    layer.give(b, 4, &found)
}

/// The way back through one direction.
fn through(graph: &mut Graph, sizes: &Sizes, direction: &Direction) -> Result<DirectionGradients, CompilerError> {
    let [gate, candidate, cell] = [0, 1, 2].map(|at| direction.activations[at]);
    let (of_input, of_state) = (direction.gates_of_input(graph)?, direction.gates_of_state(graph)?);
    let gates = graph.plus(of_input, of_state)?;
    let gates = recurrences::apart(graph, gates, 4)?;
    let mut open = Vec::new();
    for (gates, activation) in gates.into_iter().zip([gate, gate, gate, candidate]) {
        let y = activation.of(graph, gates)?;
        open.push((sizes.sequence(graph, y, &sizes.hidden)?, activation));
    }
    let [i, o, f, g] = [0, 1, 2, 3].map(|at| open[at].0);
    let kept = direction.kept(graph, f)?;
    let [before, after] = cells(graph, direction, kept, (i, g))?;
    let bent = cell.of(graph, after)?;
    let mut factors = Vec::new();
    for (beside, (y, activation)) in [g, bent, before, i].into_iter().zip(open) {
        let slope = activation.slope(graph, y)?;
        factors.push(graph.times(beside, slope)?);
    }
    let factors = graph.concat(&factors, 2)?;
    let factors = direction.held(graph, factors)?;
    let of_cell = cell.slope(graph, bent)?;
    let of_cell = graph.times(o, of_cell)?;
    let of_cell = direction.held(graph, of_cell)?;
    let mut steps = direction.steps_back(graph, &[factors, of_cell, kept], vec![direction.r])?;
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
    Ok(DirectionGradients { of_input: gates, of_state: None, of_r: None, of_first: made[..2].to_vec() })
}

/// The cell states before and after each step.
fn cells(
    graph: &mut Graph,
    direction: &Direction,
    kept: ValueId,
    (i, g): (ValueId, ValueId),
) -> Result<[ValueId; 2], CompilerError> {
    let added = graph.times(i, g)?;
    let added = direction.held(graph, added)?;
    let steps = Steps {
        states: vec![direction.first[1]],
        sequences: vec![kept, added],
        outer: Vec::new(),
        from_last: direction.is_reverse,
    };
    let made = graph.scan(&steps, |step, given| {
        let kept = step.times(given[0], given[1])?;
        let after = step.plus(kept, given[2])?;
        Ok(Step { states: vec![after], entries: vec![given[0], after] })
    })?;
    Ok([made[1], made[2]])
}
