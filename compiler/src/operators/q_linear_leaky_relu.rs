use super::{Gradient, Operator, Sample, quantized};

/// `com.microsoft.QLinearLeakyRelu`: `LeakyRelu` of a quantized tensor.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearLeakyRelu",
    opsets: 1..=1,
    weights: &[],
    types: |rule| quantized::as_first(rule, 4),
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || vec![Sample::new("a leak", quantized::tensors(&[&[2, 3]]), vec![("alpha", 0.5.into())])],
};
