use super::{Gradient, Operator, reductions};

/// `ReduceLogSum`: y = ln Σx over axes. dx = dy · e^(−y).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceLogSum",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of_some(b)?;
        let (y, dy) = (b.output(0)?, b.dy()?);
        let negative = b.graph.add("Neg", &[y], &[])?;
        let one_over_sum = b.graph.add("Exp", &[negative], &[])?;
        let each = b.graph.times(dy, one_over_sum)?;
        let dx = reduction.spread(b.graph, each)?;
        b.give(0, dx)
    }),
    samples: || reductions::samples_in(0.5, 2.0),
};
