use super::{Gradient, Operator, Sample, floats_as_first, varied_in};

/// `Softsign`: y = x / (1 + |x|). dx = dy / (1 + |x|)².
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Softsign",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let size = b.graph.add("Abs", &[x], &[])?;
        let one = b.graph.scalar(1.0);
        let divisor = b.graph.plus(size, one)?;
        let square = b.graph.times(divisor, divisor)?;
        let dx = b.graph.divided_by(dy, square)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -3.0 to 3.0", vec![varied_in(&[3, 5], -3.0, 3.0)], vec![])],
};
