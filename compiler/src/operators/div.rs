use super::{Gradient, Operator, Sample, broadcast_of_two, fixed_integers, folding, shape_floats, varied, varied_in};
use crate::graph::Length;

/// `Div`: y = a / b, broadcast. da = dy / b, db = −da · y.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Div",
    opsets: 13..=25,
    weights: &[],
    types: broadcast_of_two,
    fold: Some(|rule| shape_floats::arithmetic(rule, folding::divided, |a, b| a / b, Length::exact_quotient)),
    gradient: Gradient::Defined(|b| {
        let (divisor, y, dy) = (b.input(1)?, b.output(0)?, b.dy()?);
        let da = b.graph.divided_by(dy, divisor)?;
        b.give(0, da)?;
        if b.wants(1) {
            let product = b.graph.times(da, y)?;
            let db = b.graph.add("Neg", &[product], &[])?;
            b.give(1, db)?;
        }
        Ok(())
    }),
    samples: || {
        vec![
            Sample::new("same shape", vec![varied(&[2, 3]), varied_in(&[2, 3], 0.5, 2.0)], vec![]),
            Sample::new("second repeats", vec![varied(&[2, 3, 4]), varied_in(&[3, 1], 0.5, 2.0)], vec![]),
            Sample::new("first repeats", vec![varied(&[4]), varied_in(&[2, 3, 4], 0.5, 2.0)], vec![]),
            Sample::new("both repeat", vec![varied(&[2, 1, 4]), varied_in(&[3, 1], 0.5, 2.0)], vec![]),
            Sample::new("scalar", vec![varied(&[2, 3]), varied_in(&[], 0.5, 2.0)], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-7, 8, 9]), fixed_integers(&[2])], vec![]),
        ]
    },
};
