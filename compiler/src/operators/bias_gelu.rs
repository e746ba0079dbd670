use std::f32::consts::FRAC_1_SQRT_2;

use super::{Gradient, Operator, Sample, same_as_first, varied, varied_in};

/// `com.microsoft.BiasGelu`: y = s · Φ(s) with s = x + bias, the bias a vector along the last axis, and the normal
/// distribution Φ(s) = (1 + erf(s/√2)) / 2, as those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "BiasGelu",
    opsets: 1..=1,
    weights: &[1],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let (x, bias) = (node.input(0)?, node.input(1)?);
        let [half, root] = [0.5, FRAC_1_SQRT_2].map(|value| node.graph.scalar(value));
        let sum = node.graph.plus(x, bias)?;
        let scaled = node.graph.times(sum, root)?;
        let error = node.graph.add("Erf", &[scaled], &[])?;
        let centred = node.graph.times(error, half)?;
        let share = node.graph.plus(centred, half)?;
        Ok(vec![node.graph.times(sum, share)?])
    }),
    samples: || {
        let x = varied_in(&[2, 3, 5], -3.0, 3.0);
        vec![Sample::new("a bias along the last axis", vec![x, varied(&[5])], vec![])]
    },
};
