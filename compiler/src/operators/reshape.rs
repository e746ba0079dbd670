use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `Reshape`: the same elements in another shape; −1 stands for what is left, 0 for the input's length.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Reshape",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(|rule| Ok(folding::reshaped(rule, &types(rule)?[0].shape))),
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
    let wanted = rule.known_integers(1)?;
    let copies = rule.node.int("allowzero").unwrap_or(0) == 0;
    let misfit = || rule.error(format!("{:?} cannot be reshaped to {wanted:?}", x.shape));
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (axis, length) in wanted.iter().enumerate() {
        shape.push(match length {
            0 if copies => *x.shape.get(axis).ok_or_else(misfit)?,
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            _ => axes::length(*length).map_err(|_| misfit())?,
        });
    }
    let have = axes::elements(&x.shape).ok_or_else(misfit)?;
    let known = axes::elements(&shape).ok_or_else(misfit)?;
    if let Some(axis) = open {
        shape[axis] = have.checked_div(known).ok_or_else(misfit)?;
    }
    if axes::elements(&shape) != Some(have) {
        return Err(misfit());
    }
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}
