use super::attention_rules::{heads, size_of_a_head};
use super::packed_attention::{attended, require_rows};
use super::remove_padding::fixed;
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, normalizations, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Length, TensorType, ValueId};

/// `com.microsoft.PackedMultiHeadAttention`, as ONNX Runtime's conversion to packing mode writes it for CUDA: `MultiHeadAttention` of
/// tokens without their padding, whose rows lie behind each other: queries, keys and values `[tokens, heads · size]`, or all three
/// `[tokens, heads, 3, size]`, with a bias of all three. As [`packed_attention`](super::packed_attention).
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "PackedMultiHeadAttention",
    opsets: 1..=1,
    weights: &[3],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let rows = || vec![fixed(&[2, 3], &[0, 3, 4, 5, 1, 2]), fixed(&[3], &[0, 1, 4])];
        let three =
            |bias: SampleInput| [vec![varied(&[4, 6]), varied(&[4, 6]), varied(&[4, 8]), bias], rows()].concat();
        let absent = || SampleInput::Absent;
        let together = |bias: SampleInput| [vec![varied(&[4, 2, 3, 3]), absent(), absent(), bias], rows()].concat();
        let two = |more: Vec<(&'static str, Attribute)>| [vec![("num_heads", 2.into())], more].concat();
        let scores = [three(absent()), vec![varied(&[2, 1, 3, 3])]].concat();
        let all = [
            Sample::new("three", three(varied(&[20])), two(vec![])),
            Sample::new("a bias of scores", scores, two(vec![("scale", 0.5.into())])),
            Sample::new("all three in one", together(varied(&[18])), two(vec![])),
        ];
        all.into_iter().map(|sample| sample.since(16)).collect()
    },
};

/// Lengths of queries, keys and values, all heads together.
fn parts(q: &[Length], others: Option<(&[Length], &[Length])>) -> Option<[Length; 3]> {
    match (q, others) {
        ([_, heads, three, size], None) if *three == 3 => Some([heads * size, heads * size, heads * size]),
        ([tokens, q], Some(([k_tokens, k], [v_tokens, v])))
            if tokens.agrees_with(k_tokens) && tokens.agrees_with(v_tokens) && q.agrees_with(k) =>
        {
            Some([q.clone(), k.clone(), v.clone()])
        }
        _ => None,
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let q = rule.input(0)?;
    let others = match rule.node.input(1) {
        Some(_) => Some((rule.input(1)?.shape.as_slice(), rule.input(2)?.shape.as_slice())),
        None => None,
    };
    let parts = parts(&q.shape, others);
    let parts = parts.ok_or_else(|| {
        rule.error(format!("queries {q} with {others:?}; export the model with fixed lengths for what is open"))
    })?;
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    for part in &parts {
        size_of_a_head(part, heads).map_err(|message| rule.error(message))?;
    }
    normalizations::require_vector(rule, 3, &parts.iter().sum())?;
    require_rows(rule, 4)?;
    Ok(vec![TensorType::new(q.dtype, [&q.shape[0], &parts[2]])])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let mut three = match node.node.input(1) {
        Some(k) => [node.input(0)?, k, node.input(2)?],
        None => apart(node)?,
    };
    if let Some(bias) = node.node.input(3) {
        let mut lengths = Vec::new();
        for part in three {
            lengths.push(node.graph.shape(part)?[1].clone());
        }
        let lengths = node.graph.lengths(&lengths)?;
        let biases = node.graph.add_with("Split", &[Some(bias), Some(lengths)], &[("axis", 0.into())], 3)?;
        for (part, bias) in three.iter_mut().zip(biases) {
            *part = node.graph.plus(*part, bias)?;
        }
    }
    Ok(vec![attended(node, three, 4)?])
}

/// Queries, keys and values `[tokens, heads · size]` of one tensor `[tokens, heads, 3, size]`.
fn apart(node: &mut Expansion<'_>) -> Result<[ValueId; 3], CompilerError> {
    let all = node.input(0)?;
    let shape = node.graph.shape(all)?.to_vec();
    let ones = node.graph.integers(&[1; 3]);
    let split = node.graph.add_with("Split", &[Some(all), Some(ones)], &[("axis", 2.into())], 3)?;
    let flat = [shape[0].clone(), &shape[1] * &shape[3]];
    let mut flattened = [split[0], split[1], split[2]];
    for part in &mut flattened {
        *part = node.graph.reshape(*part, &flat)?;
    }
    Ok(flattened)
}
