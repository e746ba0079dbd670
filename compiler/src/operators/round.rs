use super::{Gradient, Operator, Sample, same_as_first, varied};

/// `Round`: the nearest whole number, halves to even.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Round",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Zero("constant between halves"),
    samples: || vec![Sample::new("positive and negative", vec![varied(&[3, 5])], vec![])],
};
