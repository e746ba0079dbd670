//! Types of tensors that are made without reading values: windows.

use super::{axes, element_types};
use crate::CompilerError;
use crate::graph::{ElementType, TensorType};
use crate::operators::TypeRuleInput;

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
