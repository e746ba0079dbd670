use super::{Gradient, Operator, dequantize_linear};

/// `com.microsoft.DequantizeLinear`: the standard operator, also for the types of integers that older opsets of it do not have.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "DequantizeLinear",
    opsets: 1..=1,
    weights: &[],
    types: dequantize_linear::types,
    fold: None,
    gradient: Gradient::Expand(dequantize_linear::expand),
    samples: dequantize_linear::OPERATOR.samples,
};
