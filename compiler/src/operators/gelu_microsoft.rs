use super::{Gradient, Operator, Sample, gelu_rules, same_as_first, varied_in};

/// `com.microsoft.Gelu`: y = x · Φ(x) with the normal distribution Φ, by `Erf`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "Gelu",
    opsets: 1..=1,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let x = node.input(0)?;
        Ok(vec![gelu_rules::exact(node.graph, x)?])
    }),
    samples: || vec![Sample::new("range -3.0 to 3.0", vec![varied_in(&[3, 7], -3.0, 3.0)], vec![])],
};
