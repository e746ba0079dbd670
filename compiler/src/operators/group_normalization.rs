use super::{Gradient, Operator, Sample, TypeRuleInput, normalizations, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, Graph, Length, Node, TensorType, ValueId};

/// `GroupNormalization`: y = scale · x̂ + bias with x̂ normalized over all channels of a group and all spatial axes of
/// `[N, C, …]`. Scale and bias are `[C]`, before opset 21 one number a group. As `InstanceNormalization` of `[N, groups, …]`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GroupNormalization",
    opsets: 18..=25,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs =
            |shape: &[usize], weights: usize| vec![varied(shape), varied_in(&[weights], 0.5, 1.5), varied(&[weights])];
        let groups = |count: i64| vec![("num_groups", count.into()), ("epsilon", 0.01.into())];
        vec![
            Sample::new("a weight a channel", inputs(&[2, 6, 3, 2], 6), groups(2)).since(21),
            Sample::new("one group", inputs(&[2, 4, 5], 4), groups(1)).since(21),
            Sample::new("no spatial axes", inputs(&[2, 6], 6), groups(2)).since(21),
            Sample::new("a weight a group", inputs(&[2, 6, 3, 2], 3), groups(3)).until(20),
        ]
    },
};

/// Weights are one a channel from this opset on.
const BY_CHANNEL_SINCE: i64 = 21;

/// Number of groups, as an attribute has it.
pub(super) fn count_of(node: &Node, name: &str) -> Result<usize, String> {
    let count = node.int(name).ok_or_else(|| format!("no attribute `{name}`"))?;
    usize::try_from(count).ok().filter(|count| (1..1 << 24).contains(count)).ok_or(format!("{count} groups"))
}

fn groups(node: &Node) -> Result<usize, String> {
    count_of(node, "num_groups")
}

/// Channels of a group.
pub(super) fn channels_of_a_group(channels: &Length, groups: usize) -> Result<Length, String> {
    let misfit = || match channels.as_number() {
        Some(_) => format!("{channels} channels in {groups} groups"),
        None => format!("{channels} channels in {groups} groups; export the model with fixed lengths for what is open"),
    };
    channels.exact_quotient(&groups.into()).ok_or_else(misfit)
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.len() < 2 {
        return Err(rule.error(format!("{x} has no channels")));
    }
    let groups = groups(rule.node).map_err(|message| rule.error(message))?;
    channels_of_a_group(&x.shape[1], groups).map_err(|message| rule.error(message))?;
    let weights = if rule.opset() >= BY_CHANNEL_SINCE { x.shape[1].clone() } else { groups.into() };
    for index in 1..3 {
        rule.input(index)?;
        normalizations::require_vector(rule, index, &weights)?;
    }
    Ok(vec![x.clone()])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, scale, bias) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let shape = node.input_type(0)?.shape;
    let groups = groups(&node.node).map_err(|message| node.error(message))?;
    let each = channels_of_a_group(&shape[1], groups).map_err(|message| node.error(message))?;
    let epsilon = node.node.float("epsilon").unwrap_or(1e-5);
    if node.graph.opset < BY_CHANNEL_SINCE {
        let elements = each * shape[2..].iter().product::<Length>();
        let grouped = node.graph.reshape(x, &[shape[0].clone(), groups.into(), elements])?;
        let epsilon = [("epsilon", epsilon.into())];
        let y = node.graph.add("InstanceNormalization", &[grouped, scale, bias], &epsilon)?;
        return Ok(vec![node.graph.reshape(y, &shape)?]);
    }
    Ok(vec![by_channel(node.graph, x, (groups, &each), [scale, bias], epsilon)?])
}

/// x `[N, C, …]` normalized over groups of so many channels, by weights `[C]`: the scale and the bias.
pub(super) fn by_channel(
    graph: &mut Graph,
    x: ValueId,
    (groups, each): (usize, &Length),
    [scale, bias]: [ValueId; 2],
    epsilon: f32,
) -> Result<ValueId, CompilerError> {
    let shape = graph.shape(x)?.to_vec();
    let elements = each * shape[2..].iter().product::<Length>();
    let grouped = graph.reshape(x, &[shape[0].clone(), groups.into(), elements])?;
    let ones = graph.constant("ones", Constant::f32([groups], &vec![1.0; groups]));
    let zeros = graph.constant("zeros", Constant::f32([groups], &vec![0.0; groups]));
    let hat = graph.add("InstanceNormalization", &[grouped, ones, zeros], &[("epsilon", epsilon.into())])?;
    let hat = graph.reshape(hat, &shape)?;
    let scale = normalizations::along_channels(graph, scale, shape.len())?;
    let bias = normalizations::along_channels(graph, bias, shape.len())?;
    let scaled = graph.times(hat, scale)?;
    graph.plus(scaled, bias)
}
