use super::{Gradient, Operator, Sample, conv, quantized};
use crate::graph::{Attribute, ElementType};

/// `ConvInteger`: `Conv` of bytes less their zero points, as 32-bit integers.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ConvInteger",
    opsets: 13..=25,
    weights: &[],
    types: |rule| conv::types_of(rule, 1, ElementType::I32),
    fold: None,
    gradient: Gradient::Zero("its operands are integers"),
    samples: || {
        let operands = || vec![quantized::bytes(&[1, 2, 4, 5]), quantized::bytes(&[3, 2, 3, 3])];
        let zero_points = [operands(), vec![quantized::zero_point(), quantized::zero_point()]].concat();
        let pads = vec![("pads", Attribute::Ints(vec![1, 1, 0, 0]))];
        vec![Sample::new("images", operands(), vec![]), Sample::new("zero points", zero_points, pads)]
    },
};
