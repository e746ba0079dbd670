use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, fixed_integers_of, folding, scatters, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Known, Length, TensorType};

/// `GatherElements`: on one axis the element at an index, on the others the one at the same place. dx: dy added up at the
/// indices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GatherElements",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let indices = || fixed_integers_of(&[2, 3], &[3, 0, 1, 1, 1, -1]);
        vec![
            Sample::new("first axis", vec![varied(&[4, 3]), indices()], vec![]).since(16),
            Sample::new("last axis", vec![varied(&[2, 4]), indices()], vec![("axis", (-1).into())]).since(16),
            Sample::new("fewer on other axes", vec![varied(&[4, 5]), indices()], vec![]).since(16),
            Sample::new(
                "integers",
                vec![fixed_integers_of(&[3], &[5, 6, 7]), fixed_integers_of(&[2], &[-1, 0])],
                vec![],
            ),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, indices) = (rule.input(0)?, element_types::positions(rule, 1)?);
    rule.axis(rule.node.int("axis").unwrap_or(0), x.shape.len())?;
    if indices.shape.len() != x.shape.len() {
        return Err(rule.error(format!("indices {:?} for the axes of {:?}", indices.shape, x.shape)));
    }
    Ok(vec![TensorType { dtype: x.dtype, shape: indices.shape.clone() }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let (Some(source), Some(indices)) = (folding::integer_input(rule, 0), folding::integer_input(rule, 1)) else {
        return Ok(None);
    };
    types(rule)?;
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), source.shape.len())?;
    let numbers = indices.elements.iter().map(Length::as_number).collect::<Option<Vec<i64>>>();
    let Some(numbers) = numbers else { return Ok(None) };
    let rows = numbers.iter().map(|index| rule.axis(*index, source.shape[axis])).collect::<Result<Vec<_>, _>>()?;
    if (0..source.shape.len()).any(|at| at != axis && indices.shape[at] > source.shape[at]) {
        return Err(rule.error(format!("indices {:?} reach beyond {:?}", indices.shape, source.shape)));
    }
    let (steps, index_steps) = (folding::steps(&source.shape), folding::steps(&indices.shape));
    let from = |at: &[usize]| {
        let row: usize = at.iter().zip(&index_steps).map(|(at, step)| at * step).sum();
        let place = |on: usize| if on == axis { rows[row] } else { at[on] };
        (0..at.len()).map(|on| place(on) * steps[on]).sum()
    };
    Ok(folding::moved(&source, &indices.shape, from))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (full, indices, dy) = (b.input_shape(0)?, b.input(1)?, b.dy()?);
    let axis = b.node.int("axis").unwrap_or(0);
    let dx = scatters::elements_added(b, &full, indices, dy, axis)?;
    b.give(0, dx)
}
