//! What ReduceSum, ReduceMean and their like share: which axes go, and how a gradient comes back over them.

use super::axes;
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Length, Node, TensorType, ValueId};
use crate::operators::TypeRuleInput;

/// The axes a node reduces. `input_since`: the opset from which they are an input, not an attribute.
fn reduced_axes(graph: &Graph, node: &Node, rank: usize, input_since: i64) -> Result<Vec<usize>, String> {
    let given = if graph.opset < input_since {
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
pub(crate) fn types(rule: &TypeRuleInput<'_>, input_since: i64) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if rule.opset() >= input_since {
        rule.require_known(1..2)?;
    }
    let reduced =
        reduced_axes(rule.graph, rule.node, x.shape.len(), input_since).map_err(|message| rule.error(message))?;
    let shape = if rule.node.int("keepdims").unwrap_or(1) != 0 {
        kept(&x.shape, &reduced)
    } else {
        let axes = x.shape.iter().enumerate().filter(|(axis, _)| !reduced.contains(axis));
        axes.map(|(_, length)| length.clone()).collect()
    };
    Ok(vec![TensorType { dtype: x.dtype, shape }])
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
    pub(crate) fn of(b: &Backward<'_>, input_since: i64) -> Result<Self, CompilerError> {
        let full = b.input_shape(0)?;
        let reduced = reduced_axes(b.graph, &b.node, full.len(), input_since).map_err(|message| b.error(message))?;
        Ok(Self { kept: kept(&full, &reduced), axes: reduced.iter().map(|axis| *axis as i64).collect(), full })
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
pub(crate) fn extreme_gradient(b: &mut Backward<'_>, input_since: i64) -> Result<(), CompilerError> {
    let reduction = Reduction::of(b, input_since)?;
    let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
    let dx = to_extremes(b.graph, &reduction, x, y, dy)?;
    b.give(0, dx)
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
