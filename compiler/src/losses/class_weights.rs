//! A factor for each class: what losses of classes that are not equally many count them by.

use millstream_schemas::choice::at_least;

use crate::CompilerError;
use crate::graph::{Constant, Graph, TensorType, ValueId};

/// Refuses factors that are no weights, or all 0.
pub(super) fn check(option: &str, factors: &[f64]) -> Result<(), String> {
    factors.iter().try_for_each(|factor| at_least(option, *factor))?;
    match factors.iter().all(|factor| *factor == 0.0) && !factors.is_empty() {
        true => Err(format!("{option} are all 0, so nothing would count")),
        false => Ok(()),
    }
}

/// Refuses factors that are not as many as the classes of scores `[batch, classes, …]`; none at all fit any.
pub(super) fn require_one_each(
    loss: &str,
    option: &str,
    factors: &[f64],
    scores: &TensorType,
) -> Result<(), CompilerError> {
    let (count, classes) = (factors.len(), &scores.shape[1]);
    if count == 0 || *classes == count {
        return Ok(());
    }
    let message = format!("{option} has a factor for each class, wanted {classes}, got {count}");
    Err(CompilerError::setting(format!("training.loss.{loss}.{option}"), message))
}

/// A value `[batch, classes, …]` times the factor of each class; the value itself where there are none.
pub(super) fn by_class(graph: &mut Graph, value: ValueId, factors: &[f64]) -> Result<ValueId, CompilerError> {
    if factors.is_empty() {
        return Ok(value);
    }
    let mut shape = vec![factors.len()];
    shape.extend(std::iter::repeat_n(1, graph.shape(value)?.len() - 2));
    let factors: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
    let factors = graph.constant("class_weights", Constant::f32(shape, &factors));
    graph.times(value, factors)
}
