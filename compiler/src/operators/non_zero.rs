use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers_of, fixed_truths, folding};
use crate::CompilerError;
use crate::graph::{ElementType, Known, Length, TensorType};

/// `NonZero`: the places of the elements that are not zero, a column each: `[axes, places]`. How many there are is known
/// before the run where the input is one of known integers or truth values.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "NonZero",
    opsets: 13..=25,
    weights: &[],
    types: |rule| {
        let places = places(rule)?;
        Ok(vec![TensorType::new(ElementType::I64, [rule.input(0)?.shape.len(), places.len()])])
    },
    fold: Some(fold),
    gradient: Gradient::Zero("places are whole numbers"),
    samples: || {
        vec![
            Sample::new("integers", vec![fixed_integers_of(&[2, 3], &[0, 1, 0, 2, 0, -3])], vec![]),
            Sample::new("truth values", vec![fixed_truths(&[2, 2], &[false, true, true, false])], vec![]),
            Sample::new("none", vec![fixed_integers_of(&[2], &[0, 0])], vec![]),
        ]
    },
};

/// The places of those that are not zero in a row-major input.
fn places(rule: &TypeRuleInput<'_>) -> Result<Vec<usize>, CompilerError> {
    if rule.input(0)?.shape.is_empty() {
        return Err(rule.error("a number without axes has no places: runtimes differ"));
    }
    let input = rule.input(0)?;
    // floats may be trained, and large inputs are data
    if input.dtype.is_float() || folding::small_shape(&input.shape).is_none() {
        return Err(rule.not_known(0));
    }
    let zero = |element: &Length| match element.as_number() {
        Some(number) => Ok(number == 0),
        None if element.is_at_least(1) => Ok(false),
        None => Err(rule
            .error(format!("whether {element} is zero is open: export the model with fixed lengths for what is open"))),
    };
    let is_zero = rule.known_lengths(0)?.iter().map(zero).collect::<Result<Vec<bool>, _>>()?;
    Ok((0..is_zero.len()).filter(|at| !is_zero[*at]).collect())
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let places = places(rule)?;
    let Some(shape) = folding::small_shape(&rule.input(0)?.shape) else { return Ok(None) };
    let steps = folding::steps(&shape);
    let mut elements = Vec::with_capacity(shape.len() * places.len());
    for (length, step) in shape.iter().zip(&steps) {
        elements.extend(places.iter().map(|at| Length::from(at / step % length)));
    }
    Ok(folding::from_elements(ElementType::I64, &[shape.len(), places.len()], elements))
}
