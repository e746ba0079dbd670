use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `com.microsoft.QuickGelu`: y = x · sigmoid(α · x) with α = 1.702 unless it is given, as those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QuickGelu",
    opsets: 1..=1,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let x = node.input(0)?;
        let alpha = node.graph.scalar(node.node.float("alpha").unwrap_or(1.702));
        let scaled = node.graph.times(x, alpha)?;
        let gate = node.graph.add("Sigmoid", &[scaled], &[])?;
        Ok(vec![node.graph.times(x, gate)?])
    }),
    samples: || {
        let x = || vec![varied_in(&[3, 5], -3.0, 3.0)];
        vec![
            Sample::new("default alpha", x(), vec![]),
            Sample::new("another alpha", x(), vec![("alpha", 0.75.into())]),
            Sample::new("SiLU", x(), vec![("alpha", 1.0.into())]),
        ]
    },
};
