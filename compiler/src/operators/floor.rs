use super::{Gradient, Operator, Sample, same_as_first, shape_floats, varied};

/// `Floor`: the next whole number below.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Floor",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| shape_floats::rounded(rule, f32::floor, |a, b| b.is_at_least(1).then(|| a.quotient(b)))),
    gradient: Gradient::Zero("constant between whole numbers"),
    samples: || vec![Sample::new("positive and negative", vec![varied(&[3, 5])], vec![])],
};
