use std::collections::HashSet;

use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, fixed_integers_of, folding};
use crate::CompilerError;
use crate::graph::{ElementType, Known, Length, TensorType};

/// `Unique`: the different elements, ascending or in the order in which they come first; where each comes first, which of them
/// each element is, and how often each comes. How many there are is known before the run where the elements are known integers.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Unique",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Refused("which elements differ, and so how many it gives, is decided in the run"),
    samples: || {
        let row = || vec![fixed_integers(&[4, -1, 4, 2, -1])];
        let as_they_come = || vec![("sorted", 0.into())];
        vec![
            Sample::new("ascending", row(), vec![]),
            Sample::new("as they come", row(), as_they_come()),
            Sample::new("a matrix", vec![fixed_integers_of(&[2, 2], &[3, 1, 1, 3])], vec![]).with_outputs(4),
        ]
    },
};

/// The different elements, in order, and the number of all.
fn different(rule: &TypeRuleInput<'_>) -> Result<(Vec<i64>, usize), CompilerError> {
    let input = rule.input(0)?;
    // floats may be trained, and large inputs are data
    if input.dtype.is_float() || folding::small_shape(&input.shape).is_none() || rule.node.int("axis").is_some() {
        return Err(rule.not_known(0));
    }
    let known = rule.known_lengths(0)?;
    let open = || rule.error(format!("which of {known:?} differ is open: state the lengths that are open"));
    let all = known.iter().map(Length::as_number).collect::<Option<Vec<i64>>>().ok_or_else(open)?;
    let mut seen = HashSet::new();
    let mut found: Vec<i64> = all.iter().copied().filter(|element| seen.insert(*element)).collect();
    if rule.node.int("sorted").unwrap_or(1) != 0 {
        found.sort_unstable();
    }
    Ok((found, all.len()))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (found, all) = different(rule)?;
    let vector = |dtype: ElementType, count: usize| TensorType::new(dtype, [count]);
    let [first, each] = [found.len(), all].map(|count| vector(ElementType::I64, count));
    Ok(vec![vector(rule.input(0)?.dtype, found.len()), first.clone(), each, first])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let (found, _) = different(rule)?;
    if rule.output != 0 {
        return Ok(None);
    }
    let elements = found.iter().map(|element| Length::number(*element)).collect();
    Ok(folding::from_elements(rule.input(0)?.dtype, &[found.len()], elements))
}
