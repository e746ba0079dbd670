use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Mish`: y = x · tanh(softplus(x)) (Misra 2019), as those three operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Mish",
    opsets: 18..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let x = node.input(0)?;
        let soft = node.graph.add("Softplus", &[x], &[])?;
        let gate = node.graph.add("Tanh", &[soft], &[])?;
        Ok(vec![node.graph.times(x, gate)?])
    }),
    samples: || vec![Sample::new("range -4.0 to 4.0", vec![varied_in(&[3, 5], -4.0, 4.0)], vec![])],
};
