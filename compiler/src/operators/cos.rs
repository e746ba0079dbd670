use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Cos`. dx = −dy · sin(x).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Cos",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let sine = b.graph.add("Sin", &[x], &[])?;
        let product = b.graph.times(dy, sine)?;
        let dx = b.graph.add("Neg", &[product], &[])?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -3.0 to 3.0", vec![varied_in(&[3, 5], -3.0, 3.0)], vec![])],
};
