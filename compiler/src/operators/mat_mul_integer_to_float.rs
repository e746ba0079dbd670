use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, mat_mul, quantized, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{TensorType, ValueId};

/// `com.microsoft.MatMulIntegerToFloat`: `MatMulInteger` times both scales, and a bias, as floats. As those operators: scales
/// and bias have gradients, the matrices of bytes stay as they are.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "MatMulIntegerToFloat",
    opsets: 1..=1,
    weights: &[6],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let operands = || vec![quantized::bytes(&[2, 3]), quantized::bytes(&[3, 4])];
        let scales = || vec![varied_in(&[], 0.1, 0.2), varied_in(&[], 0.1, 0.2)];
        let zero_points = || vec![quantized::zero_point(), quantized::zero_point()];
        let bias = vec![fixed_floats(&[4], &[10.0, -20.0, 30.0, 5.0])];
        let all = [operands(), scales(), zero_points(), bias].concat();
        vec![
            Sample::new("a bias", all, vec![]),
            Sample::new("without zero points", [operands(), scales()].concat(), vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut made = mat_mul::product(rule, rule.input(0)?, rule.input(1)?)?;
    made[0].dtype = rule.input(2)?.dtype;
    Ok(made)
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let scales = [node.input(2)?, node.input(3)?];
    let given = [0, 1, 4, 5].map(|index| node.node.input(index));
    let whole = node.graph.add_with("MatMulInteger", &given, &[], 1)?[0];
    Ok(vec![quantized::scaled(node.graph, whole, scales, node.node.input(6))?])
}
