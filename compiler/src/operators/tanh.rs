use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Tanh`. dx = dy · (1 − y²).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Tanh",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let square = b.graph.times(y, y)?;
        let one = b.graph.scalar(1.0);
        let slope = b.graph.minus(one, square)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -2.0 to 2.0", vec![varied_in(&[3, 5], -2.0, 2.0)], vec![])],
};
