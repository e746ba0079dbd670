use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::graph::{Known, TensorType};

/// `Expand`: broadcast to a shape. dx = dy; the reverse pass sums it back.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Expand",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| {
        let dy = b.dy()?;
        b.give(0, dy)
    }),
    samples: || {
        vec![
            Sample::new("new and repeated axes", vec![varied(&[3, 1]), fixed_integers(&[2, 3, 4])], vec![]),
            Sample::new("shorter shape", vec![varied(&[2, 3]), fixed_integers(&[1])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[1, 2]), fixed_integers(&[2, 1])], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let wanted = axes::lengths(rule.known_lengths(1)?).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype: x.dtype, shape: rule.broadcast(&x.shape, &wanted)? }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let shape = folding::small_shape(&types(rule)?.remove(0).shape);
    let Some((source, shape)) = folding::integer_input(rule, 0).zip(shape) else { return Ok(None) };
    Ok(folding::from_elements(source.dtype, &shape, folding::expanded(&source, &shape)))
}
