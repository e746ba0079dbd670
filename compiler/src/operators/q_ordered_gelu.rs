use super::{Gradient, Operator, Sample, quantized};

/// `com.microsoft.QOrderedGelu`, for CUDA: `Gelu` of integers of 8 bits in an order of cuBLASLt.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QOrderedGelu",
    opsets: 1..=1,
    weights: &[],
    types: quantized::signed_as_first,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let inputs = vec![quantized::signed_bytes(&[2, 3]), quantized::scale(), quantized::scale()];
        vec![Sample::new("a matrix", inputs, vec![])]
    },
};
