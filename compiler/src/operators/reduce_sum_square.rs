use super::{Gradient, Operator, reductions};

/// `ReduceSumSquare`: y = Σx² over axes. dx = dy · 2x.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceSumSquare",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of_some(b)?;
        let (x, dy) = (b.input(0)?, b.dy()?);
        let two = b.graph.scalar(2.0);
        let twice = b.graph.times(dy, two)?;
        let spread = reduction.spread(b.graph, twice)?;
        let dx = b.graph.times(x, spread)?;
        b.give(0, dx)
    }),
    samples: || reductions::samples_in(-1.0, 1.0),
};
