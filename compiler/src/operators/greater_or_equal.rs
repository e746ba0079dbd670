use super::{Gradient, Operator, Sample, fixed_integers, folding, shape_floats, truth_of_two, varied};

/// `GreaterOrEqual`: whether a ≥ b, broadcast.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GreaterOrEqual",
    opsets: 13..=25,
    weights: &[],
    types: truth_of_two,
    fold: Some(|rule| shape_floats::comparison(rule, |a, b| folding::less(a, b).map(|less| !less))),
    gradient: Gradient::Zero("a truth value has no derivative"),
    samples: || {
        vec![
            Sample::new("broadcast", vec![varied(&[2, 3]), varied(&[3])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-1, 2, 3]), fixed_integers(&[2])], vec![]),
        ]
    },
};
