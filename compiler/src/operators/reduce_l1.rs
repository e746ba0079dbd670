use super::{Gradient, Operator, reductions};

/// `ReduceL1`: y = Σ|x| over axes. dx = dy · sign(x), 0 at 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceL1",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of_some(b)?;
        let (x, dy) = (b.input(0)?, b.dy()?);
        let sign = b.graph.add("Sign", &[x], &[])?;
        let spread = reduction.spread(b.graph, dy)?;
        let dx = b.graph.times(sign, spread)?;
        b.give(0, dx)
    }),
    samples: || reductions::samples_in(-1.0, 1.0),
};
