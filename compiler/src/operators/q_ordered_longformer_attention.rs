use super::{Gradient, Operator, Sample, fixed_floats, quantized};

/// `com.microsoft.QOrderedLongformerAttention`, for CUDA: attention in a window and of some places everywhere, of integers of 8 bits
/// in orders of cuBLASLt.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QOrderedLongformerAttention",
    opsets: 1..=1,
    weights: &[],
    types: quantized::signed_as_first,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let matrix = || vec![quantized::signed_bytes(&[4, 12]), quantized::scale()];
        let bias = || fixed_floats(&[12], &[0.25; 12]);
        let x = vec![quantized::signed_bytes(&[1, 4, 4]), quantized::scale()];
        let behind = vec![bias(), quantized::scale(), quantized::scale(), fixed_floats(&[1, 4], &[0.0; 4])];
        let global =
            vec![bias(), quantized::scale(), super::remove_padding::fixed(&[1, 4], &[1, 0, 0, 0]), quantized::scale()];
        let orders = ["order_input", "order_output"].map(|order| (order, 1.into()));
        let weights = ["order_weight", "order_global_weight"].map(|order| (order, 0.into()));
        let own = [("num_heads", 2.into()), ("window", 2.into())];
        let attributes = own.into_iter().chain(orders).chain(weights).collect();
        vec![Sample::new("one place everywhere", [x, matrix(), behind, matrix(), global].concat(), attributes)]
    },
};
