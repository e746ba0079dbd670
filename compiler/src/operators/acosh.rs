use super::{Gradient, Operator, Sample, floats_as_first, varied_in};

/// `Acosh`: the number from 0 on whose hyperbolic cosine is x. dx = dy / √(x² − 1).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Acosh",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let square = b.graph.times(x, x)?;
        let one = b.graph.scalar(1.0);
        let rest = b.graph.minus(square, one)?;
        let root = b.graph.add("Sqrt", &[rest], &[])?;
        let dx = b.graph.divided_by(dy, root)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range 1.5 to 4.0", vec![varied_in(&[3, 5], 1.5, 4.0)], vec![])],
};
