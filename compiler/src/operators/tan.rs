use super::{Gradient, Operator, Sample, floats_as_first, varied_in};

/// `Tan`: the tangent. dx = dy · (1 + y²).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Tan",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let square = b.graph.times(y, y)?;
        let one = b.graph.scalar(1.0);
        let slope = b.graph.plus(square, one)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -1.2 to 1.2", vec![varied_in(&[3, 5], -1.2, 1.2)], vec![])],
};
