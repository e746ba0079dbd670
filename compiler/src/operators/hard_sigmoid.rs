use super::{Gradient, Operator, Sample, same_as_first, varied_in};
use crate::graph::ElementType;

/// `HardSigmoid`: y = α · x + β, cut to 0 … 1. dx = α · dy where 0 < y < 1, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "HardSigmoid",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy, alpha) = (b.output(0)?, b.dy()?, b.node.float("alpha").unwrap_or(0.2));
        let [zero, one, alpha] = [0.0, 1.0, alpha].map(|value| b.graph.scalar(value));
        let above = b.graph.add("Greater", &[y, zero], &[])?;
        let below = b.graph.add("Less", &[y, one], &[])?;
        let inside = b.graph.add("And", &[above, below], &[])?;
        let gate = b.graph.cast(inside, ElementType::F32)?;
        let slope = b.graph.times(gate, alpha)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || {
        let steep = vec![("alpha", 0.5.into()), ("beta", 0.25.into())];
        vec![
            Sample::new("default", vec![varied_in(&[3, 9], -5.0, 5.0)], vec![]),
            Sample::new("alpha 0.5, beta 0.25", vec![varied_in(&[3, 9], -2.0, 2.0)], steep),
        ]
    },
};
