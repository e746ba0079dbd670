//! Values of small integer tensors, computed here: what exporters leave of shape arithmetic.

use super::axes;
use crate::CompilerError;
use crate::graph::{Constant, ElementType};
use crate::operators::TypeRuleInput;

type Folded = Result<Option<Constant>, CompilerError>;

/// Larger tensors are left to the runtime.
const MOST_ELEMENTS: usize = 1 << 16;

/// Whether a tensor of this shape is small enough to be computed here.
pub(crate) fn is_small(shape: &[usize]) -> bool {
    axes::elements(shape).is_some_and(|count| count <= MOST_ELEMENTS)
}

/// An input that is a small constant of integers or truth values. Floats are left alone: they may be trained.
pub(crate) fn integer_input<'a>(rule: &TypeRuleInput<'a>, index: usize) -> Option<&'a Constant> {
    let whole = |dtype| matches!(dtype, ElementType::I64 | ElementType::I32 | ElementType::Bool);
    rule.constant(index).filter(|constant| whole(constant.dtype) && is_small(&constant.shape))
}

/// Integers as a constant of another element type; `None` when one does not fit or the type is not known here.
pub(crate) fn from_integers(dtype: ElementType, shape: &[usize], values: &[i64]) -> Option<Constant> {
    let bytes: Vec<u8> = match dtype {
        ElementType::I64 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ElementType::I32 => {
            let narrow = values.iter().map(|value| i32::try_from(*value)).collect::<Result<Vec<i32>, _>>().ok()?;
            narrow.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        ElementType::Bool => values.iter().map(|value| u8::from(*value != 0)).collect(),
        ElementType::F32 => values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect(),
        _ => return None,
    };
    Some(Constant { dtype, shape: shape.to_vec(), bytes: bytes.into() })
}

/// Position of each axis' step in a row-major tensor.
pub(crate) fn steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}

/// A tensor whose element at each position is one of the source's: `from` says which.
pub(crate) fn moved(source: &Constant, shape: &[usize], from: impl Fn(&[usize]) -> usize) -> Constant {
    let width = source.dtype.bytes();
    let count = shape.iter().product();
    let mut bytes = Vec::with_capacity(count * width);
    let mut at = vec![0; shape.len()];
    for _ in 0..count {
        let start = from(&at) * width;
        bytes.extend_from_slice(&source.bytes[start..start + width]);
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Constant { dtype: source.dtype, shape: shape.to_vec(), bytes: bytes.into() }
}

/// The source repeated along axes of length one and new leading axes.
pub(crate) fn expanded(source: &Constant, shape: &[usize]) -> Constant {
    let (lead, steps) = (shape.len() - source.shape.len(), steps(&source.shape));
    moved(source, shape, |at| {
        let axes = source.shape.iter().zip(&steps).enumerate();
        axes.map(|(axis, (length, step))| if *length == 1 { 0 } else { at[lead + axis] * step }).sum()
    })
}

/// The first input's elements in the output's shape.
pub(crate) fn reshaped(rule: &TypeRuleInput<'_>, shape: &[usize]) -> Option<Constant> {
    let source = integer_input(rule, 0)?;
    let bytes = source.bytes.clone();
    Some(Constant { dtype: source.dtype, shape: shape.to_vec(), bytes })
}

/// One integer to one integer, element by element.
pub(crate) fn unary(rule: &TypeRuleInput<'_>, value: fn(i64) -> Option<i64>) -> Folded {
    let Some((source, numbers)) = integer_input(rule, 0).and_then(|source| Some((source, source.to_i64()?))) else {
        return Ok(None);
    };
    let values = numbers.into_iter().map(value).collect::<Option<Vec<i64>>>();
    Ok(values.and_then(|values| from_integers(source.dtype, &source.shape, &values)))
}

/// Two integers to one, broadcast; the result keeps the inputs' element type.
pub(crate) fn binary(rule: &TypeRuleInput<'_>, value: impl Fn(i64, i64) -> Option<i64>) -> Folded {
    let dtype = rule.input(0)?.dtype;
    two(rule, dtype, value)
}

/// Two integers to a truth value, broadcast.
pub(crate) fn comparison(rule: &TypeRuleInput<'_>, holds: fn(i64, i64) -> bool) -> Folded {
    two(rule, ElementType::Bool, |a, b| Some(i64::from(holds(a, b))))
}

fn two(rule: &TypeRuleInput<'_>, dtype: ElementType, value: impl Fn(i64, i64) -> Option<i64>) -> Folded {
    let (Some(a), Some(b)) = (integer_input(rule, 0), integer_input(rule, 1)) else { return Ok(None) };
    let shape = rule.broadcast(&a.shape, &b.shape)?;
    if !is_small(&shape) {
        return Ok(None);
    }
    let (Some(a), Some(b)) = (expanded(a, &shape).to_i64(), expanded(b, &shape).to_i64()) else { return Ok(None) };
    let values = a.into_iter().zip(b).map(|(a, b)| value(a, b)).collect::<Option<Vec<i64>>>();
    Ok(values.and_then(|values| from_integers(dtype, &shape, &values)))
}
