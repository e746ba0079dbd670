use super::{Gradient, Operator, quantize_linear};

/// `com.microsoft.QuantizeLinear`: the standard operator, also for the types of integers that older opsets of it do not have.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QuantizeLinear",
    opsets: 1..=1,
    weights: &[],
    types: quantize_linear::types,
    fold: None,
    gradient: Gradient::Zero("it rounds to integers: constant between steps"),
    samples: quantize_linear::OPERATOR.samples,
};
