use super::{Gradient, Operator, Sample, TypeRuleInput, mat_mul, quantized};
use crate::CompilerError;
use crate::graph::{ElementType, TensorType};

/// `MatMulInteger`: (A − its zero point) · (B − its zero point), of bytes, as 32-bit integers.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MatMulInteger",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("its operands are integers"),
    samples: || {
        let operands = || vec![quantized::bytes(&[2, 3]), quantized::bytes(&[3, 4])];
        let zero_points = [operands(), vec![quantized::zero_point(), quantized::zero_point()]].concat();
        let batch = vec![quantized::bytes(&[2, 2, 3]), quantized::bytes(&[3, 4])];
        vec![
            Sample::new("matrices", operands(), vec![]),
            Sample::new("zero points", zero_points, vec![]),
            Sample::new("a batch and a matrix", batch, vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut made = mat_mul::product(rule, rule.input(0)?, rule.input(1)?)?;
    made[0].dtype = ElementType::I32;
    Ok(made)
}
