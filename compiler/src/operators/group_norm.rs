use super::{Gradient, Operator, Sample, TypeRuleInput, group_normalization, normalizations, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, TensorType, ValueId};

/// `com.microsoft.GroupNorm`, as ONNX Runtime's optimizer writes it into diffusion models for CUDA: `GroupNormalization` of
/// `[N, H, W, C]`, or of `[N, C, H, W]` where channels are not last, and SiLU on request. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "GroupNorm",
    opsets: 1..=1,
    weights: &[1, 2],
    types: |rule| {
        require_groups(rule)?;
        Ok(vec![rule.input(0)?.clone()])
    },
    fold: None,
    gradient: Gradient::Expand(|node| {
        let x = node.input(0)?;
        Ok(vec![normalized(node, x)?])
    }),
    samples: || {
        let inputs = |shape: &[usize]| vec![varied(shape), varied_in(&[6], 0.5, 1.5), varied(&[6])];
        let with = |more: Vec<(&'static str, Attribute)>| {
            let own = [("groups", Attribute::Int(2)), ("activation", Attribute::Int(0)), ("epsilon", 0.01.into())];
            own.into_iter().chain(more).collect::<Vec<_>>()
        };
        let silu = vec![("groups", 3.into()), ("activation", 1.into()), ("epsilon", 0.01.into())];
        vec![
            Sample::new("channels last", inputs(&[2, 3, 2, 6]), with(vec![])),
            Sample::new("channels second", inputs(&[2, 6, 3, 2]), with(vec![("channels_last", 0.into())])),
            Sample::new("with SiLU", inputs(&[2, 3, 2, 6]), silu),
        ]
    },
};

/// Refuses what has no such groups of channels.
pub(super) fn require_groups<'a>(rule: &TypeRuleInput<'a>) -> Result<&'a TensorType, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.len() != 4 {
        return Err(rule.error(format!("{x}, wanted four axes")));
    }
    let channels = &x.shape[if is_last(rule.node.int("channels_last")) { 3 } else { 1 }];
    let groups = group_normalization::count_of(rule.node, "groups").map_err(|message| rule.error(message))?;
    group_normalization::channels_of_a_group(channels, groups).map_err(|message| rule.error(message))?;
    for index in 1..3 {
        rule.input(index)?;
        normalizations::require_vector(rule, index, channels)?;
    }
    Ok(x)
}

fn is_last(stated: Option<i64>) -> bool {
    stated.unwrap_or(1) != 0
}

/// What a node makes of x, by its scale, bias and attributes.
pub(super) fn normalized(node: &mut Expansion<'_>, x: ValueId) -> Result<ValueId, CompilerError> {
    let last = is_last(node.node.int("channels_last"));
    let weights = [node.input(1)?, node.input(2)?];
    let groups = group_normalization::count_of(&node.node, "groups").map_err(|message| node.error(message))?;
    let epsilon = node.node.float("epsilon").unwrap_or(1e-5);
    let activation = node.node.int("activation").unwrap_or(0);
    let turned = if last { node.graph.transpose(x, &[0, 3, 1, 2])? } else { x };
    let channels = node.graph.shape(turned)?[1].clone();
    let each = group_normalization::channels_of_a_group(&channels, groups).map_err(|message| node.error(message))?;
    let mut y = group_normalization::by_channel(node.graph, turned, (groups, &each), weights, epsilon)?;
    if activation == 1 {
        let gate = node.graph.add("Sigmoid", &[y], &[])?;
        y = node.graph.times(y, gate)?;
    } else if activation != 0 {
        return Err(node.no_gradient(format!("its activation {activation} is not known")));
    }
    if last { node.graph.transpose(y, &[0, 2, 3, 1]) } else { Ok(y) }
}
