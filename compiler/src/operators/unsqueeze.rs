use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, fixed_integers, shape_floats, varied};
use crate::CompilerError;
use crate::graph::{Constant, Length, TensorType};

/// `Unsqueeze`: new axes of length one; `axes` counts in the output. dx: dy in x's shape.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Unsqueeze",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(|rule| Ok(shape_floats::reshaped(rule, &types(rule)?[0].shape))),
    gradient: Gradient::Defined(|b| {
        let (shape, dy) = (b.input_shape(0)?, b.dy()?);
        let dx = b.graph.reshape(dy, &shape)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("two axes", vec![varied(&[3, 2]), fixed_integers(&[0, 2])], vec![]),
            Sample::new("negative axis", vec![varied(&[3, 2]), fixed_integers(&[-1])], vec![]),
            Sample::new("integers", vec![SampleInput::Fixed(Constant::i64([], &[5])), fixed_integers(&[0])], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let wanted = rule.known_integers(1)?;
    let rank = x.shape.len() + wanted.len();
    let new = axes::all_from_front(&wanted, rank).map_err(|message| rule.error(message))?;
    let mut old = x.shape.iter();
    let shape = (0..rank).map(|axis| if new.contains(&axis) { Some(Length::from(1)) } else { old.next().cloned() });
    Ok(vec![TensorType { dtype: x.dtype, shape: shape.map(|length| length.unwrap_or(1.into())).collect() }])
}
