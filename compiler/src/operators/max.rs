use super::{Gradient, Operator, Sample, extremes, fixed_integers, varied};

/// `Max`: the largest of the inputs, broadcast. dy goes to the input that is larger.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Max",
    opsets: 13..=25,
    weights: &[],
    types: extremes::types,
    fold: Some(|rule| extremes::fold(rule, |a, b| a + b - a.minimum(b))),
    gradient: Gradient::Defined(|b| extremes::gradient(b, "Max", "Greater")),
    samples: || {
        vec![
            Sample::new("same shape", vec![varied(&[3, 4]), varied(&[3, 4])], vec![]),
            Sample::new("second repeats", vec![varied(&[3, 4]), varied(&[4])], vec![]),
            Sample::new("first repeats", vec![varied(&[1]), varied(&[3, 4])], vec![]),
            Sample::new("one input", vec![varied(&[3])], vec![]),
            Sample::new("three inputs", vec![varied(&[3, 4]), varied(&[3, 4]), varied(&[3, 4])], vec![]),
            Sample::new(
                "four that repeat",
                vec![varied(&[3, 4]), varied(&[4]), varied(&[3, 1]), varied(&[3, 4])],
                vec![],
            ),
            Sample::new("integers", vec![fixed_integers(&[-7, 8, 9]), fixed_integers(&[8])], vec![]),
        ]
    },
};
