//! What ReduceSum, ReduceMean and their like share: which axes go, and how a gradient comes back over them.

use super::{axes, folding};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{AXES_INPUT_SINCE, Graph, Known, Length, Node, TensorType, ValueId, axes_input_since};
use crate::operators::{Sample, TypeRuleInput, fixed_integers, varied_in};

/// The axes a node reduces.
fn reduced_axes(graph: &Graph, node: &Node, rank: usize) -> Result<Vec<usize>, String> {
    let given = if graph.opset < axes_input_since(&node.operator) {
        node.ints("axes").map(<[i64]>::to_vec)
    } else if node.input(1).is_none() {
        None
    } else {
        Some(axes::integers_of(graph, node, 1).ok_or("the axes are computed from data")?)
    };
    match given {
        Some(given) if !given.is_empty() => axes::all_from_front(&given, rank),
        _ if node.int("noop_with_empty_axes").unwrap_or(0) != 0 => Ok(vec![]),
        _ => Ok((0..rank).collect()),
    }
}

fn kept(shape: &[Length], reduced: &[usize]) -> Vec<Length> {
    shape
        .iter()
        .enumerate()
        .map(|(axis, length)| if reduced.contains(&axis) { 1.into() } else { length.clone() })
        .collect()
}

/// The output's type.
pub(crate) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if rule.opset() >= axes_input_since(&rule.node.operator) {
        rule.require_known(1..2)?;
    }
    let reduced = reduced_axes(rule.graph, rule.node, x.shape.len()).map_err(|message| rule.error(message))?;
    let shape = if rule.node.int("keepdims").unwrap_or(1) != 0 {
        kept(&x.shape, &reduced)
    } else {
        let axes = x.shape.iter().enumerate().filter(|(axis, _)| !reduced.contains(axis));
        axes.map(|(_, length)| length.clone()).collect()
    };
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

/// Integers reduced: `join` puts one more element to what is there, `None` where names leave it open. What has no elements
/// is left to the runtime.
pub(crate) fn fold(
    rule: &TypeRuleInput<'_>,
    join: fn(&Length, &Length) -> Option<Length>,
) -> Result<Option<Known>, CompilerError> {
    let Some(source) = folding::integer_input(rule, 0) else { return Ok(None) };
    let Some(shape) = folding::small_shape(&types(rule)?.remove(0).shape) else { return Ok(None) };
    let reduced = reduced_axes(rule.graph, rule.node, source.shape.len());
    let reduced = reduced.map_err(|message| rule.error(message))?;
    let kept: Vec<usize> =
        (0..source.shape.len()).map(|at| if reduced.contains(&at) { 1 } else { source.shape[at] }).collect();
    let (steps, kept_steps) = (folding::steps(&source.shape), folding::steps(&kept));
    let mut joined: Vec<Option<Length>> = vec![None; kept.iter().product()];
    for (at, element) in source.elements.iter().enumerate() {
        let to = (0..kept.len())
            .map(|axis| at / steps[axis] % source.shape[axis] % kept[axis] * kept_steps[axis])
            .sum::<usize>();
        joined[to] = Some(match &joined[to] {
            None => element.clone(),
            Some(so_far) => match join(so_far, element) {
                Some(joined) => joined,
                None => return Ok(None),
            },
        });
    }
    let elements = joined.into_iter().collect::<Option<Vec<Length>>>();
    Ok(elements.and_then(|elements| folding::from_elements(source.dtype, &shape, elements)))
}

/// Samples of a reduction whose axes are an input from opset 18 on; inputs lie in the range.
pub(crate) fn samples_in(low: f32, high: f32) -> Vec<Sample> {
    let x = |shape: &[usize]| varied_in(shape, low, high);
    let flat = || vec![("keepdims", 0.into())];
    let named = || vec![("axes", vec![1].into()), ("keepdims", 0.into())];
    vec![
        Sample::new("all axes", vec![x(&[2, 3])], flat()),
        Sample::new("named axes", vec![x(&[2, 3, 4]), fixed_integers(&[0, -1])], vec![]).since(18),
        Sample::new("without kept axes", vec![x(&[2, 3, 4]), fixed_integers(&[1])], flat()).since(18),
        Sample::new("axes as attribute", vec![x(&[2, 3, 4])], vec![("axes", vec![0, -1].into())]).until(17),
        Sample::new("without kept axes", vec![x(&[2, 3, 4])], named()).until(17),
    ]
}

/// What a rule needs to go back through a reduction.
pub(crate) struct Reduction {
    /// The input's shape.
    pub(crate) full: Vec<Length>,
    /// The same with reduced axes of length one.
    pub(crate) kept: Vec<Length>,
    /// The reduced axes.
    pub(crate) axes: Vec<i64>,
}

impl Reduction {
    /// Reads it from the node.
    pub(crate) fn of(b: &Backward<'_>) -> Result<Self, CompilerError> {
        let full = b.input_shape(0)?;
        let reduced = reduced_axes(b.graph, &b.node, full.len()).map_err(|message| b.error(message))?;
        Ok(Self { kept: kept(&full, &reduced), axes: reduced.iter().map(|axis| *axis as i64).collect(), full })
    }

    /// Reads it from a node that must reduce an axis.
    pub(crate) fn of_some(b: &Backward<'_>) -> Result<Self, CompilerError> {
        let reduction = Self::of(b)?;
        if reduction.axes.is_empty() {
            Err(b.no_gradient("it reduces no axis, and runtimes differ in what that is"))
        } else {
            Ok(reduction)
        }
    }

    /// Number of elements that become one.
    pub(crate) fn count(&self) -> Length {
        self.axes.iter().map(|axis| &self.full[*axis as usize]).product()
    }

    /// A value of the output's shape repeated over the reduced axes.
    pub(crate) fn spread(&self, graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
        let value = graph.reshape(value, &self.kept)?;
        if self.kept == self.full { Ok(value) } else { graph.expand(value, &self.full) }
    }
}

/// Back through a maximum or minimum: the gradient goes to the extreme elements, in equal parts where several are equal.
pub(crate) fn extreme_gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let reduction = Reduction::of(b)?;
    let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
    let dx = to_extremes(b.graph, &reduction, x, y, dy)?;
    b.give(0, dx)
}

/// Products over `axes`, which stay with length one.
pub(crate) fn product(graph: &mut Graph, value: ValueId, axes: &[i64]) -> Result<ValueId, CompilerError> {
    if graph.opset < AXES_INPUT_SINCE {
        return graph.add("ReduceProd", &[value], &[("axes", axes.to_vec().into())]);
    }
    let axes = graph.integers(axes);
    graph.add("ReduceProd", &[value, axes], &[])
}

/// `dy` handed to the elements of `x` that equal `y`.
pub(crate) fn to_extremes(
    graph: &mut Graph,
    reduction: &Reduction,
    x: ValueId,
    y: ValueId,
    dy: ValueId,
) -> Result<ValueId, CompilerError> {
    let (y, dy) = (graph.reshape(y, &reduction.kept)?, graph.reshape(dy, &reduction.kept)?);
    let is_extreme = graph.add("Equal", &[x, y], &[])?;
    let gate = graph.cast(is_extreme, crate::graph::ElementType::F32)?;
    let count = if reduction.axes.is_empty() { gate } else { graph.reduce_sum(gate, &reduction.axes, true)? };
    let share = graph.divided_by(dy, count)?;
    graph.times(gate, share)
}
