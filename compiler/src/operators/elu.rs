use super::{Gradient, Operator, Sample, same_as_first, varied};
use crate::graph::ElementType;

/// `Elu`: y = x where x > 0, else α · (eˣ − 1). dx = dy where x > 0, else dy · (y + α).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Elu",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, y, dy, alpha) = (b.input(0)?, b.output(0)?, b.dy()?, b.node.float("alpha").unwrap_or(1.0));
        let [zero, one, alpha] = [0.0, 1.0, alpha].map(|value| b.graph.scalar(value));
        let above = b.graph.add("Greater", &[x, zero], &[])?;
        let gate = b.graph.cast(above, ElementType::F32)?;
        let curve = b.graph.plus(y, alpha)?;
        let below = b.graph.minus(one, gate)?;
        let curve = b.graph.times(curve, below)?;
        let slope = b.graph.plus(gate, curve)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("default", vec![varied(&[3, 5])], vec![]),
            Sample::new("alpha 0.5", vec![varied(&[3, 5])], vec![("alpha", 0.5.into())]),
        ]
    },
};
