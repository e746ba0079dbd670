use super::{Gradient, Operator, Sample, broadcast_of_all, varied};

/// `Mean`: the mean of all inputs, broadcast. Each input's gradient is dy / n.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Mean",
    opsets: 13..=25,
    weights: &[],
    types: broadcast_of_all,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let share = b.graph.scalar(1.0 / b.node.inputs.len() as f32);
        let dy = b.dy()?;
        let each = b.graph.times(dy, share)?;
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
