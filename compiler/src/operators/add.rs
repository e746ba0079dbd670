use super::{Gradient, Operator, Sample, broadcast_of_two, fixed_integers, shape_floats, varied};

/// `Add`: y = a + b, broadcast. da = db = dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Add",
    opsets: 13..=25,
    weights: &[0, 1],
    types: broadcast_of_two,
    fold: Some(|rule| shape_floats::arithmetic(rule, |a, b| Some(a + b), |a, b| a + b, |a, b| Some(a + b))),
    gradient: Gradient::Defined(|b| {
        let dy = b.dy()?;
        b.give(0, dy)?;
        b.give(1, dy)?;
        Ok(())
    }),
    samples: || {
        vec![
            Sample::new("same shape", vec![varied(&[2, 3]), varied(&[2, 3])], vec![]),
            Sample::new("second repeats", vec![varied(&[2, 3, 4]), varied(&[3, 1])], vec![]),
            Sample::new("first repeats", vec![varied(&[4]), varied(&[2, 3, 4])], vec![]),
            Sample::new("both repeat", vec![varied(&[2, 1, 4]), varied(&[3, 1])], vec![]),
            Sample::new("scalar", vec![varied(&[2, 3]), varied(&[])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-7, 8, 9]), fixed_integers(&[2])], vec![]),
        ]
    },
};
