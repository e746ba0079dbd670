use super::{Gradient, Operator, Sample, floats_as_first, varied_in};

/// `Atan`: the angle whose tangent is x. dx = dy / (1 + x²).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Atan",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let square = b.graph.times(x, x)?;
        let one = b.graph.scalar(1.0);
        let sum = b.graph.plus(square, one)?;
        let dx = b.graph.divided_by(dy, sum)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -3.0 to 3.0", vec![varied_in(&[3, 5], -3.0, 3.0)], vec![])],
};
