use super::{Gradient, Operator, Sample, extremes, fixed_integers, varied};
use crate::graph::Length;

/// `Min`: the smallest of the inputs, broadcast. dy goes to the input that is smaller.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Min",
    opsets: 13..=25,
    weights: &[],
    types: extremes::types,
    fold: Some(|rule| extremes::fold(rule, Length::minimum)),
    gradient: Gradient::Defined(|b| extremes::gradient(b, "Min", "Less")),
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
