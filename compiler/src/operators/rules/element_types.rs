//! Which element types an operator takes.

use crate::CompilerError;
use crate::graph::{ElementType, TensorType};
use crate::operators::TypeRuleInput;

type Given<'a> = Result<&'a TensorType, CompilerError>;

/// A required input of floats.
pub(crate) fn floats<'a>(rule: &TypeRuleInput<'a>, index: usize) -> Given<'a> {
    one_of(rule, index, "floats", ElementType::is_float)
}

/// A required input of floats or integers.
pub(crate) fn numbers<'a>(rule: &TypeRuleInput<'a>, index: usize) -> Given<'a> {
    one_of(rule, index, "numbers", |dtype| dtype != ElementType::Bool)
}

/// A required input of integers.
pub(crate) fn integers<'a>(rule: &TypeRuleInput<'a>, index: usize) -> Given<'a> {
    one_of(rule, index, "integers", |dtype| !dtype.is_float() && dtype != ElementType::Bool)
}

/// A required input of 32-bit or 64-bit integers: positions, counts.
pub(crate) fn positions<'a>(rule: &TypeRuleInput<'a>, index: usize) -> Given<'a> {
    one_of(rule, index, "int32 or int64", |dtype| matches!(dtype, ElementType::I32 | ElementType::I64))
}

/// A required input of truth values.
pub(crate) fn truths<'a>(rule: &TypeRuleInput<'a>, index: usize) -> Given<'a> {
    one_of(rule, index, "bool", |dtype| dtype == ElementType::Bool)
}

fn one_of<'a>(rule: &TypeRuleInput<'a>, index: usize, wanted: &str, fits: fn(ElementType) -> bool) -> Given<'a> {
    let given = rule.input(index)?;
    if fits(given.dtype) {
        Ok(given)
    } else {
        Err(rule.error(format!("input {index} is of type {}, wanted {wanted}", given.dtype.name())))
    }
}

/// The element type that an attribute names by its number in `onnx.proto`; `default` where it is not given.
pub(crate) fn named_by(
    rule: &TypeRuleInput<'_>,
    attribute: &str,
    default: ElementType,
) -> Result<ElementType, CompilerError> {
    let Some(number) = rule.node.int(attribute) else { return Ok(default) };
    ElementType::stated(number).map_err(|told| rule.error(format!("`{attribute}` is {told}")))
}
