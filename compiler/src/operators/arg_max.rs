use super::{Gradient, Operator, Sample, extremes, varied};

/// `ArgMax`: the index of the largest element on an axis; of several the first, or with `select_last_index` the last.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ArgMax",
    opsets: 13..=25,
    weights: &[],
    types: extremes::index_types,
    fold: None,
    gradient: Gradient::Zero("an index has no derivative"),
    samples: || {
        let last = vec![("axis", (-1).into()), ("keepdims", 0.into()), ("select_last_index", 1.into())];
        vec![
            Sample::new("first axis", vec![varied(&[3, 4])], vec![]),
            Sample::new("last axis, not kept", vec![varied(&[2, 3, 4])], last),
        ]
    },
};
