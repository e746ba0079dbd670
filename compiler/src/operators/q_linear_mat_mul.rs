use super::{Gradient, Operator, Sample, TypeRuleInput, mat_mul, quantized};
use crate::CompilerError;
use crate::graph::TensorType;

/// `QLinearMatMul`: the product of quantized matrices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "QLinearMatMul",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        vec![
            Sample::new("matrices", quantized::tensors(&[&[2, 3], &[3, 4]]), vec![]),
            Sample::new("a batch", quantized::tensors(&[&[2, 2, 3], &[2, 3, 4]]), vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut made = mat_mul::product(rule, rule.input(0)?, rule.input(3)?)?;
    made[0].dtype = quantized::output_dtype(rule, 7);
    Ok(made)
}
