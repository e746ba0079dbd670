use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Sigmoid`: y = 1 / (1 + e⁻ˣ). dx = dy · y · (1 − y).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Sigmoid",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let one = b.graph.scalar(1.0);
        let rest = b.graph.minus(one, y)?;
        let slope = b.graph.times(y, rest)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -3.0 to 3.0", vec![varied_in(&[3, 5], -3.0, 3.0)], vec![])],
};
