use super::{Gradient, Operator, Sample, fixed_integers, folding, same_as_first, varied_in};
use crate::graph::Length;

/// `Abs`: y = |x|. dx = dy · sign(x).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Abs",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| {
        folding::unary(rule, |x| {
            if x.is_at_least(0) { Some(x.clone()) } else { x.as_number()?.checked_abs().map(Length::number) }
        })
    }),
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let sign = b.graph.add("Sign", &[x], &[])?;
        let dx = b.graph.times(dy, sign)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("range -1.0 to 1.0", vec![varied_in(&[3, 5], -1.0, 1.0)], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-3, 0, 2])], vec![]),
        ]
    },
};
