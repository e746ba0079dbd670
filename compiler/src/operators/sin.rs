use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Sin`. dx = dy · cos(x).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Sin",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let slope = b.graph.add("Cos", &[x], &[])?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -3.0 to 3.0", vec![varied_in(&[3, 5], -3.0, 3.0)], vec![])],
};
