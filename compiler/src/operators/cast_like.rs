use super::{Gradient, Operator, Sample, fixed_floats, fixed_integers, fixed_truths, shape_floats, varied};
use crate::graph::TensorType;

/// `CastLike`: the first input in the element type of the second: `Cast`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "CastLike",
    opsets: 15..=25,
    weights: &[],
    types: |rule| Ok(vec![TensorType { dtype: rule.input(1)?.dtype, shape: rule.input(0)?.shape.clone() }]),
    fold: Some(|rule| {
        let dtype = rule.input(1)?.dtype;
        Ok(shape_floats::cast(rule, dtype))
    }),
    gradient: Gradient::Expand(|node| {
        let (x, dtype) = (node.input(0)?, node.input_type(1)?.dtype);
        Ok(vec![node.graph.cast(x, dtype)?])
    }),
    samples: || {
        vec![
            Sample::new("float to float", vec![varied(&[2, 3]), fixed_floats(&[], &[0.5])], vec![]),
            Sample::new("integers to truth values", vec![fixed_integers(&[-1, 0]), fixed_truths(&[], &[true])], vec![]),
        ]
    },
};
