use super::{Gradient, Operator, Sample, quantized};

/// `com.microsoft.QLinearSigmoid`: `Sigmoid` of a quantized tensor.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearSigmoid",
    opsets: 1..=1,
    weights: &[],
    types: |rule| quantized::as_first(rule, 4),
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || vec![Sample::new("a matrix", quantized::tensors(&[&[2, 3]]), vec![])],
};
