use super::{Gradient, Operator, Sample, TypeRuleInput, normalizations, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `com.microsoft.BiasAdd`, as ONNX Runtime's optimizer writes it into diffusion models for CUDA: y = x + bias + skip, the bias a
/// vector along the last axis. As sums.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "BiasAdd",
    opsets: 1..=1,
    weights: &[1],
    types,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let (x, bias, skip) = (node.input(0)?, node.input(1)?, node.input(2)?);
        let sum = node.graph.plus(x, bias)?;
        Ok(vec![node.graph.plus(sum, skip)?])
    }),
    samples: || {
        let inputs = vec![varied(&[2, 3, 4]), varied(&[4]), varied(&[2, 3, 4])];
        vec![Sample::new("a bias along the last axis", inputs, vec![])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, skip) = (rule.input(0)?, rule.input(2)?);
    let Some(channels) = x.shape.last().filter(|_| skip.agrees_with(x)) else {
        return Err(rule.error(format!("{x} and a skip {skip}, wanted two of one shape")));
    };
    rule.input(1)?;
    normalizations::require_vector(rule, 1, channels)?;
    Ok(vec![x.clone()])
}
