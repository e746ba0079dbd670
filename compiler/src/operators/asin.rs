use super::{Gradient, Operator, Sample, floats_as_first, varied_in};

/// `Asin`: the angle whose sine is x. dx = dy / √(1 − x²).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Asin",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let square = b.graph.times(x, x)?;
        let one = b.graph.scalar(1.0);
        let rest = b.graph.minus(one, square)?;
        let root = b.graph.add("Sqrt", &[rest], &[])?;
        let dx = b.graph.divided_by(dy, root)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -0.9 to 0.9", vec![varied_in(&[3, 5], -0.9, 0.9)], vec![])],
};
