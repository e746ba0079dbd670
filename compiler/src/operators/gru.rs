use super::recurrences::{self, Direction, DirectionGradients, Layer, Sizes};
use super::recurrent_gates::{Activation, Gate, one_minus};
use super::{Gradient, Operator, recurrent_samples};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Step, ValueId};

/// `GRU`: for each step t, with the gates z and r of x_t · Wᵀ + h_{t−1} · Rᵀ + biases,
/// h_t = (1 − z) · n + z · h_{t−1}. The candidate n sees the state by r · (h_{t−1} · Rᵀ + bias) where `linear_before_reset` is
/// set, else by (r · h_{t−1}) · Rᵀ + bias.
///
/// The gates of all steps are computed again at once. Then dh goes from the last step to the first; the gradients of W, R and
/// the biases follow from those of the gates for all steps at once.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GRU",
    opsets: 13..=25,
    weights: &[1, 2, 3],
    types: |rule| recurrences::types(rule, 3, 1),
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let plain = recurrent_samples::samples(3, 1, &["Sigmoid", "Relu"]);
        let mut all = [plain, recurrent_samples::of_all_activations(3, 1, 2)].concat();
        let mut reset_last = all.clone();
        for sample in &mut reset_last {
            sample.attributes.push(("linear_before_reset", 1.into()));
        }
        all.extend(reset_last);
        all
    },
};

const USUAL: [Activation; 2] = [Activation::Sigmoid, Activation::Tanh];

/// The gates of all steps, `[T · B, H]` each.
struct Gates {
    z: Gate,
    r: Gate,
    n: Gate,
    /// What the candidate's part of the state is before r, where r comes behind the product.
    behind: Option<ValueId>,
    /// r · h, where it comes before.
    reset: Option<ValueId>,
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let layer = Layer::of(b, 1, &USUAL)?;
    let is_behind = b.node.int("linear_before_reset").unwrap_or(0) != 0;
    let mut found = Vec::new();
    for direction in &layer.directions {
        let gates = gates(b.graph, &layer.sizes, direction, is_behind)?;
        found.push(through(b.graph, &layer.sizes, direction, &gates)?);
    }
    layer.give(b, 3, &found)
}

fn gates(graph: &mut Graph, sizes: &Sizes, direction: &Direction, is_behind: bool) -> Result<Gates, CompilerError> {
    let [gate, candidate] = [0, 1].map(|at| direction.activations[at]);
    let of_input = direction.gates_of_input(graph)?;
    let of_input = recurrences::apart(graph, of_input, 3)?;
    let of_state = if is_behind {
        let all = direction.gates_of_state(graph)?;
        recurrences::apart(graph, all, 3)?
    } else {
        let (w, bias) = (rows(graph, direction.r, 0, 2, sizes)?, biases(graph, direction, 0, 2, sizes)?);
        let both = recurrences::affine(graph, direction.before, w, bias)?;
        recurrences::apart(graph, both, 2)?
    };
    let [z, r] = [0, 1].map(|at| {
        let open = graph.plus(of_input[at], of_state[at])?;
        Gate::of(graph, gate, direction.clip, open)
    });
    let (z, r) = (z?, r?);
    let (mut behind, mut reset) = (None, None);
    let part = if is_behind {
        behind = Some(of_state[2]);
        graph.times(r.y, of_state[2])?
    } else {
        let own = graph.times(r.y, direction.before)?;
        reset = Some(own);
        let (w, bias) = (rows(graph, direction.r, 2, 1, sizes)?, biases(graph, direction, 2, 1, sizes)?);
        recurrences::affine(graph, own, w, bias)?
    };
    let n = graph.plus(of_input[2], part)?;
    let n = Gate::of(graph, candidate, direction.clip, n)?;
    Ok(Gates { z, r, n, behind, reset })
}

/// Rows of R for `count` gates.
fn rows(graph: &mut Graph, r: ValueId, gate: usize, count: usize, sizes: &Sizes) -> Result<ValueId, CompilerError> {
    graph.part(r, &[0], &[&sizes.hidden * gate], &[&sizes.hidden * count], &[1])
}

/// Biases beside R for `count` gates.
fn biases(
    graph: &mut Graph,
    direction: &Direction,
    gate: usize,
    count: usize,
    sizes: &Sizes,
) -> Result<Option<ValueId>, CompilerError> {
    direction.biases.map(|[_, state]| rows(graph, state, gate, count, sizes)).transpose()
}

/// The way back through one direction.
fn through(
    graph: &mut Graph,
    sizes: &Sizes,
    direction: &Direction,
    gates: &Gates,
) -> Result<DirectionGradients, CompilerError> {
    let Gates { z, r, n, .. } = *gates;
    let flat = |_: &mut Graph, value: ValueId| -> Result<ValueId, CompilerError> { Ok(value) };
    // what dh is multiplied by for the gradient of each gate
    let difference = graph.minus(direction.before, n.y)?;
    let slope = z.slope(graph, flat)?;
    let of_z = graph.times(difference, slope)?;
    let rest = one_minus(graph, z.y)?;
    let slope = n.slope(graph, flat)?;
    let of_n = graph.times(rest, slope)?;
    let slope_of_r = r.slope(graph, flat)?;
    let sequence = |graph: &mut Graph, flat: ValueId| sizes.sequence(graph, flat, &sizes.hidden);
    let kept = sequence(graph, z.y)?;
    let kept = direction.kept(graph, kept)?;
    match (gates.behind, gates.reset) {
        (Some(behind), _) => {
            let of_r = graph.times(behind, slope_of_r)?;
            let of_r = graph.times(of_n, of_r)?;
            let of_part = graph.times(of_n, r.y)?;
            let factors = graph.concat(&[of_z, of_r, of_part], 1)?;
            let factors = sizes.sequence(graph, factors, &(&sizes.hidden * 3))?;
            let factors = direction.held(graph, factors)?;
            let of_input = graph.concat(&[of_z, of_r, of_n], 1)?;
            let of_input = sizes.sequence(graph, of_input, &(&sizes.hidden * 3))?;
            let of_input = direction.held(graph, of_input)?;
            let steps = direction.steps_back(graph, &[factors, kept], vec![direction.r])?;
            let made = graph.scan(&steps, |step, given| {
                let dh = direction.with_dy(step, given, 3)?;
                let all = step.concat(&[dh, dh, dh], 1)?;
                let gates = step.times(all, given[1])?;
                let by_gates = step.add("MatMul", &[gates, given[given.len() - 1]], &[])?;
                let own = step.times(dh, given[2])?;
                let before = step.plus(own, by_gates)?;
                Ok(Step { states: vec![before], entries: vec![all, gates] })
            })?;
            let of_input = graph.times(made[1], of_input)?;
            let wide = &sizes.hidden * 3;
            let of_input = sizes.flat(graph, of_input, &wide)?;
            let of_state = sizes.flat(graph, made[2], &wide)?;
            Ok(DirectionGradients {
                of_input,
                of_state: Some(of_state),
                of_r: None,
                of_first: vec![made[0]],
                of_peepholes: None,
            })
        }
        (None, reset) => {
            let reset = reset.unwrap_or(direction.before);
            let of_r = graph.times(direction.before, slope_of_r)?;
            let mut sequences = Vec::new();
            for factor in [of_z, of_n, of_r] {
                let factor = sequence(graph, factor)?;
                sequences.push(direction.held(graph, factor)?);
            }
            let r = sequence(graph, r.y)?;
            sequences.extend([kept, r]);
            let outer = vec![rows(graph, direction.r, 0, 2, sizes)?, rows(graph, direction.r, 2, 1, sizes)?];
            let steps = direction.steps_back(graph, &sequences, outer)?;
            let made = graph.scan(&steps, |step, given| {
                let [of_gates, of_candidate] = [2, 1].map(|from_end| given[given.len() - from_end]);
                let dh = direction.with_dy(step, given, 6)?;
                let of_n = step.times(dh, given[2])?;
                let of_reset = step.add("MatMul", &[of_n, of_candidate], &[])?;
                let of_r = step.times(of_reset, given[3])?;
                let of_z = step.times(dh, given[1])?;
                let both = step.concat(&[of_z, of_r], 1)?;
                let by_gates = step.add("MatMul", &[both, of_gates], &[])?;
                let by_candidate = step.times(of_reset, given[5])?;
                let own = step.times(dh, given[4])?;
                let before = step.plus(own, by_gates)?;
                let before = step.plus(before, by_candidate)?;
                let all = step.concat(&[both, of_n], 1)?;
                Ok(Step { states: vec![before], entries: vec![all] })
            })?;
            let of_input = sizes.flat(graph, made[1], &(&sizes.hidden * 3))?;
            let columns = recurrences::apart(graph, of_input, 3)?;
            let both = graph.concat(&columns[..2], 1)?;
            let of_gates = recurrences::product_of_turned(graph, both, direction.before)?;
            let of_candidate = recurrences::product_of_turned(graph, columns[2], reset)?;
            let of_r = graph.concat(&[of_gates, of_candidate], 0)?;
            Ok(DirectionGradients {
                of_input,
                of_state: None,
                of_r: Some(of_r),
                of_first: vec![made[0]],
                of_peepholes: None,
            })
        }
    }
}
