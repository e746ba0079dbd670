use super::{Gradient, Operator, Sample, generated};

/// `RandomNormal`: numbers of the normal distribution with `mean` and the standard deviation `scale`.
/// Opset 22 adds element types alone, and ONNX Runtime has no kernels for it.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RandomNormal",
    opsets: 13..=21,
    weights: &[],
    types: generated::of_attribute,
    fold: None,
    gradient: Gradient::Zero("it is drawn at random"),
    samples: || vec![Sample::new("seeded", vec![], vec![("shape", vec![2, 3].into()), ("seed", 7.0.into())])],
};
