use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Log`: y = ln x. dx = dy / x.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Log",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let dx = b.graph.divided_by(dy, x)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range 0.5 to 3.0", vec![varied_in(&[3, 5], 0.5, 3.0)], vec![])],
};
