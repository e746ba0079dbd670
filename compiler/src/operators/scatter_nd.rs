use super::{Gradient, Operator, Sample, SampleInput, same_as_first, varied};
use crate::graph::Constant;

/// `ScatterND`: a copy of the data with slices replaced, or added to, at indices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ScatterND",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Missing,
    samples: || {
        let indices = || SampleInput::Fixed(Constant::i64([2, 1], &[3, 0]));
        vec![
            Sample::new("replaced", vec![varied(&[4, 3]), indices(), varied(&[2, 3])], vec![]),
            Sample::new("added", vec![varied(&[4, 3]), indices(), varied(&[2, 3])], vec![("reduction", "add".into())])
                .since(16),
        ]
    },
};
