use super::{Gradient, Operator, Sample, same_as_first, varied};
use crate::graph::ElementType;

/// `LeakyRelu`: y = x where x > 0, else α · x. dx = dy where x > 0, else α · dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LeakyRelu",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy, alpha) = (b.input(0)?, b.dy()?, b.node.float("alpha").unwrap_or(0.01));
        let [zero, alpha, rest] = [0.0, alpha, 1.0 - alpha].map(|value| b.graph.scalar(value));
        let above = b.graph.add("Greater", &[x, zero], &[])?;
        let gate = b.graph.cast(above, ElementType::F32)?;
        let scaled = b.graph.times(gate, rest)?;
        let slope = b.graph.plus(scaled, alpha)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("default slope", vec![varied(&[3, 5])], vec![]),
            Sample::new("slope 0.3", vec![varied(&[3, 5])], vec![("alpha", 0.3.into())]),
        ]
    },
};
