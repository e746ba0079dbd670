use super::{Gradient, Operator, Sample, gelu_rules, same_as_first, varied, varied_in};

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
        let sum = node.graph.plus(x, bias)?;
        Ok(vec![gelu_rules::exact(node.graph, sum)?])
    }),
    samples: || {
        let x = varied_in(&[2, 3, 5], -3.0, 3.0);
        vec![Sample::new("a bias along the last axis", vec![x, varied(&[5])], vec![])]
    },
};
