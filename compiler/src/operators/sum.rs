use super::{Gradient, Operator, Sample, broadcast_of_all, varied};

/// `Sum`: the sum of all inputs, broadcast. Each input's gradient is dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Sum",
    opsets: 13..=25,
    weights: &[],
    types: broadcast_of_all,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let each = b.dy()?;
        (0..b.node.inputs.len()).try_for_each(|index| b.give(index, each))
    }),
    samples: || {
        vec![
            Sample::new("one input", vec![varied(&[2, 3])], vec![]),
            Sample::new("same shape", vec![varied(&[2, 3]), varied(&[2, 3])], vec![]),
            Sample::new("three that repeat", vec![varied(&[2, 1, 4]), varied(&[3, 1]), varied(&[])], vec![]),
        ]
    },
};
