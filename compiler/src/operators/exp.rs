use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Exp`: y = eˣ. dx = dy · y.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Exp",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let dx = b.graph.times(dy, y)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -2.0 to 2.0", vec![varied_in(&[3, 5], -2.0, 2.0)], vec![])],
};
