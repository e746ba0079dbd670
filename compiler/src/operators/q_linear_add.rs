use super::{Gradient, Operator, Sample, quantized};

/// `com.microsoft.QLinearAdd`: the sum of quantized tensors, broadcast.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearAdd",
    opsets: 1..=1,
    weights: &[],
    types: quantized::broadcast,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        vec![
            Sample::new("alike", quantized::tensors(&[&[2, 3], &[2, 3]]), vec![]),
            Sample::new("broadcast", quantized::tensors(&[&[2, 3], &[3]]), vec![]),
        ]
    },
};
