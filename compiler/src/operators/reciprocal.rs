use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Reciprocal`: y = 1 / x. dx = −dy · y².
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Reciprocal",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let square = b.graph.times(y, y)?;
        let product = b.graph.times(dy, square)?;
        let dx = b.graph.add("Neg", &[product], &[])?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range 0.5 to 3.0", vec![varied_in(&[3, 5], 0.5, 3.0)], vec![])],
};
