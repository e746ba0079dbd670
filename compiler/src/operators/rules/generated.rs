//! Types of tensors that are made without reading values: random numbers, windows.

use super::{axes, element_types};
use crate::CompilerError;
use crate::graph::{ElementType, Length, TensorType};
use crate::operators::TypeRuleInput;

/// Of the attribute `shape`, in the element type of `dtype`.
pub(crate) fn of_attribute(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let shape = rule.node.ints("shape").ok_or_else(|| rule.error("no attribute `shape`"))?;
    let shape = axes::lengths(shape.iter().copied().map(Length::number).collect());
    let dtype = element_types::named_by(rule, "dtype", ElementType::F32)?;
    Ok(vec![TensorType { dtype, shape: shape.map_err(|message| rule.error(message))? }])
}

/// Of the first input's shape, in the element type of `dtype` or else the input's.
pub(crate) fn like_first(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    Ok(vec![TensorType { dtype: element_types::named_by(rule, "dtype", x.dtype)?, shape: x.shape.clone() }])
}

/// A vector as long as the first input says, in the element type of `output_datatype`.
pub(crate) fn window(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    element_types::positions(rule, 0)?;
    let length = axes::lengths(rule.known_lengths(0)?).map_err(|message| rule.error(message))?;
    let dtype = element_types::named_by(rule, "output_datatype", ElementType::F32)?;
    match length.as_slice() {
        [_] => Ok(vec![TensorType { dtype, shape: length }]),
        other => Err(rule.error(format!("{} lengths of a window", other.len()))),
    }
}
