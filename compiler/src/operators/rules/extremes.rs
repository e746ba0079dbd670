//! What maxima and minima share.

use super::{element_types, folding};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{ElementType, Known, Length, TensorType, ValueId};
use crate::operators::TypeRuleInput;

/// The shape that all inputs broadcast to.
pub(crate) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let first = rule.input(0)?;
    let mut shape = first.shape.clone();
    for index in 1..rule.node.inputs.len() {
        shape = rule.broadcast(&shape, &rule.input(index)?.shape)?;
    }
    Ok(vec![TensorType { dtype: first.dtype, shape }])
}

/// The type of an index on an axis: that of ArgMax and ArgMin.
pub(crate) fn index_types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut shape = element_types::numbers(rule, 0)?.shape.clone();
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), shape.len())?;
    if rule.node.int("keepdims").unwrap_or(1) != 0 {
        shape[axis] = 1.into();
    } else {
        shape.remove(axis);
    }
    Ok(vec![TensorType { dtype: ElementType::I64, shape }])
}

/// Of two inputs.
pub(crate) fn fold(
    rule: &TypeRuleInput<'_>,
    choose: fn(&Length, &Length) -> Length,
) -> Result<Option<Known>, CompilerError> {
    match rule.node.inputs.len() {
        2 => folding::binary(rule, |a, b| Some(choose(a, b))),
        _ => Ok(None),
    }
}

/// dy goes to the input that wins by `wins` (`Greater` or `Less`).
pub(crate) fn gradient(b: &mut Backward<'_>, wins: &str) -> Result<(), CompilerError> {
    let dy = b.dy()?;
    match b.node.inputs.len() {
        1 => return b.give(0, dy),
        2 => {}
        _ => return gradient_of_several(b, dy),
    }
    let (first, second) = (b.input(0)?, b.input(1)?);
    // where both are equal the gradient goes to one of them only: to neither bound of a clipped value
    let first_wins = if b.wants(0) {
        b.graph.add(wins, &[first, second], &[])?
    } else {
        let second_wins = b.graph.add(wins, &[second, first], &[])?;
        b.graph.add("Not", &[second_wins], &[])?
    };
    if b.wants(0) {
        let gate = b.graph.cast(first_wins, ElementType::F32)?;
        let gradient = b.graph.times(dy, gate)?;
        b.give(0, gradient)?;
    }
    if b.wants(1) {
        let second_wins = b.graph.add("Not", &[first_wins], &[])?;
        let gate = b.graph.cast(second_wins, ElementType::F32)?;
        let gradient = b.graph.times(dy, gate)?;
        b.give(1, gradient)?;
    }
    Ok(())
}

/// dy goes to the first of the inputs that is what was found.
fn gradient_of_several(b: &mut Backward<'_>, dy: ValueId) -> Result<(), CompilerError> {
    let y = b.output(0)?;
    let mut before = None;
    for index in 0..b.node.inputs.len() {
        let input = b.input(index)?;
        let is_found = b.graph.add("Equal", &[input, y], &[])?;
        if b.wants(index) {
            let own = match before {
                Some(before) => {
                    let is_first = b.graph.add("Not", &[before], &[])?;
                    b.graph.add("And", &[is_found, is_first], &[])?
                }
                None => is_found,
            };
            let gate = b.graph.cast(own, ElementType::F32)?;
            let gradient = b.graph.times(dy, gate)?;
            b.give(index, gradient)?;
        }
        before = Some(match before {
            Some(before) => b.graph.add("Or", &[before, is_found], &[])?,
            None => is_found,
        });
    }
    Ok(())
}
