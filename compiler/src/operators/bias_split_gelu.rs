use super::{Gradient, Operator, Sample, TypeRuleInput, gelu_rules, normalizations, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{TensorType, ValueId};

/// `com.microsoft.BiasSplitGelu`, as ONNX Runtime's optimizer writes it into diffusion models for CUDA: the left half of s = x + bias
/// along the last axis times `Gelu` of its right half. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "BiasSplitGelu",
    opsets: 1..=1,
    weights: &[1],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs = vec![varied_in(&[2, 3, 8], -3.0, 3.0), varied(&[8])];
        vec![Sample::new("two halves", inputs, vec![])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let mut made = x.clone();
    let Some(last) = made.shape.last_mut() else { return Err(rule.error(format!("{x} has no axis"))) };
    rule.input(1)?;
    normalizations::require_vector(rule, 1, last)?;
    let half = last.exact_quotient(&2.into());
    *last = half.ok_or_else(|| {
        rule.error(format!("{last} numbers in two halves; export the model with fixed lengths for what is open"))
    })?;
    Ok(vec![made])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, bias) = (node.input(0)?, node.input(1)?);
    let last = node.input_type(1)?.shape[0].exact_quotient(&2.into());
    let half = last.ok_or_else(|| node.error("its bias is no two of the same length"))?;
    let sum = node.graph.plus(x, bias)?;
    let lengths = node.graph.lengths(&[half.clone(), half])?;
    let parts = node.graph.add_with("Split", &[Some(sum), Some(lengths)], &[("axis", (-1).into())], 2)?;
    let right = gelu_rules::exact(node.graph, parts[1])?;
    Ok(vec![node.graph.times(parts[0], right)?])
}
