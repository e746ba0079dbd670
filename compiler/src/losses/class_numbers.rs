//! Classes given as numbers, for losses that compare probabilities.

use super::cross_entropy::require_scores;
use super::row_mean::sums_of_rows;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, TensorType, ValueId};

/// The class of places that do not count, where nothing else is said: PyTorch's, and that of the encoding `spans`.
pub(super) const IGNORE_INDEX: i64 = -100;

/// What numbers of classes say, for scores `[batch, classes, …]`.
pub(super) struct ClassNumbers {
    /// 1 at the class of a place that counts, 0 elsewhere, float32 `[batch, classes, …]`.
    pub(super) one_hot: ValueId,
    /// Whether a place counts, as 1 or 0, float32 `[batch, 1, …]`.
    pub(super) counts: ValueId,
    /// 1 where a class is none and not to be ignored, 0 elsewhere, float32 `[batch, 1, …]`.
    pub(super) missing: ValueId,
    /// Added to a loss, float32 `[]`: 0, or infinity where a class is none and not to be ignored.
    pub(super) penalty: ValueId,
}

/// Targets are int64 without the axis of classes.
pub(super) fn target(scores: &TensorType) -> Result<TensorType, CompilerError> {
    require_scores(scores)?;
    let mut shape = scores.shape.clone();
    shape.remove(1);
    Ok(TensorType { dtype: ElementType::I64, shape })
}

impl ClassNumbers {
    /// Reads `numbers` as classes of `scores`; those that are `ignore_index` do not count.
    ///
    /// # Errors
    /// The number of classes is open.
    pub(super) fn read(
        graph: &mut Graph,
        scores: ValueId,
        numbers: ValueId,
        ignore_index: i64,
    ) -> Result<Self, CompilerError> {
        let shape = graph.shape(scores)?;
        let (classes, further) = (shape[1].fixed(), shape.len() - 2);
        let classes = classes.ok_or_else(|| {
            CompilerError::setting(
                "training.loss",
                "the number of classes is open; export the model with a fixed number of them",
            )
        })?;
        let mut shape = vec![classes];
        shape.extend(std::iter::repeat_n(1, further));
        let all: Vec<i64> = (0..classes as i64).collect();
        let all = graph.constant("classes", Constant::i64(shape, &all));
        let ignored = graph.constant("ignore_index", Constant::i64([], &[ignore_index]));
        let axis = graph.integers(&[1]);
        let column = graph.add("Unsqueeze", &[numbers, axis], &[])?;
        let is_class = graph.add("Equal", &[column, all], &[])?;
        let is_ignored = graph.add("Equal", &[column, ignored], &[])?;
        let counts = graph.add("Not", &[is_ignored], &[])?;
        let is_target = graph.add("And", &[is_class, counts], &[])?;
        let one_hot = graph.cast(is_target, ElementType::F32)?;
        let counts = graph.cast(counts, ElementType::F32)?;
        let found = graph.reduce_sum(one_hot, &[1], true)?;
        let missing = graph.minus(counts, found)?;
        let penalty = infinite_where(graph, missing)?;
        Ok(Self { one_hot, counts, missing, penalty })
    }
}

/// Infinity where any number is 1, and 0 where all are 0: −log(1 − 0) is 0, and −log(1 − 1) is infinite.
pub(super) fn infinite_where(graph: &mut Graph, flags: ValueId) -> Result<ValueId, CompilerError> {
    let logarithms = logarithms_of_rest(graph, flags)?;
    let sum = total(graph, logarithms)?;
    graph.add("Neg", &[sum], &[])
}

/// The same of each row, `[batch]`.
pub(super) fn infinite_in_rows(graph: &mut Graph, flags: ValueId) -> Result<ValueId, CompilerError> {
    let logarithms = logarithms_of_rest(graph, flags)?;
    let sums = sums_of_rows(graph, logarithms)?;
    graph.add("Neg", &[sums], &[])
}

/// log(1 − x), number by number.
fn logarithms_of_rest(graph: &mut Graph, flags: ValueId) -> Result<ValueId, CompilerError> {
    let one = graph.scalar(1.0);
    let left = graph.minus(one, flags)?;
    graph.add("Log", &[left], &[])
}

/// The sum of all numbers, float32 `[]`.
pub(super) fn total(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let axes: Vec<i64> = (0..graph.shape(value)?.len() as i64).collect();
    if axes.is_empty() { Ok(value) } else { graph.reduce_sum(value, &axes, false) }
}
