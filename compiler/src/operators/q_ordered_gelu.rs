use super::{Gradient, Operator, Sample, quantized};
use crate::graph::{ElementType, TensorType};

/// `com.microsoft.QOrderedGelu`, for CUDA: `Gelu` of integers of 8 bits in an order of cuBLASLt.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QOrderedGelu",
    opsets: 1..=1,
    weights: &[],
    types: |rule| Ok(vec![TensorType { dtype: ElementType::I8, shape: rule.input(0)?.shape.clone() }]),
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let inputs = vec![quantized::signed_bytes(&[2, 3]), quantized::scale(), quantized::scale()];
        vec![Sample::new("a matrix", inputs, vec![])]
    },
};
