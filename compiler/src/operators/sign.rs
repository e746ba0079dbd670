use super::{Gradient, Operator, Sample, fixed_integers, folding, same_as_first, varied};
use crate::graph::Length;

/// `Sign`: −1, 0 or 1.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Sign",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| {
        folding::unary(rule, |x| {
            if x.is_at_least(1) { Some(1.into()) } else { x.as_number().map(|x| Length::number(x.signum())) }
        })
    }),
    gradient: Gradient::Zero("constant on either side of zero"),
    samples: || {
        vec![
            Sample::new("positive and negative", vec![varied(&[3, 5])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-3, 0, 2])], vec![]),
        ]
    },
};
