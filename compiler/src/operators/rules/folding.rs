//! Elements of small integer tensors, computed here: what exporters leave of shape arithmetic.

use std::collections::BTreeSet;

use super::axes;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Integers, Known, Length};
use crate::operators::TypeRuleInput;

type Folded = Result<Option<Known>, CompilerError>;

/// Larger tensors are left to the runtime.
const MOST_ELEMENTS: usize = 1 << 16;

/// Whether a tensor of this shape is small enough to be computed here.
pub(crate) fn is_small(shape: &[usize]) -> bool {
    axes::elements(shape).is_some_and(|count| count <= MOST_ELEMENTS)
}

/// The output's lengths by its type rule, where it is small enough to be computed here.
pub(crate) fn small_shape(shape: &[Length]) -> Option<Vec<usize>> {
    crate::graph::fixed_lengths(shape).filter(|shape| is_small(shape))
}

/// An input that is small, of integers or truth values, and known before the run. Floats are left alone: they may be
/// trained.
pub(crate) fn integer_input(rule: &TypeRuleInput<'_>, index: usize) -> Option<Integers> {
    let given = rule.node.input(index)?;
    let whole = |dtype| matches!(dtype, ElementType::I64 | ElementType::I32 | ElementType::Bool);
    let known = rule.graph.tensor_type(given)?;
    (whole(known.dtype) && small_shape(&known.shape).is_some()).then(|| rule.graph.integers_of(given)).flatten()
}

/// Elements as a tensor of some type; `None` when one does not fit or the type is not known here.
pub(crate) fn from_elements(dtype: ElementType, shape: &[usize], elements: Vec<Length>) -> Option<Known> {
    let numbers: Option<Vec<i64>> = elements.iter().map(Length::as_number).collect();
    match numbers {
        Some(numbers) => from_integers(dtype, shape, &numbers).map(Known::Constant),
        None if !matches!(dtype, ElementType::I64 | ElementType::I32) => None,
        None if elements.iter().any(|element| element.as_number().is_none() && element.is_excessive()) => None,
        None => Some(Known::Integers(Integers { dtype, shape: shape.to_vec(), elements })),
    }
}

fn from_integers(dtype: ElementType, shape: &[usize], values: &[i64]) -> Option<Constant> {
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
pub(crate) fn moved(source: &Integers, shape: &[usize], from: impl Fn(&[usize]) -> usize) -> Option<Known> {
    let elements = taken(&source.elements, shape, from);
    from_elements(source.dtype, shape, elements)
}

fn taken<T: Clone>(source: &[T], shape: &[usize], from: impl Fn(&[usize]) -> usize) -> Vec<T> {
    let count = shape.iter().product();
    let mut elements = Vec::with_capacity(count);
    let mut at = vec![0; shape.len()];
    for _ in 0..count {
        elements.push(source[from(&at)].clone());
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    elements
}

/// The source's elements repeated along axes of length one and new leading axes.
pub(crate) fn expanded(source: &Integers, shape: &[usize]) -> Vec<Length> {
    spread(&source.shape, &source.elements, shape)
}

/// As [`expanded`], for elements of any kind.
pub(crate) fn spread<T: Clone>(from: &[usize], elements: &[T], shape: &[usize]) -> Vec<T> {
    let (lead, steps) = (shape.len() - from.len(), steps(from));
    taken(elements, shape, |at| {
        let axes = from.iter().zip(&steps).enumerate();
        axes.map(|(axis, (length, step))| if *length == 1 { 0 } else { at[lead + axis] * step }).sum()
    })
}

/// With updates in place of the elements at `places`; `None` where they are not as many, or a place is written twice.
pub(crate) fn written(mut data: Integers, places: Vec<usize>, updates: &[Length]) -> Option<Known> {
    let distinct: BTreeSet<usize> = places.iter().copied().collect();
    if places.len() != updates.len() || distinct.len() != places.len() {
        return None;
    }
    for (place, update) in places.into_iter().zip(updates) {
        *data.elements.get_mut(place)? = update.clone();
    }
    from_elements(data.dtype, &data.shape, data.elements)
}

/// One integer to one integer, element by element.
pub(crate) fn unary(rule: &TypeRuleInput<'_>, value: fn(&Length) -> Option<Length>) -> Folded {
    let Some(source) = integer_input(rule, 0) else { return Ok(None) };
    let elements = source.elements.iter().map(value).collect::<Option<Vec<Length>>>();
    Ok(elements.and_then(|elements| from_elements(source.dtype, &source.shape, elements)))
}

/// Two integers to one, broadcast; the result keeps the inputs' element type.
pub(crate) fn binary(rule: &TypeRuleInput<'_>, value: impl Fn(&Length, &Length) -> Option<Length>) -> Folded {
    let dtype = rule.input(0)?.dtype;
    two(rule, dtype, value)
}

/// As [`binary`], of numbers alone.
pub(crate) fn of_numbers(rule: &TypeRuleInput<'_>, value: fn(i64, i64) -> Option<i64>) -> Folded {
    binary(rule, |a, b| value(a.as_number()?, b.as_number()?).map(Length::number))
}

/// Two integers to a truth value, broadcast; `None` where it depends on what names stand for.
pub(crate) fn comparison(rule: &TypeRuleInput<'_>, holds: fn(&Length, &Length) -> Option<bool>) -> Folded {
    two(rule, ElementType::Bool, |a, b| holds(a, b).map(|holds| usize::from(holds).into()))
}

fn two(rule: &TypeRuleInput<'_>, dtype: ElementType, value: impl Fn(&Length, &Length) -> Option<Length>) -> Folded {
    let (Some(a), Some(b)) = (integer_input(rule, 0), integer_input(rule, 1)) else { return Ok(None) };
    let shape = rule.broadcast(&a.tensor_type().shape, &b.tensor_type().shape)?;
    let Some(shape) = small_shape(&shape) else { return Ok(None) };
    let (a, b) = (expanded(&a, &shape), expanded(&b, &shape));
    let elements = a.iter().zip(&b).map(|(a, b)| value(a, b)).collect::<Option<Vec<Length>>>();
    Ok(elements.and_then(|elements| from_elements(dtype, &shape, elements)))
}

/// Whether both are the same.
pub(crate) fn equal(a: &Length, b: &Length) -> Option<bool> {
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => Some(a == b),
        _ if a == b => Some(true),
        _ => ((a - b).is_at_least(1) || (b - a).is_at_least(1)).then_some(false),
    }
}

/// Whether the first is less.
pub(crate) fn less(a: &Length, b: &Length) -> Option<bool> {
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => Some(a < b),
        _ if (b - a).is_at_least(1) => Some(true),
        _ => (a - b).is_at_least(0).then_some(false),
    }
}

/// Whether it is true.
pub(crate) fn truth(value: &Length) -> Option<bool> {
    value.as_number().map(|number| number != 0)
}

/// Divided; integers are cut towards zero. What holds the rest of a division already is a length that convolutions have made, and
/// taken for one that is not below zero, as every length of an axis.
pub(crate) fn divided(a: &Length, b: &Length) -> Option<Length> {
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => a.checked_div(b).map(Length::number),
        _ => {
            let is_length = a.is_at_least(0) || a.has_quotient();
            (is_length && b.is_at_least(1)).then(|| a.quotient(b))
        }
    }
}
