use super::{Gradient, Operator, Sample, fixed_floats, truth_of_floats, varied};

/// `IsNaN`: whether an element is no number.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "IsNaN",
    opsets: 13..=25,
    weights: &[],
    types: truth_of_floats,
    fold: None,
    gradient: Gradient::Zero("a truth value has no derivative"),
    samples: || {
        vec![
            Sample::new("numbers", vec![varied(&[2, 3])], vec![]),
            Sample::new("special values", vec![fixed_floats(&[3], &[f32::NAN, f32::INFINITY, 0.0])], vec![]),
        ]
    },
};
