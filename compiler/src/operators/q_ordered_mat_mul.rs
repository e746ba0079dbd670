use super::{Gradient, Operator, Sample, mat_mul, quantized};
use crate::graph::ElementType;

/// `com.microsoft.QOrderedMatMul`, for CUDA: a product of matrices of integers of 8 bits in orders of cuBLASLt. The second is
/// stated as it would be in rows.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QOrderedMatMul",
    opsets: 1..=1,
    weights: &[],
    types: |rule| {
        let mut made = mat_mul::product(rule, rule.input(0)?, rule.input(2)?)?;
        made[0].dtype = ElementType::I8;
        Ok(made)
    },
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let matrix = |shape: &[usize]| vec![quantized::signed_bytes(shape), quantized::scale()];
        let inputs = [matrix(&[1, 2, 32]), matrix(&[32, 64]), vec![quantized::scale()]].concat();
        let orders = vec![("order_A", 1.into()), ("order_B", 0.into()), ("order_Y", 1.into())];
        vec![Sample::new("rows by columns", inputs, orders)]
    },
};
