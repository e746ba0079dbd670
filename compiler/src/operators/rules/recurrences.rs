//! What recurrent layers share: directions, gates, the hidden states that each step reads, and the way from the gradients of
//! gates to those of weights.
//!
//! ONNX Runtime's layer hands out its hidden states and keeps its gates, so a gradient computes them again: for all steps at
//! once, since the state before each step is known. Only what flows from step to step goes step by step.

use super::recurrent_gates::{Activation, one_minus};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, ElementType, Graph, Length, Node, Steps, TensorType, ValueId};
use crate::operators::TypeRuleInput;

type Emitted = Result<ValueId, CompilerError>;

/// The input of `LSTM` by which gates see the cell.
pub(crate) const PEEPHOLES: usize = 7;

/// Whether each direction of a layer runs from the last step to the first.
fn directions(node: &Node) -> Result<&'static [bool], String> {
    match node.string("direction").unwrap_or("forward") {
        "forward" => Ok(&[false]),
        "reverse" => Ok(&[true]),
        "bidirectional" => Ok(&[false, true]),
        other => Err(format!("direction `{}`", other.chars().take(40).collect::<String>())),
    }
}

/// The types of `[Y, Y_h]`, and of `Y_c` where there are two states, for this number of gates: Y is
/// `[steps, directions, batch, hidden]`, the last states `[directions, batch, hidden]`.
pub(crate) fn types(rule: &TypeRuleInput<'_>, gates: usize, states: usize) -> Result<Vec<TensorType>, CompilerError> {
    if rule.node.int("layout").unwrap_or(0) != 0 {
        return Err(rule.error("its layout is 1, rows first, which ONNX Runtime does not run; export it with layout 0"));
    }
    // RNN takes a negative one for none, and has one gate
    if let Some(clip) = rule.node.float("clip")
        && gates > 1
        && (clip.is_nan() || clip <= 0.0)
    {
        return Err(
            rule.error(format!("its clip is {clip}, and ONNX Runtime wants more than 0; export it without clip"))
        );
    }
    let count = directions(rule.node).map_err(|message| rule.error(message))?.len() as i64;
    let (x, w, r) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    let ([steps, batch, inner], [_, _, hidden]) = (x.shape.as_slice(), r.shape.as_slice()) else {
        return Err(rule.error(format!("an input {x} and recurrent weights {r}, wanted three axes each")));
    };
    let (count, wide) = (Length::number(count), hidden * gates);
    let fits = |index: usize, wanted: &[Length]| match rule.optional(index) {
        Some(given) if !same(&given.shape, wanted) => {
            let open = given.shape.iter().chain(wanted).any(|length| length.as_number().is_none());
            let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
            Err(rule.error(format!("input {index} is {given}, wanted {wanted:?}{advice}")))
        }
        _ => Ok(()),
    };
    fits(1, &[count.clone(), wide.clone(), inner.clone()])?;
    fits(2, &[count.clone(), wide.clone(), hidden.clone()])?;
    fits(3, &[count.clone(), &wide * 2])?;
    fits(4, std::slice::from_ref(batch))?;
    let state = [count.clone(), batch.clone(), hidden.clone()];
    (5..5 + states).try_for_each(|index| fits(index, &state))?;
    if states == 2 {
        fits(PEEPHOLES, &[count.clone(), hidden * 3])?;
    }
    let stated = rule.node.int("hidden_size");
    let stated = stated.ok_or_else(|| rule.error("no attribute `hidden_size`, which ONNX Runtime wants"))?;
    if hidden.as_number().is_some_and(|hidden| hidden != stated) {
        return Err(rule.error(format!("hidden_size is {stated} and the recurrent weights are {r}")));
    }
    let y = TensorType::new(w.dtype, [steps, &count, batch, hidden]);
    let last = TensorType::new(w.dtype, &state);
    Ok(std::iter::once(y).chain(std::iter::repeat_n(last, states)).collect())
}

fn same(given: &[Length], wanted: &[Length]) -> bool {
    given.len() == wanted.len() && given.iter().zip(wanted).all(|(given, wanted)| given.agrees_with(wanted))
}

/// One direction of a layer on the way back: `T` steps, `B` rows, `I` numbers in, `H` hidden, `G` gates.
pub(crate) struct Direction {
    /// Whether it runs from the last step to the first.
    pub(crate) is_reverse: bool,
    /// Its activations, in the order of the operator.
    pub(crate) activations: Vec<Activation>,
    /// What the gates are clipped to in front of their activations, 0 or more.
    pub(crate) clip: Option<f32>,
    /// x `[T · B, I]`.
    x: ValueId,
    /// W `[G · H, I]`.
    pub(crate) w: ValueId,
    /// R `[G · H, H]`.
    pub(crate) r: ValueId,
    /// Its biases, both `[G · H]`: beside W and beside R.
    pub(crate) biases: Option<[ValueId; 2]>,
    /// What the gates i, o and f of an `LSTM` see the cell by, `[H]` each.
    pub(crate) peepholes: Option<[ValueId; 3]>,
    /// The hidden state before each step, `[T · B, H]`.
    pub(crate) before: ValueId,
    /// The hidden state after each step, `[T, B, H]`.
    pub(crate) after: ValueId,
    /// The gradient of each hidden state `[T, B, H]`, where the loss reads them.
    pub(crate) dy: Option<ValueId>,
    /// The gradients of the last states, `[B, H]` each; zeros where the loss does not read them.
    pub(crate) last: Vec<ValueId>,
    /// Where each state begins, `[B, H]`.
    pub(crate) first: Vec<ValueId>,
    /// Where rows have steps at all.
    pub(crate) held: Option<Held>,
}

/// Where rows that are shorter than others have steps.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    /// One at steps of a row and zero behind them, `[T, B, 1]`.
    pub(crate) steps: ValueId,
    /// One behind the steps of a row, `[T, B, 1]`.
    pub(crate) behind: ValueId,
}

/// Lengths of a layer.
pub(crate) struct Sizes {
    pub(crate) steps: Length,
    pub(crate) batch: Length,
    pub(crate) inner: Length,
    pub(crate) hidden: Length,
}

impl Sizes {
    fn of(b: &Backward<'_>) -> Result<Self, CompilerError> {
        let (x, r) = (b.input_shape(0)?, b.input_shape(2)?);
        let ([steps, batch, inner], [_, _, hidden]) = (x.as_slice(), r.as_slice()) else {
            return Err(b.error("wanted three axes of its input and of its recurrent weights"));
        };
        Ok(Self { steps: steps.clone(), batch: batch.clone(), inner: inner.clone(), hidden: hidden.clone() })
    }

    /// `[T, B, width]`.
    pub(crate) fn sequence(&self, graph: &mut Graph, flat: ValueId, width: &Length) -> Emitted {
        graph.reshape(flat, &[&self.steps, &self.batch, width])
    }

    /// `[T · B, width]`.
    pub(crate) fn flat(&self, graph: &mut Graph, sequence: ValueId, width: &Length) -> Emitted {
        graph.reshape(sequence, &[&(&self.steps * &self.batch), width])
    }
}

/// A recurrent layer on the way back.
pub(crate) struct Layer {
    pub(crate) sizes: Sizes,
    /// Its directions.
    pub(crate) directions: Vec<Direction>,
}

/// What one direction gives back.
pub(crate) struct DirectionGradients {
    /// Of the gates as the input makes them, `[T · B, G · H]`.
    pub(crate) of_input: ValueId,
    /// Of the gates as the hidden state makes them, where they differ.
    pub(crate) of_state: Option<ValueId>,
    /// Of R, where it is not that of the gates times the state before.
    pub(crate) of_r: Option<ValueId>,
    /// Of the states at the beginning, `[B, H]` each.
    pub(crate) of_first: Vec<ValueId>,
    /// Of what gates see the cell by, `[1, 3 · H]`, where it is wanted.
    pub(crate) of_peepholes: Option<ValueId>,
}

impl Layer {
    /// Reads a node with this number of states, whose activations are these where none are named.
    pub(crate) fn of(b: &mut Backward<'_>, states: usize, usual: &[Activation]) -> Result<Self, CompilerError> {
        let clip = b.node.float("clip").filter(|clip| *clip >= 0.0);
        let sizes = Sizes::of(b)?;
        let reverse = directions(&b.node).map_err(|message| b.error(message))?;
        let activations = activations(b, usual, reverse.len())?;
        let y = match b.node.outputs.first().copied().flatten() {
            Some(y) => y,
            None => {
                let made = b.node.outputs.iter().flatten().next().copied();
                let made = made.ok_or_else(|| b.error("it makes nothing"))?;
                b.graph.add_output(made, 0)?
            }
        };
        let held = held(b, &sizes)?;
        let x = b.input(0)?;
        let x = sizes.flat(b.graph, x, &sizes.inner.clone())?;
        let mut layer = Self { sizes, directions: Vec::new() };
        for (index, is_reverse) in reverse.iter().enumerate() {
            let [w, r] = [1, 2].map(|input| of_direction(b, input, index));
            let biases = match b.node.input(3) {
                Some(_) => Some(halves(b, index)?),
                None => None,
            };
            let peepholes = match b.node.input(PEEPHOLES) {
                Some(_) => Some(thirds(b, index, &layer.sizes.hidden)?),
                None => None,
            };
            let after = part_of(b.graph, y, 1, index)?;
            let dy = match b.output_gradient(0) {
                Some(dy) => Some(part_of(b.graph, dy, 1, index)?),
                None => None,
            };
            let (mut last, mut first) = (Vec::new(), Vec::new());
            for state in 0..states {
                last.push(match b.output_gradient(1 + state) {
                    Some(gradient) => part_of(b.graph, gradient, 0, index)?,
                    None => layer.nothing(b.graph)?,
                });
                first.push(match b.node.input(5 + state) {
                    Some(_) => of_direction(b, 5 + state, index)?,
                    None => layer.nothing(b.graph)?,
                });
            }
            let (activations, is_reverse) = (activations[index].clone(), *is_reverse);
            let before = layer.before(b.graph, after, first[0], is_reverse, held)?;
            let before = layer.sizes.flat(b.graph, before, &layer.sizes.hidden)?;
            let (w, r) = (w?, r?);
            layer.directions.push(Direction {
                is_reverse,
                activations,
                clip,
                x,
                w,
                r,
                biases,
                peepholes,
                before,
                after,
                dy,
                last,
                first,
                held,
            });
        }
        Ok(layer)
    }

    /// Zeros `[B, H]`.
    fn nothing(&self, graph: &mut Graph) -> Emitted {
        graph.zeros(&[&self.sizes.batch, &self.sizes.hidden])
    }

    /// The state before each step `[T, B, H]`, of the states after it and the one at the beginning.
    pub(crate) fn before(
        &self,
        graph: &mut Graph,
        after: ValueId,
        first: ValueId,
        is_reverse: bool,
        held: Option<Held>,
    ) -> Emitted {
        let Sizes { steps, batch, hidden, .. } = &self.sizes;
        let first = graph.reshape(first, &[&1.into(), batch, hidden])?;
        let (zero, one) = (Length::from(0), Length::from(1));
        let start = if is_reverse { one } else { zero };
        let others = graph.part(after, &[0], &[&start], &[&(steps - 1)], &[1])?;
        if !is_reverse {
            return graph.concat(&[first, others], 0);
        }
        let shifted = graph.concat(&[others, first], 0)?;
        let Some(held) = held else { return Ok(shifted) };
        // behind the steps of a row there is no state, and its last step begins
        let [steps_next, behind_next] = [(held.steps, 0.0), (held.behind, 1.0)].map(|(mask, end)| -> Emitted {
            let next = graph.part(mask, &[0], &[&start], &[&(steps - 1)], &[1])?;
            let end = graph.scalar(end);
            let end = graph.expand(end, &[&1.into(), batch, &1.into()])?;
            graph.concat(&[next, end], 0)
        });
        let kept = graph.times(shifted, steps_next?)?;
        let begun = graph.times(first, behind_next?)?;
        graph.plus(kept, begun)
    }

    /// Hands the gradients of all directions over: of x, W, R, B, the states at the beginning and what gates see the cell by.
    pub(crate) fn give(
        &self,
        b: &mut Backward<'_>,
        gates: usize,
        found: &[DirectionGradients],
    ) -> Result<(), CompilerError> {
        let Sizes { steps, batch, inner, hidden } = &self.sizes;
        let wide = &(hidden * gates);
        let mut of_x = None;
        let mut stacked: [Vec<ValueId>; 3] = Default::default();
        for (direction, found) in self.directions.iter().zip(found) {
            let of_state = found.of_state.unwrap_or(found.of_input);
            if b.wants(0) {
                let part = b.graph.add("MatMul", &[found.of_input, direction.w], &[])?;
                of_x = Some(match of_x {
                    Some(sum) => b.graph.plus(sum, part)?,
                    None => part,
                });
            }
            if b.wants(1) {
                let of_w = product_of_turned(b.graph, found.of_input, direction.x)?;
                stacked[0].push(b.graph.reshape(of_w, &[&1.into(), wide, inner])?);
            }
            if b.wants(2) {
                let of_r = match found.of_r {
                    Some(of_r) => of_r,
                    None => product_of_turned(b.graph, of_state, direction.before)?,
                };
                stacked[1].push(b.graph.reshape(of_r, &[&1.into(), wide, hidden])?);
            }
            if b.wants(3) {
                let sums = [found.of_input, of_state].map(|gates| b.graph.reduce_sum(gates, &[0], true));
                let [of_input, of_state] = sums;
                stacked[2].push(b.graph.concat(&[of_input?, of_state?], 1)?);
            }
        }
        if let Some(of_x) = of_x {
            let of_x = b.graph.reshape(of_x, &[steps, batch, inner])?;
            b.give(0, of_x)?;
        }
        for (input, parts) in stacked.iter().enumerate().filter(|(_, parts)| !parts.is_empty()) {
            let joined = b.graph.concat(parts, 0)?;
            b.give(1 + input, joined)?;
        }
        for state in 0..found.first().map_or(0, |found| found.of_first.len()) {
            if b.wants(5 + state) {
                let mut parts = Vec::new();
                for (direction, found) in self.directions.iter().zip(found) {
                    let of_first = direction.of_rows_with_steps(b.graph, found.of_first[state], batch)?;
                    parts.push(b.graph.reshape(of_first, &[&1.into(), batch, hidden])?);
                }
                let joined = b.graph.concat(&parts, 0)?;
                b.give(5 + state, joined)?;
            }
        }
        if b.wants(PEEPHOLES) {
            let parts: Vec<ValueId> = found.iter().filter_map(|found| found.of_peepholes).collect();
            let joined = b.graph.concat(&parts, 0)?;
            b.give(PEEPHOLES, joined)?;
        }
        Ok(())
    }
}

impl Direction {
    /// The gates before their activations as the input makes them, `[T · B, G · H]`.
    pub(crate) fn gates_of_input(&self, graph: &mut Graph) -> Emitted {
        affine(graph, self.x, self.w, self.biases.map(|[input, _]| input))
    }

    /// As [`Direction::gates_of_input`], of the state before.
    pub(crate) fn gates_of_state(&self, graph: &mut Graph) -> Emitted {
        affine(graph, self.before, self.r, self.biases.map(|[_, state]| state))
    }

    /// A value of each step without what lies behind the steps of a row.
    pub(crate) fn held(&self, graph: &mut Graph, sequence: ValueId) -> Emitted {
        match self.held {
            Some(held) => graph.times(sequence, held.steps),
            None => Ok(sequence),
        }
    }

    /// A factor of each step that is one behind the steps of a row.
    pub(crate) fn kept(&self, graph: &mut Graph, sequence: ValueId) -> Emitted {
        match self.held {
            Some(held) => {
                let own = graph.times(sequence, held.steps)?;
                graph.plus(own, held.behind)
            }
            None => Ok(sequence),
        }
    }

    /// The gradient of a state at the beginning, `[B, H]`: none of rows without steps, whose last states are zero.
    fn of_rows_with_steps(&self, graph: &mut Graph, of_first: ValueId, batch: &Length) -> Emitted {
        let Some(held) = self.held else { return Ok(of_first) };
        let (zero, one) = (Length::from(0), Length::from(1));
        let has_steps = graph.part(held.steps, &[0], &[&zero], &[&one], &[1])?;
        let has_steps = graph.reshape(has_steps, &[batch, &one])?;
        graph.times(of_first, has_steps)
    }

    /// The way back through the steps, which reads `sequences`, then the gradients of hidden states where the loss reads them,
    /// and `outer`.
    pub(crate) fn steps_back(
        &self,
        graph: &mut Graph,
        sequences: &[ValueId],
        outer: Vec<ValueId>,
    ) -> Result<Steps, CompilerError> {
        let mut all = sequences.to_vec();
        if let Some(dy) = self.dy {
            all.push(self.held(graph, dy)?);
        }
        Ok(Steps { states: self.last.clone(), sequences: all, outer, from_last: !self.is_reverse })
    }

    /// In a step back: the gradient of the hidden state, with what the loss gives it, which lies at `at`.
    pub(crate) fn with_dy(&self, step: &mut Graph, given: &[ValueId], at: usize) -> Emitted {
        if self.dy.is_some() { step.plus(given[0], given[at]) } else { Ok(given[0]) }
    }

    /// In a step back whose last two values are, where rows have their own lengths, whether it lies behind those of a row, and
    /// R: the gradient of the state before, gates · R, and all of dh where there was no step.
    pub(crate) fn state_before(&self, step: &mut Graph, given: &[ValueId], gates: ValueId, dh: ValueId) -> Emitted {
        let last = given.len() - 1;
        let before = step.add("MatMul", &[gates, given[last]], &[])?;
        if self.held.is_none() {
            return Ok(before);
        }
        let passed = step.times(dh, given[last - 1])?;
        step.plus(before, passed)
    }
}

/// x · Wᵀ + bias.
pub(crate) fn affine(graph: &mut Graph, x: ValueId, w: ValueId, bias: Option<ValueId>) -> Emitted {
    let inputs: Vec<ValueId> = [x, w].into_iter().chain(bias).collect();
    graph.add("Gemm", &inputs, &[("transB", 1.into())])
}

/// aᵀ · b: over all steps of all rows.
pub(crate) fn product_of_turned(graph: &mut Graph, a: ValueId, b: ValueId) -> Emitted {
    graph.add("Gemm", &[a, b], &[("transA", 1.into())])
}

/// The gates side by side, of the same width.
pub(crate) fn apart(graph: &mut Graph, gates: ValueId, count: usize) -> Result<Vec<ValueId>, CompilerError> {
    let wide = graph.shape(gates)?[1].exact_quotient(&count.into()).and_then(|width| width.as_number());
    let width = wide.ok_or_else(|| {
        CompilerError::unsupported("gates of an open width", "state the lengths of the recurrent weights")
    })?;
    let lengths = graph.integers(&vec![width; count]);
    graph.add_with("Split", &[Some(gates), Some(lengths)], &[("axis", Attribute::Int(1))], count)
}

/// A part of an input along its first axis, without the axis.
fn of_direction(b: &mut Backward<'_>, input: usize, index: usize) -> Emitted {
    let value = b.input(input)?;
    part_of(b.graph, value, 0, index)
}

fn part_of(graph: &mut Graph, value: ValueId, axis: usize, index: usize) -> Emitted {
    let mut shape = graph.shape(value)?.to_vec();
    let count = shape.remove(axis);
    let (index, one) = (Length::from(index), Length::from(1));
    let part = match count == 1 {
        true => value,
        false => graph.part(value, &[axis as i64], &[&index], &[&one], &[1])?,
    };
    graph.reshape(part, &shape)
}

/// The biases of a direction, beside W and beside R.
fn halves(b: &mut Backward<'_>, index: usize) -> Result<[ValueId; 2], CompilerError> {
    let both = of_direction(b, 3, index)?;
    let half = b.graph.shape(both)?[0].exact_quotient(&2.into());
    let half = half.ok_or_else(|| b.error("its biases are no two of the same length"))?;
    let [input, state] =
        [Length::from(0), half.clone()].map(|start| b.graph.part(both, &[0], &[&start], &[&half], &[1]));
    Ok([input?, state?])
}

/// What the gates i, o and f of a direction see the cell by.
fn thirds(b: &mut Backward<'_>, index: usize, hidden: &Length) -> Result<[ValueId; 3], CompilerError> {
    let all = of_direction(b, PEEPHOLES, index)?;
    let [i, o, f] = [0usize, 1, 2].map(|gate| b.graph.part(all, &[0], &[&(hidden * gate)], &[hidden], &[1]));
    Ok([i?, o?, f?])
}

/// The activations of each direction.
fn activations(
    b: &Backward<'_>,
    usual: &[Activation],
    directions: usize,
) -> Result<Vec<Vec<Activation>>, CompilerError> {
    let names = match b.node.attributes.get("activations") {
        Some(Attribute::Strings(names)) if !names.is_empty() => names.as_slice(),
        _ => return Ok(vec![usual.to_vec(); directions]),
    };
    // the standard's own default of RNN is two, also for one direction
    let is_default_of_two = usual.len() == 1 && directions == 1 && names.len() == 2;
    let names = if is_default_of_two { &names[..1] } else { names };
    if names.len() != usual.len() * directions {
        return Err(b.error(format!("{} activations, wanted {} a direction", names.len(), usual.len())));
    }
    let numbers = |attribute: &str| match b.node.attributes.get(attribute) {
        Some(Attribute::Floats(numbers)) => numbers.clone().into_iter(),
        _ => Vec::new().into_iter(),
    };
    let (mut alphas, mut betas) = (numbers("activation_alpha"), numbers("activation_beta"));
    let known = |name: &bytes::Bytes| {
        let found = Activation::named(&String::from_utf8_lossy(name), &mut alphas, &mut betas);
        found.map_err(|reason| b.no_gradient(reason))
    };
    let all = names.iter().map(known).collect::<Result<Vec<Activation>, CompilerError>>()?;
    Ok(all.chunks(usual.len()).map(<[Activation]>::to_vec).collect())
}

/// Where rows have steps, if their lengths are given.
fn held(b: &mut Backward<'_>, sizes: &Sizes) -> Result<Option<Held>, CompilerError> {
    let Some(lengths) = b.node.input(4) else { return Ok(None) };
    let lengths = b.graph.cast(lengths, ElementType::I64)?;
    let lengths = b.graph.reshape(lengths, &[&1.into(), &sizes.batch, &1.into()])?;
    let places = b.graph.positions(&sizes.steps)?;
    let places = b.graph.reshape(places, &[&sizes.steps, &1.into(), &1.into()])?;
    let is_step = b.graph.add("Less", &[places, lengths], &[])?;
    let steps = b.graph.cast(is_step, ElementType::F32)?;
    let behind = one_minus(b.graph, steps)?;
    Ok(Some(Held { steps, behind }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperatorCatalog;
    use crate::backward::gradients;

    /// What is said of a layer of two hidden numbers with these attributes, when its gradient is asked for.
    fn said(operator: &str, attributes: &[(&str, Attribute)]) -> Result<(), String> {
        let gates = match operator {
            "LSTM" => 4,
            "GRU" => 3,
            _ => 1,
        };
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let shapes = [[4, 3, 2], [1, 2 * gates, 2], [1, 2 * gates, 2]];
        let inputs = shapes.map(|shape| graph.input("input", TensorType::f32(shape)));
        let mut trained = || {
            let y = graph.add(operator, &inputs, attributes)?;
            let loss = graph.reduce_sum(y, &[0, 1, 2, 3], false)?;
            gradients(&mut graph, loss, &inputs, &OperatorCatalog::standard())
        };
        trained().map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_onnx_runtime_refuses_or_takes_otherwise_than_the_standard_is_refused_with_the_reason() {
        let names = |names: &[&'static str]| Attribute::Strings(names.iter().map(|name| (*name).into()).collect());
        let own = |names: Attribute| vec![("activations", names)];
        type Row = (&'static str, Vec<(&'static str, Attribute)>, &'static str);
        let rows: [Row; 11] = [
            ("LSTM", vec![("layout", 1.into())], "its layout is 1"),
            ("GRU", vec![("layout", 1.into())], "its layout is 1"),
            ("RNN", vec![("layout", 1.into())], "its layout is 1"),
            ("LSTM", vec![("clip", 0.0.into())], "its clip is 0, and ONNX Runtime wants more than 0"),
            ("GRU", vec![("clip", (-1.0).into())], "its clip is -1, and ONNX Runtime wants more than 0"),
            ("LSTM", own(names(&["Sigmoid", "Tanh", "Softmax"])), "its activation Softmax is none of the standard"),
            ("GRU", own(names(&["Sigmoid"])), "1 activations, wanted 2 a direction"),
            ("RNN", own(names(&["ThresholdedRelu"])), "its activation ThresholdedRelu has no activation_alpha"),
            ("GRU", own(names(&["Sigmoid", "Affine"])), "its activation Affine has no activation_alpha"),
            (
                "RNN",
                [own(names(&["ScaledTanh"])), vec![("activation_alpha", Attribute::Floats(vec![1.5]))]].concat(),
                "its activation ScaledTanh has no activation_beta",
            ),
            ("RNN", own(names(&["Tanh", "Tanh", "Tanh"])), "3 activations, wanted 1 a direction"),
        ];
        for (operator, attributes, wanted) in rows {
            let whole = [attributes.clone(), vec![("hidden_size", 2.into())]].concat();
            let error = said(operator, &whole).expect_err(wanted);
            assert!(error.contains(wanted), "{operator}: wanted `{wanted}` in `{error}`");
        }
        for operator in ["LSTM", "GRU", "RNN"] {
            let error = said(operator, &[]).expect_err("no hidden_size");
            assert!(error.contains("no attribute `hidden_size`"), "{operator}: {error}");
            assert_eq!(said(operator, &[("hidden_size", 2.into()), ("clip", 0.5.into())]), Ok(()), "{operator}");
        }
    }
}
