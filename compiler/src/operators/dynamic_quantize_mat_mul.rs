use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, mat_mul, quantized, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{TensorType, ValueId};

/// `com.microsoft.DynamicQuantizeMatMul`: A, quantized by its range, times a matrix of bytes, and a bias. As
/// `DynamicQuantizeLinear`, `MatMulInteger` and sums: A has no gradient here, since it is rounded; a training step lets one pass (`straight_through`).
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "DynamicQuantizeMatMul",
    opsets: 1..=1,
    weights: &[4],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let a = fixed_floats(&[2, 3], &[0.5, -1.0, 0.25, 2.0, -0.75, 1.0]);
        let scale = || varied_in(&[], 0.1, 0.2);
        let operands = || vec![a.clone(), quantized::bytes(&[3, 4]), scale()];
        let others = vec![quantized::zero_point(), fixed_floats(&[4], &[1.0, -2.0, 3.0, 0.5])];
        vec![
            Sample::new("a bias", [operands(), others].concat(), vec![]),
            Sample::new("no zero point", operands(), vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut made = mat_mul::product(rule, rule.input(0)?, rule.input(1)?)?;
    made[0].dtype = rule.input(2)?.dtype;
    Ok(made)
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (a, b, scale) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let bytes = node.graph.add_with("DynamicQuantizeLinear", &[Some(a)], &[], 3)?;
    let given = [Some(bytes[0]), Some(b), Some(bytes[2]), node.node.input(3)];
    let whole = node.graph.add_with("MatMulInteger", &given, &[], 1)?[0];
    Ok(vec![quantized::scaled(node.graph, whole, [bytes[1], scale], node.node.input(4))?])
}
