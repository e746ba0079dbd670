use super::{Gradient, Operator, Sample, floats_as_first, varied_in};

/// `Cosh`: the hyperbolic cosine. dx = dy · sinh(x).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Cosh",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let slope = b.graph.add("Sinh", &[x], &[])?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -2.0 to 2.0", vec![varied_in(&[3, 5], -2.0, 2.0)], vec![])],
};
