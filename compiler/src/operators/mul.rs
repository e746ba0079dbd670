use super::{Gradient, Operator, Sample, broadcast_of_two, fixed_integers, shape_floats, varied};

/// `Mul`: y = a · b, broadcast. da = dy · b, db = dy · a.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Mul",
    opsets: 13..=25,
    weights: &[0, 1],
    types: broadcast_of_two,
    fold: Some(|rule| shape_floats::arithmetic(rule, |a, b| Some(a * b), |a, b| a * b, |a, b| Some(a * b))),
    gradient: Gradient::Defined(|b| {
        let dy = b.dy()?;
        for (index, other) in [(0, 1), (1, 0)] {
            if b.wants(index) {
                let factor = b.input(other)?;
                let gradient = b.graph.times(dy, factor)?;
                b.give(index, gradient)?;
            }
        }
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
