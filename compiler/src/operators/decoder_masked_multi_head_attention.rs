use super::attention_rules::{Scores, attend, bias_of_mask, heads, merge_heads, scale_of, size_of_a_head, split_heads};
use super::decoder_masked_self_attention::REASON;
use super::remove_padding::fixed;
use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Length, TensorType, ValueId};

/// `com.microsoft.DecoderMaskedMultiHeadAttention`, as ONNX Runtime's optimizer writes it into decoders: attention of one query
/// `[batch, 1, heads · size]` a row to keys and values `[batch, heads, keys, size]` of another sequence, with a bias of the queries, a mask
/// of keys and a bias of the scores. As products, a softmax and sums. To earlier keys of its own it attends in a buffer, and has no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "DecoderMaskedMultiHeadAttention",
    opsets: 1..=1,
    weights: &[10],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let other = || vec![varied(&[2, 1, 8]), varied(&[2, 2, 3, 4]), varied(&[2, 2, 3, 4])];
        let mask = || fixed(&[2, 3], &[1, 1, 0, 1, 1, 1]);
        let two = |more: Vec<(&'static str, Attribute)>| [vec![("num_heads", 2.into())], more].concat();
        vec![
            Sample::new("another sequence", other(), two(vec![("scale", 0.5.into())])),
            Sample::new("a mask", [other(), vec![mask()]].concat(), two(vec![])),
        ]
    },
};

/// Lengths of keys and values of another sequence; none where a node attends to its own.
fn other_sequence(rule: &TypeRuleInput<'_>) -> Option<(Length, Length)> {
    let (keys, values) = (rule.optional(1)?.shape.as_slice(), rule.optional(2)?.shape.as_slice());
    match (keys, values) {
        ([_, _, keys, _], [_, _, _, size]) => Some((keys.clone(), size.clone())),
        _ => None,
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let q = rule.input(0)?;
    let [batch, one, hidden] = q.shape.as_slice() else {
        return Err(rule.error(format!("queries {q}, wanted three axes")));
    };
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    if let Some((keys, size)) = other_sequence(rule) {
        let present = TensorType::new(q.dtype, [batch.clone(), heads.into(), keys.clone(), size.clone()]);
        let products = TensorType::new(q.dtype, [batch.clone(), heads.into(), one.clone(), keys]);
        let y = TensorType::new(q.dtype, [batch.clone(), one.clone(), size * heads]);
        return Ok(vec![y, present.clone(), present, products]);
    }
    let value = match rule.node.input(2) {
        Some(_) => rule.input(2)?.shape.last().cloned(),
        None => hidden.exact_quotient(&3.into()),
    };
    let value = value.ok_or_else(|| {
        rule.error(format!("{hidden} columns for three parts; export the model with fixed lengths for what is open"))
    })?;
    size_of_a_head(&value, heads).map_err(|message| rule.error(message))?;
    let y = TensorType::new(q.dtype, [batch, one, &value]);
    match (rule.optional(5), rule.optional(6)) {
        (Some(past_key), Some(past_value)) => Ok(vec![y, past_key.clone(), past_value.clone()]),
        _ => Ok(vec![y]),
    }
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let rule = TypeRuleInput { graph: node.graph, node: &node.node, outputs: 0, output: 0 };
    if other_sequence(&rule).is_none() {
        return Err(node.no_gradient(REASON));
    }
    if node.node.input(8).is_some() || node.node.input(9).is_some() {
        return Err(node.no_gradient("it looks up which beam each key came from (beam_width, cache_indirection)"));
    }
    if node.node.outputs.get(3).is_some_and(Option::is_some) {
        return Err(node.no_gradient("it gives the products of queries and keys"));
    }
    let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
    let (mut q, k, v) = (node.input(0)?, node.input(1)?, node.input(2)?);
    if let Some(bias) = node.node.input(10) {
        let hidden = node.graph.shape(q)?[2].clone();
        let bias = node.graph.part(bias, &[0], &[Length::from(0)], &[hidden], &[1])?;
        q = node.graph.plus(q, bias)?;
    }
    let q = split_heads(node.graph, q, heads)?;
    let (shape, keys) = (node.graph.shape(q)?.to_vec(), node.graph.shape(k)?[2].clone());
    let (mask, bias) = (node.node.input(3), node.node.input(4));
    let bias = bias_of_mask(node, bias, mask, (&shape[0], &keys))?;
    let scale = scale_of(node, &shape[3])?;
    let y = attend(node, q, k, v, &Scores { bias, ..Scores::scaled(scale) })?;
    Ok(vec![merge_heads(node.graph, y)?, k, v])
}
