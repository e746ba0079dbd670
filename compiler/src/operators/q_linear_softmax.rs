use super::{Gradient, Operator, Sample, quantized};

/// `com.microsoft.QLinearSoftmax`: `Softmax` of a quantized tensor.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearSoftmax",
    opsets: 1..=1,
    weights: &[],
    types: |rule| quantized::as_first(rule, 4),
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        vec![Sample::new(
            "the last axis",
            quantized::tensors(&[&[2, 3]]),
            vec![("axis", (-1).into()), ("opset", 13.into())],
        )]
    },
};
