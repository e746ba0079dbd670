use super::{
    Gradient, Operator, Sample, TypeRuleInput, fixed_integers, fixed_integers_of, folding, same_as_first, scatters,
    varied, varied_in,
};
use crate::CompilerError;
use crate::graph::{Known, Length};

/// `ScatterElements`: a copy of the data with elements replaced, added to, or compared, at indices on an axis. The data's
/// gradient: dy, zero where it was replaced; the updates': dy at the indices. Of the largest or smallest, dy goes to those that are it,
/// in equal parts. Products have no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ScatterElements",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| scatters::gradient(b, "ScatterElements", "GatherElements")),
    samples: || {
        let indices = || fixed_integers_of(&[2, 3], &[3, 0, 1, 1, 1, -1]);
        let added = || vec![("reduction", "add".into())];
        let twice = fixed_integers_of(&[2, 3], &[1, 0, 1, 1, 0, 1]);
        let compared = || {
            let twice = fixed_integers_of(&[2, 3], &[1, 0, 1, 1, 0, 3]);
            vec![varied(&[4, 3]), twice, varied_in(&[2, 3], -0.9, 0.7)]
        };
        let integers = vec![fixed_integers(&[1, 2, 3]), fixed_integers(&[-1, 0]), fixed_integers(&[7, 8])];
        vec![
            Sample::new("replaced", vec![varied(&[4, 3]), indices(), varied(&[2, 3])], vec![]),
            Sample::new(
                "last axis",
                vec![varied(&[2, 4]), fixed_integers_of(&[2, 2], &[3, 0, 1, 2]), varied(&[2, 2])],
                vec![("axis", (-1).into())],
            ),
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
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), data.shape.len())?;
    let rank = data.shape.len();
    let fits = indices.shape.len() == rank
        && indices.shape == updates.shape
        && (0..rank).all(|at| at == axis || indices.shape[at] <= data.shape[at]);
    let numbers = indices.elements.iter().map(Length::as_number).collect::<Option<Vec<i64>>>();
    let Some(numbers) = numbers.filter(|_| fits && !scatters::reduces(rule.node)) else { return Ok(None) };
    let rows = numbers.iter().map(|index| rule.axis(*index, data.shape[axis])).collect::<Result<Vec<_>, _>>()?;
    let (steps, index_steps) = (folding::steps(&data.shape), folding::steps(&indices.shape));
    let place = |at: usize, on: usize| if on == axis { rows[at] } else { at / index_steps[on] % indices.shape[on] };
    let places = (0..rows.len()).map(|at| (0..rank).map(|on| place(at, on) * steps[on]).sum()).collect();
    Ok(folding::written(data, places, &updates.elements))
}
