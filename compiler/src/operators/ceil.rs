use super::{Gradient, Operator, Sample, same_as_first, shape_floats, varied};

/// `Ceil`: the next whole number above.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Ceil",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| {
        shape_floats::rounded(rule, f32::ceil, |a, b| b.fixed().filter(|by| *by > 0).map(|by| a.quotient_up(by)))
    }),
    gradient: Gradient::Zero("constant between whole numbers"),
    samples: || vec![Sample::new("positive and negative", vec![varied(&[3, 5])], vec![])],
};
