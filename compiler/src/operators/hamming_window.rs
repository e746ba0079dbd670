use super::{Gradient, Operator, Sample, fixed_integer, generated};

/// `HammingWindow`: 25/46 − 21/46 cos(2πn / N), for n from 0 up to the length; N is the length, or one less without `periodic`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "HammingWindow",
    opsets: 17..=25,
    weights: &[],
    types: generated::window,
    fold: None,
    gradient: Gradient::Zero("it depends on nothing but a length"),
    samples: || {
        vec![
            Sample::new("periodic", vec![fixed_integer(8)], vec![]),
            Sample::new("symmetric", vec![fixed_integer(5)], vec![("periodic", 0.into())]),
        ]
    },
};
