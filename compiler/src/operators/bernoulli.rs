use super::{Gradient, Operator, Sample, fixed_floats, generated};

/// `Bernoulli`: 1 with the probability that the input says, else 0.
/// Opset 22 adds element types alone, and ONNX Runtime has no kernels for it.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Bernoulli",
    opsets: 15..=21,
    weights: &[],
    types: generated::like_first,
    fold: None,
    gradient: Gradient::Zero("a draw is constant but where it turns"),
    samples: || {
        vec![Sample::new("seeded", vec![fixed_floats(&[4], &[0.0, 0.25, 0.75, 1.0])], vec![("seed", 7.0.into())])]
    },
};
