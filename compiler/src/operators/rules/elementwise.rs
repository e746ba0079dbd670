//! Types of outputs that many operators share: those of their inputs, one by one or broadcast.

use crate::CompilerError;
use crate::graph::{ElementType, TensorType};
use crate::operators::TypeRuleInput;

/// The output has the first input's type: for operators that work on each element.
pub(crate) fn same_as_first(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![rule.input(0)?.clone()])
}

/// The output has the first input's element type and the shape that the first two inputs broadcast to.
pub(crate) fn broadcast_of_two(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (a, b) = (rule.input(0)?, rule.input(1)?);
    if a.dtype != b.dtype {
        return Err(rule.error(format!("element types differ: {} and {}", a.dtype.name(), b.dtype.name())));
    }
    Ok(vec![TensorType { dtype: a.dtype, shape: rule.broadcast(&a.shape, &b.shape)? }])
}

/// Truth values of the shape that the first two inputs broadcast to.
pub(crate) fn truth_of_two(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let shape = broadcast_of_two(rule)?.remove(0).shape;
    Ok(vec![TensorType { dtype: ElementType::Bool, shape }])
}
