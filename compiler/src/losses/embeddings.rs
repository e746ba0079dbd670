//! What losses between vectors of a batch share.

use super::loss_function::LossInputs;
use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};

/// Added to squares under a root, as in PyTorch's cosine embedding loss.
const LEAST_SQUARE: f32 = 1e-12;

/// An error that says which vectors a loss wants.
pub(super) fn wrong_vectors(wanted: &str, prediction: &TensorType) -> CompilerError {
    let message = format!("the loss wants vectors, {wanted}, and the prediction is {prediction}");
    CompilerError::setting("training.loss", message)
}

/// Vectors along the last axis, each divided by its length.
pub(super) fn normalized(graph: &mut Graph, vectors: ValueId) -> Result<ValueId, CompilerError> {
    let last = graph.shape(vectors)?.len() as i64 - 1;
    let squares = graph.times(vectors, vectors)?;
    let sum = graph.reduce_sum(squares, &[last], true)?;
    let least = graph.scalar(LEAST_SQUARE);
    let sum = graph.plus(sum, least)?;
    let length = graph.add("Sqrt", &[sum], &[])?;
    graph.divided_by(vectors, length)
}

/// One of the vectors of each row, `[batch, features]`, of `[batch, vectors, features]`.
pub(super) fn vector(graph: &mut Graph, vectors: ValueId, at: i64) -> Result<ValueId, CompilerError> {
    let one = graph.part(vectors, &[1], &[Length::number(at)], &[Length::number(1)], &[1])?;
    let axis = graph.integers(&[1]);
    graph.add("Squeeze", &[one, axis], &[])
}

/// The product of each vector of one list with each of another, `[batch, batch]`.
pub(super) fn products(graph: &mut Graph, one: ValueId, other: ValueId) -> Result<ValueId, CompilerError> {
    let turned = graph.transpose(other, &[1, 0])?;
    graph.add("MatMul", &[one, turned], &[])
}

/// Which rows of a batch may be compared with which: float32 `[batch, batch]`, 1 or 0.
pub(super) struct RowPairs {
    /// Rows of one group, both of which have weight.
    pub(super) alike: ValueId,
    /// Rows of two groups, both of which have weight.
    pub(super) unlike: ValueId,
}

impl RowPairs {
    /// Of targets that name the group of each row, int64 `[batch]`. Without `with_itself` no row is compared with itself.
    pub(super) fn of(graph: &mut Graph, inputs: &LossInputs, with_itself: bool) -> Result<Self, CompilerError> {
        let is_there = graph.add("Sign", &[inputs.weights()?], &[])?;
        let (down, across) = down_and_across(graph, is_there)?;
        let mut pairs = graph.times(down, across)?;
        if !with_itself {
            let rows = graph.shape(is_there)?[0].clone();
            let places = graph.positions(&rows)?;
            let (down, across) = down_and_across(graph, places)?;
            let is_same = graph.add("Equal", &[down, across], &[])?;
            let is_other = graph.add("Not", &[is_same], &[])?;
            let is_other = graph.cast(is_other, ElementType::F32)?;
            pairs = graph.times(pairs, is_other)?;
        }
        let (down, across) = down_and_across(graph, inputs.targets)?;
        let is_alike = graph.add("Equal", &[down, across], &[])?;
        let is_alike = graph.cast(is_alike, ElementType::F32)?;
        let alike = graph.times(is_alike, pairs)?;
        Ok(Self { alike, unlike: graph.minus(pairs, alike)? })
    }
}

/// `[batch]` as `[batch, 1]` and as `[1, batch]`.
fn down_and_across(graph: &mut Graph, of_rows: ValueId) -> Result<(ValueId, ValueId), CompilerError> {
    let (first, second) = (graph.integers(&[0]), graph.integers(&[1]));
    let down = graph.add("Unsqueeze", &[of_rows, second], &[])?;
    Ok((down, graph.add("Unsqueeze", &[of_rows, first], &[])?))
}
