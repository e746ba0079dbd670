use super::{
    Gradient, Operator, Sample, TypeRuleInput, fixed_integers, fixed_integers_of, folding, same_as_first, scatters,
    varied, varied_in,
};
use crate::CompilerError;
use crate::graph::{Known, Length};

/// `ScatterND`: a copy of the data with slices replaced, added to, or compared, at places that rows of indices name. The data's
/// gradient: dy, zero where it was replaced; the updates': dy at the places. Of the largest or smallest, dy goes to those that are it,
/// in equal parts. Products have no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ScatterND",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| scatters::gradient(b, "ScatterND", "GatherND")),
    samples: || {
        let indices = || fixed_integers_of(&[2, 1], &[3, 0]);
        let added = || vec![("reduction", "add".into())];
        let pairs = fixed_integers_of(&[3, 2], &[0, 1, 2, -1, 3, 0]);
        let twice = fixed_integers_of(&[2, 1], &[1, 1]);
        let compared = || vec![varied(&[4, 3]), fixed_integers_of(&[2, 1], &[1, 1]), varied_in(&[2, 3], -0.9, 0.7)];
        let integers = vec![fixed_integers(&[1, 2, 3]), fixed_integers_of(&[2, 1], &[-1, 0]), fixed_integers(&[7, 8])];
        vec![
            Sample::new("replaced", vec![varied(&[4, 3]), indices(), varied(&[2, 3])], vec![]),
            Sample::new("elements", vec![varied(&[4, 3]), pairs, varied(&[3])], vec![]),
            Sample::new("added", vec![varied(&[4, 3]), indices(), varied(&[2, 3])], added()).since(16),
            Sample::new("added twice", vec![varied(&[4, 3]), twice, varied(&[2, 3])], added()).since(16),
            Sample::new("the largest", compared(), vec![("reduction", "max".into())]).since(18),
            Sample::new("the smallest", compared(), vec![("reduction", "min".into())]).since(18),
            Sample::new("integers", integers, vec![]),
        ]
    },
};

/// Where nothing is added up, and no place is written twice.
fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let inputs = [0, 1, 2].map(|index| folding::integer_input(rule, index));
    let [Some(data), Some(indices), Some(updates)] = inputs else { return Ok(None) };
    let numbers = indices.elements.iter().map(Length::as_number).collect::<Option<Vec<i64>>>();
    let named = indices.shape.last().copied().unwrap_or(0);
    let fits = (1..=data.shape.len()).contains(&named);
    let Some(numbers) = numbers.filter(|_| fits && !scatters::reduces(rule.node)) else { return Ok(None) };
    let steps = folding::steps(&data.shape);
    let each: usize = data.shape[named..].iter().product();
    let mut places = Vec::with_capacity(updates.elements.len());
    for row in numbers.chunks_exact(named) {
        let mut start = 0;
        for (on, index) in row.iter().enumerate() {
            start += rule.axis(*index, data.shape[on])? * steps[on];
        }
        places.extend(start..start + each);
    }
    Ok(folding::written(data, places, &updates.elements))
}
