use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, shape_floats, varied};
use crate::CompilerError;
use crate::graph::{Length, TensorType};

/// `Reshape`: the same elements in another shape; −1 stands for what is left, 0 for the input's length.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Reshape",
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
        let x = || varied(&[2, 3, 4]);
        vec![
            Sample::new("all lengths", vec![x(), fixed_integers(&[4, 6])], vec![]),
            Sample::new("what is left", vec![x(), fixed_integers(&[2, -1])], vec![]),
            Sample::new("copied length", vec![x(), fixed_integers(&[0, 0, 2, -1])], vec![]),
            Sample::new("allowzero", vec![x(), fixed_integers(&[24])], vec![("allowzero", 1.into())]).since(14),
            Sample::new("to a scalar", vec![varied(&[1, 1]), fixed_integers(&[])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[1, 2, 3, 4]), fixed_integers(&[-1, 2])], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let wanted = rule.known_lengths(1)?;
    let copies = rule.node.int("allowzero").unwrap_or(0) == 0;
    let open = x.shape.iter().chain(&wanted).any(|length| length.as_number().is_none());
    let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
    let misfit = || rule.error(format!("{:?} cannot be reshaped to {wanted:?}{advice}", x.shape));
    let mut shape = Vec::with_capacity(wanted.len());
    let mut left = None;
    for (axis, length) in wanted.iter().enumerate() {
        shape.push(match length.as_number() {
            Some(0) if copies => x.shape.get(axis).ok_or_else(misfit)?.clone(),
            Some(-1) if left.is_none() => {
                left = Some(axis);
                1.into()
            }
            Some(number) if number < 0 => return Err(misfit()),
            _ => length.clone(),
        });
    }
    let (have, known) = (x.elements(), shape.iter().product::<Length>());
    if have.is_excessive() || known.is_excessive() || left.is_some() && known == 0 {
        return Err(misfit());
    }
    if let Some(axis) = left {
        shape[axis] = have.quotient(&known);
    }
    if !have.agrees_with(&shape.iter().product()) {
        return Err(misfit());
    }
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}
