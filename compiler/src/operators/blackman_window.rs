use super::{Gradient, Operator, Sample, fixed_integer, generated};

/// `BlackmanWindow`: 0.42 − 0.5 cos(2πn / N) + 0.08 cos(4πn / N), for n from 0 up to the length; N is the length, or one less without `periodic`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "BlackmanWindow",
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
