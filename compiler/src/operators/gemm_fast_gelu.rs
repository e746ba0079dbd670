use super::{Gradient, Operator, Sample, fast_gelu, mat_mul, varied};

/// `com.microsoft.GemmFastGelu`, as ONNX Runtime's optimizer writes it for ROCm: `FastGelu` of a product of matrices and a bias that may
/// be left out. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "GemmFastGelu",
    opsets: 1..=1,
    weights: &[1, 2],
    types: |rule| mat_mul::product(rule, rule.input(0)?, rule.input(1)?),
    fold: None,
    gradient: Gradient::Expand(|node| {
        let operands = [node.input(0)?, node.input(1)?];
        let mut product = node.graph.add("MatMul", &operands, &[])?;
        if let Some(bias) = node.node.input(2) {
            product = node.graph.plus(product, bias)?;
        }
        Ok(vec![fast_gelu::of(node.graph, product)?])
    }),
    samples: || {
        let operands = || vec![varied(&[2, 3, 4]), varied(&[4, 5])];
        let biased = operands().into_iter().chain([varied(&[5])]).collect();
        vec![Sample::new("a bias", biased, vec![]), Sample::new("without a bias", operands(), vec![])]
    },
};
