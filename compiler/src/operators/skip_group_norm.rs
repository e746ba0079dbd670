use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, group_norm, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Length, TensorType, ValueId};

/// `com.microsoft.SkipGroupNorm`, as ONNX Runtime's optimizer writes it into diffusion models for CUDA: `GroupNorm` of x + skip +
/// bias, the skip of x's shape or one vector for all places, the bias a vector that may be left out. The sum is its second output.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "SkipGroupNorm",
    opsets: 1..=1,
    weights: &[1, 2, 4],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs = |skip: &[usize], bias: SampleInput| {
            vec![varied(&[2, 3, 2, 6]), varied_in(&[6], 0.5, 1.5), varied(&[6]), varied(skip), bias]
        };
        let own = || vec![("groups", Attribute::Int(2)), ("activation", Attribute::Int(1)), ("epsilon", 0.01.into())];
        vec![
            Sample::new("a skip of its shape", inputs(&[2, 3, 2, 6], varied(&[6])), own()).with_outputs(2),
            Sample::new("a skip for all places", inputs(&[2, 1, 1, 6], SampleInput::Absent), own()).with_outputs(2),
            Sample::new("a skip of rows", inputs(&[2, 6], SampleInput::Absent), own()).with_outputs(2),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, skip) = (group_norm::require_groups(rule)?, rule.input(3)?);
    let along = match skip.shape.as_slice() {
        [rows, channels] => vec![rows.clone(), 1.into(), 1.into(), channels.clone()],
        other => other.to_vec(),
    };
    if rule.node.int("channels_last").unwrap_or(1) == 0 || rule.broadcast(&x.shape, &along)? != x.shape {
        return Err(rule.error(format!("a skip {skip} to {x}, wanted channels last")));
    }
    Ok(vec![x.clone(), x.clone()])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, mut skip) = (node.input(0)?, node.input(3)?);
    if let [rows, channels] = node.input_type(3)?.shape.as_slice() {
        let one = Length::from(1);
        skip = node.graph.reshape(skip, &[rows, &one, &one, channels])?;
    }
    let mut sum = node.graph.plus(x, skip)?;
    if let Some(bias) = node.node.input(4) {
        sum = node.graph.plus(sum, bias)?;
    }
    Ok(vec![group_norm::normalized(node, sum)?, sum])
}
