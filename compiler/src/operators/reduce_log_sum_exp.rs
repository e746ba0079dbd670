use super::{Gradient, Operator, reductions};

/// `ReduceLogSumExp`: y = ln Σeˣ over axes. dx = dy · e^(x − y).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceLogSumExp",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of_some(b)?;
        let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
        let [y, dy] = [y, dy].map(|value| b.graph.reshape(value, &reduction.kept));
        let less = b.graph.minus(x, y?)?;
        let share = b.graph.add("Exp", &[less], &[])?;
        let dx = b.graph.times(share, dy?)?;
        b.give(0, dx)
    }),
    samples: || reductions::samples_in(-2.0, 2.0),
};
