use super::{Gradient, Operator, Sample, fixed_floats, truth_of_floats, varied};

/// `IsInf`: whether an element is infinite; `detect_negative` and `detect_positive` say which signs count.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "IsInf",
    opsets: 13..=25,
    weights: &[],
    types: truth_of_floats,
    fold: None,
    gradient: Gradient::Zero("a truth value has no derivative"),
    samples: || {
        let values = || vec![fixed_floats(&[3], &[f32::NEG_INFINITY, f32::INFINITY, f32::NAN])];
        vec![
            Sample::new("numbers", vec![varied(&[2, 3])], vec![]),
            Sample::new("special values", values(), vec![]),
            Sample::new("positive ones", values(), vec![("detect_negative", 0.into())]),
        ]
    },
};
