use super::{Gradient, Operator, Sample, floats_as_first, varied, varied_in};
use crate::graph::ElementType;

/// `ThresholdedRelu`: y = x where x > α, else 0. dx = dy where x > α, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ThresholdedRelu",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let alpha = b.graph.scalar(b.node.float("alpha").unwrap_or(1.0));
        let above = b.graph.add("Greater", &[x, alpha], &[])?;
        let gate = b.graph.cast(above, ElementType::F32)?;
        let dx = b.graph.times(dy, gate)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("default", vec![varied_in(&[3, 5], -2.0, 2.0)], vec![]),
            Sample::new("alpha 0.5", vec![varied(&[3, 5])], vec![("alpha", 0.5.into())]),
        ]
    },
};
