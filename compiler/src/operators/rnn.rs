use super::recurrences::{self, Activation, Direction, DirectionGradients, Layer, Sizes};
use super::{Gradient, Operator, recurrent_samples};
use crate::CompilerError;
use crate::graph::{Graph, Step};

/// `RNN`: h_t = tanh(x_t · Wᵀ + h_{t−1} · Rᵀ + biases) for each step t. From the last step to the first,
/// dgates = dh · (1 − h²) and dh = dgates · R; the gradients of W, R and the biases follow for all steps at once.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RNN",
    opsets: 13..=25,
    weights: &[1, 2, 3],
    types: |rule| recurrences::types(rule, 1, 1),
    fold: None,
    gradient: Gradient::Defined(|b| {
        let layer = Layer::of(b, 1, &[Activation::Tanh])?;
        let mut found = Vec::new();
        for direction in &layer.directions {
            found.push(through(b.graph, &layer.sizes, direction)?);
        }
        layer.give(b, 1, &found)
    }),
    samples: || recurrent_samples::samples(1, 1, &["Relu"]),
};

/// The way back through one direction.
fn through(graph: &mut Graph, sizes: &Sizes, direction: &Direction) -> Result<DirectionGradients, CompilerError> {
    let slope = direction.activations[0].slope(graph, direction.after)?;
    let slope = direction.held(graph, slope)?;
    let mut steps = direction.steps_back(graph, &[slope], vec![direction.r])?;
    steps.sequences.extend(direction.held.map(|held| held.behind));
    let made = graph.scan(&steps, |step, given| {
        let dh = direction.with_dy(step, given, 2)?;
        let gates = step.times(dh, given[1])?;
        let before = direction.state_before(step, given, gates, dh)?;
        Ok(Step { states: vec![before], entries: vec![gates] })
    })?;
    let gates = sizes.flat(graph, made[1], &sizes.hidden)?;
    Ok(DirectionGradients { of_input: gates, of_state: None, of_r: None, of_first: vec![made[0]] })
}
