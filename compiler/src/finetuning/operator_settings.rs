use crate::graph::Node;

/// Inputs that set how an operator computes: bounds, statistics, scales of a size, filling values; and quantized weights with
/// their scales, which stay as they are. Of whatever domain.
const SETTINGS: [(&str, &[usize]); 26] = [
    ("Attention", &[3, 4, 5, 6]),
    ("BatchNormalization", &[3, 4]),
    ("Clip", &[1, 2]),
    ("DequantizeLinear", &[0, 1, 2]),
    ("Dropout", &[1]),
    ("DynamicQuantizeLSTM", &[1, 2, 8, 9, 10, 11]),
    ("DynamicQuantizeMatMul", &[1, 2, 3]),
    ("GatherBlockQuantized", &[0, 2, 3]),
    ("GroupQueryAttention", &[5, 6, 7, 8, 10, 12, 13]),
    ("MatMulIntegerToFloat", &[0, 1, 2, 3, 4, 5]),
    ("MatMulBnb4", &[1, 2]),
    ("MatMulNBits", &[1, 2, 3]),
    ("NegativeLogLikelihoodLoss", &[2]),
    ("OneHot", &[0, 1, 2]),
    ("Pad", &[2]),
    ("Pow", &[1]),
    ("QAttention", &[0, 1, 3, 4, 5, 6, 7]),
    ("QEmbedLayerNormalization", &[2, 3, 4, 5, 6, 8, 9, 10, 11, 12]),
    ("QuantizeLinear", &[1, 2]),
    ("Range", &[0, 1, 2]),
    ("Resize", &[1, 2]),
    ("RoiAlign", &[1, 2]),
    ("RotaryEmbedding", &[1, 2, 3]),
    ("STFT", &[2]),
    ("SoftmaxCrossEntropyLoss", &[2]),
    ("Where", &[0]),
];

/// Whether an input sets how a node computes, and is no weight.
pub(super) fn is_setting(node: &Node, input: usize) -> bool {
    // each input of these may be a bound
    let bounds = matches!(node.operator.as_str(), "Max" | "Min");
    bounds || SETTINGS.iter().any(|(name, inputs)| *name == node.operator && inputs.contains(&input))
}
