use super::{Gradient, Operator, Sample, SampleInput, integers_of_two};
use crate::graph::{Constant, ElementType};

/// `BitShift`: the bits of unsigned integers moved to the `LEFT` or `RIGHT`, broadcast.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "BitShift",
    opsets: 13..=25,
    weights: &[],
    types: |rule| match rule.node.string("direction") {
        Some("LEFT" | "RIGHT") => integers_of_two(rule),
        _ => Err(rule.error("its direction is neither `LEFT` nor `RIGHT`")),
    },
    fold: None,
    gradient: Gradient::Zero("integers have no derivative"),
    samples: || {
        let whole = |values: &[u8]| {
            let bytes = values.to_vec().into();
            SampleInput::Fixed(Constant { dtype: ElementType::U8, shape: vec![values.len()], bytes })
        };
        let to = |direction: &str| vec![("direction", direction.into())];
        vec![
            Sample::new("left", vec![whole(&[1, 2, 255]), whole(&[1, 3, 7])], to("LEFT")),
            Sample::new("right", vec![whole(&[1, 2, 255]), whole(&[1])], to("RIGHT")),
        ]
    },
};
