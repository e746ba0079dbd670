use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::{Gradient, Operator, Sample, same_as_first, varied, varied_in};

/// `com.microsoft.FastGelu`: y = s/2 · (1 + tanh(√(2/π) · (s + 0.044715 s³))) with s = x + bias, the bias a vector along
/// the last axis that may be left out, as those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "FastGelu",
    opsets: 1..=1,
    weights: &[1],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let x = node.input(0)?;
        let sum = match node.node.input(1) {
            Some(bias) => node.graph.plus(x, bias)?,
            None => x,
        };
        let [half, one, scale, cubic] =
            [0.5, 1.0, FRAC_2_SQRT_PI / SQRT_2, 0.044_715].map(|value| node.graph.scalar(value));
        let square = node.graph.times(sum, sum)?;
        let inner = node.graph.times(square, cubic)?;
        let inner = node.graph.plus(inner, one)?;
        let inner = node.graph.times(inner, sum)?;
        let inner = node.graph.times(inner, scale)?;
        let tanh = node.graph.add("Tanh", &[inner], &[])?;
        let share = node.graph.plus(tanh, one)?;
        let share = node.graph.times(share, half)?;
        Ok(vec![node.graph.times(sum, share)?])
    }),
    samples: || {
        let x = || varied_in(&[2, 3, 5], -3.0, 3.0);
        vec![
            Sample::new("without a bias", vec![x()], vec![]),
            Sample::new("a bias along the last axis", vec![x(), varied(&[5])], vec![]),
        ]
    },
};
