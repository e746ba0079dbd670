use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `GlobalAveragePool`: the mean over the spatial axes of `[N, C, …]`. dx: dy / n in every place.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GlobalAveragePool",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (shape, dy) = (b.input_shape(0)?, b.dy()?);
        let share = b.graph.one_over(&shape[2..].iter().product())?;
        let each = b.graph.times(dy, share)?;
        let dx = b.graph.expand(each, &shape)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("images", vec![varied(&[2, 3, 4, 5])], vec![]),
            Sample::new("a sequence", vec![varied(&[2, 3, 4])], vec![]),
        ]
    },
};

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.len() < 3 {
        return Err(rule.error(format!("{x} has no spatial axes")));
    }
    let shape =
        x.shape.iter().enumerate().map(|(axis, length)| if axis < 2 { length.clone() } else { 1.into() }).collect();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}
