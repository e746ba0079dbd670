use super::{Gradient, Operator, Sample, fixed_integers, folding, same_as_first, shape_floats, varied_in};
use crate::graph::Length;

/// `Neg`: y = −x. dx = −dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Neg",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| match folding::unary(rule, |x| Some(x * Length::number(-1)))? {
        Some(known) => Ok(Some(known)),
        None => shape_floats::unary(rule, |x| -x, |x| Some(x * Length::number(-1))),
    }),
    gradient: Gradient::Defined(|b| {
        let dy = b.dy()?;
        let dx = b.graph.add("Neg", &[dy], &[])?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("range -1.0 to 1.0", vec![varied_in(&[3, 5], -1.0, 1.0)], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-3, 0, 2])], vec![]),
        ]
    },
};
