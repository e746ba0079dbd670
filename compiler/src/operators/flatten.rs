use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, shape_floats, varied};
use crate::CompilerError;
use crate::graph::{Length, TensorType};

/// `Flatten`: a matrix; axes before `axis` become its rows, the others its columns.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Flatten",
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
            Sample::new("default axis", vec![varied(&[2, 3, 2])], vec![]),
            Sample::new("axis 0", vec![varied(&[2, 3])], vec![("axis", 0.into())]),
            Sample::new("axis after the last", vec![varied(&[2, 3])], vec![("axis", 2.into())]),
            Sample::new("negative axis", vec![varied(&[2, 3, 2])], vec![("axis", (-1).into())]),
            Sample::new("integers", vec![fixed_integers(&[1, 2, 3])], vec![("axis", 0.into())]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let axis = rule.node.int("axis").unwrap_or(1);
    let rank = x.shape.len();
    let axis = if axis == rank as i64 { rank } else { rule.axis(axis, rank)? };
    let shape = vec![x.shape[..axis].iter().product::<Length>(), x.shape[axis..].iter().product()];
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}
