use super::{Gradient, Operator, Sample, fixed_integers, fixed_integers_of, folding, integers_of_two};

/// `BitwiseOr`: the bits that one of both has, broadcast.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "BitwiseOr",
    opsets: 18..=25,
    weights: &[],
    types: integers_of_two,
    fold: Some(|rule| folding::of_numbers(rule, |a, b| Some(a | b))),
    gradient: Gradient::Zero("integers have no derivative"),
    samples: || {
        let inputs = vec![fixed_integers_of(&[2, 2], &[5, -6, 7, 1 << 40]), fixed_integers(&[3, -4])];
        vec![Sample::new("broadcast", inputs, vec![])]
    },
};
