use super::{Gradient, Operator, Sample, numbers_as_first, varied, varied_in};
use crate::graph::ElementType;

/// `Shrink`: y = x + bias where x < −λ, x − bias where x > λ, else 0. dx = dy where |x| > λ, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Shrink",
    opsets: 13..=25,
    weights: &[],
    types: numbers_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let lambda = b.graph.scalar(b.node.float("lambd").unwrap_or(0.5));
        let size = b.graph.add("Abs", &[x], &[])?;
        let beyond = b.graph.add("Greater", &[size, lambda], &[])?;
        let gate = b.graph.cast(beyond, ElementType::F32)?;
        let dx = b.graph.times(dy, gate)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("default", vec![varied(&[3, 5])], vec![]),
            Sample::new("soft", vec![varied_in(&[3, 5], -3.0, 3.0)], vec![("lambd", 1.5.into()), ("bias", 1.5.into())]),
            Sample::new("all is beyond", vec![varied(&[2, 3])], vec![("lambd", (-0.5).into())]),
        ]
    },
};
