use super::{Gradient, Operator, Sample, element_types, fixed_integers, folding};
use crate::graph::Length;

/// `BitwiseNot`: each bit turned: −1 − x.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "BitwiseNot",
    opsets: 18..=25,
    weights: &[],
    types: |rule| Ok(vec![element_types::integers(rule, 0)?.clone()]),
    fold: Some(|rule| folding::unary(rule, |x| Some(Length::number(-1) - x))),
    gradient: Gradient::Zero("integers have no derivative"),
    samples: || vec![Sample::new("both signs", vec![fixed_integers(&[5, -6, 0])], vec![])],
};
