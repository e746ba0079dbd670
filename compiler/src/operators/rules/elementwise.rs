//! Types of outputs that many operators share: those of their inputs, one by one or broadcast.

use super::element_types;
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
        return Err(rule.types_differ(a, b));
    }
    Ok(vec![TensorType { dtype: a.dtype, shape: rule.broadcast(&a.shape, &b.shape)? }])
}

/// Floats of the shape that all inputs broadcast to.
pub(crate) fn broadcast_of_all(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut all = element_types::floats(rule, 0)?.clone();
    for index in 1..rule.node.inputs.len() {
        let other = rule.input(index)?;
        if other.dtype != all.dtype {
            return Err(rule.types_differ(&all, other));
        }
        all.shape = rule.broadcast(&all.shape, &other.shape)?;
    }
    Ok(vec![all])
}

/// Truth values of the shape that the first two inputs broadcast to.
pub(crate) fn truth_of_two(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let shape = broadcast_of_two(rule)?.remove(0).shape;
    Ok(vec![TensorType { dtype: ElementType::Bool, shape }])
}

/// The output has the first input's type, floats.
pub(crate) fn floats_as_first(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![element_types::floats(rule, 0)?.clone()])
}

/// Truth values of the shape of the first input, floats.
pub(crate) fn truth_of_floats(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let shape = element_types::floats(rule, 0)?.shape.clone();
    Ok(vec![TensorType { dtype: ElementType::Bool, shape }])
}

/// The output has the first input's type, floats or integers.
pub(crate) fn numbers_as_first(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![element_types::numbers(rule, 0)?.clone()])
}

/// Integers of the shape that the first two inputs broadcast to.
pub(crate) fn integers_of_two(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    element_types::integers(rule, 0)?;
    broadcast_of_two(rule)
}
