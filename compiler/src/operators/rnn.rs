use super::recurrences::{self, Direction, DirectionGradients, Layer, Sizes};
use super::recurrent_gates::{Activation, Gate};
use super::{Gradient, Operator, recurrent_samples};
use crate::CompilerError;
use crate::graph::{Graph, Step, ValueId};

/// `RNN`: h_t = tanh(x_t · Wᵀ + h_{t−1} · Rᵀ + biases) for each step t. From the last step to the first,
/// dgates = dh · (1 − h²) and dh = dgates · R; the gradients of W, R and the biases follow for all steps at once.
/// What tanh is of is computed again where it is clipped, or where another activation takes its place whose result does not
/// tell the slope.
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
    samples: || {
        let plain = recurrent_samples::samples(1, 1, &["Relu"]);
        [plain, recurrent_samples::of_all_activations(1, 1, 1), recurrent_samples::of_rnn()].concat()
    },
};

/// The way back through one direction.
fn through(graph: &mut Graph, sizes: &Sizes, direction: &Direction) -> Result<DirectionGradients, CompilerError> {
    let slope = slope(graph, sizes, direction)?;
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
    Ok(DirectionGradients { of_input: gates, of_state: None, of_r: None, of_first: vec![made[0]], of_peepholes: None })
}

/// The slope of each hidden state, `[T, B, H]`.
fn slope(graph: &mut Graph, sizes: &Sizes, direction: &Direction) -> Result<ValueId, CompilerError> {
    let (activation, y) = (direction.activations[0], direction.after);
    let open = |graph: &mut Graph| {
        let (of_input, of_state) = (direction.gates_of_input(graph)?, direction.gates_of_state(graph)?);
        let gates = graph.plus(of_input, of_state)?;
        sizes.sequence(graph, gates, &sizes.hidden)
    };
    if direction.clip.is_none() {
        return activation.slope(graph, y, open);
    }
    let open = open(graph)?;
    Gate::known(graph, activation, direction.clip, open, y)?.slope(graph, |_, value| Ok(value))
}
