use super::{Gradient, Operator, Sample, fixed_floats, quantized};

/// `com.microsoft.QOrderedLayerNormalization`, for CUDA: `LayerNormalization` of integers of 8 bits.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QOrderedLayerNormalization",
    opsets: 1..=1,
    weights: &[],
    types: quantized::signed_as_first,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let [weights, bias] = [[0.5, 1.0, 1.5], [0.0, 0.25, -0.5]].map(|numbers| fixed_floats(&[3], &numbers));
        let inputs = vec![quantized::signed_bytes(&[2, 3]), quantized::scale(), weights, bias, quantized::scale()];
        vec![Sample::new("rows", inputs, vec![("order_X", 1.into()), ("order_Y", 1.into())])]
    },
};
