use super::{Gradient, Operator, Sample, SampleInput, conv, quantized};
use crate::graph::{Attribute, Constant, ElementType};

/// `QLinearConv`: `Conv` of quantized tensors.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "QLinearConv",
    opsets: 13..=25,
    weights: &[],
    types: |rule| conv::types_of(rule, 3, quantized::output_dtype(rule, 7)),
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let operands = || quantized::tensors(&[&[1, 2, 4, 5], &[3, 2, 3, 3]]);
        let bias: Vec<u8> = [5i32, -3, 100].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bias = SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![3], bytes: bias.into() });
        let pads = vec![("pads", Attribute::Ints(vec![1, 1, 0, 0]))];
        vec![Sample::new("images", operands(), vec![]), Sample::new("a bias", [operands(), vec![bias]].concat(), pads)]
    },
};
