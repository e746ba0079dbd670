use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, shape_floats, varied};
use crate::CompilerError;
use crate::graph::{Length, TensorType};

/// `Squeeze`: without the named axes of length one, or without all such. dx: dy in x's shape.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Squeeze",
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
            Sample::new("named axes", vec![varied(&[1, 3, 1, 2]), fixed_integers(&[0, -2])], vec![]),
            Sample::new("one of two", vec![varied(&[1, 3, 1]), fixed_integers(&[2])], vec![]),
            Sample::new("all of length one", vec![varied(&[1, 3, 1])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[5]), fixed_integers(&[0])], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let ones = || x.shape.iter().enumerate().filter(|(_, length)| **length == 1).map(|(axis, _)| axis).collect();
    let open = |length: &&Length| length.as_number().is_none() && !length.is_at_least(2);
    let gone: Vec<usize> = if rule.node.input(1).is_none() {
        if let Some(axis) = x.shape.iter().position(|length| open(&length)) {
            return Err(rule.error(rule.open("axes of length one go", axis, &[&x.shape[axis]])));
        }
        ones()
    } else {
        axes::all_from_front(&rule.known_integers(1)?, x.shape.len()).map_err(|message| rule.error(message))?
    };
    if let Some(axis) = gone.iter().find(|axis| x.shape[**axis] != 1) {
        return Err(rule.error(format!("axis {axis} of {:?} is not of length one", x.shape)));
    }
    let kept = x.shape.iter().enumerate().filter(|(axis, _)| !gone.contains(axis));
    Ok(vec![TensorType { dtype: x.dtype, shape: kept.map(|(_, length)| length.clone()).collect() }])
}
