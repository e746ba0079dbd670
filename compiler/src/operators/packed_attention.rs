use super::attention_rules::{Scores, attend, heads, merge_heads, scale_of, size_of_a_head, split_heads};
use super::remove_padding::fixed;
use super::{Gradient, Operator, Sample, TypeRuleInput, attention_microsoft, normalizations, packed_rows, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, TensorType, ValueId};

/// `com.microsoft.PackedAttention`, as ONNX Runtime's conversion to packing mode writes it for CUDA: `Attention` of tokens
/// `[tokens, in]` without their padding, whose rows lie behind each other. The tokens go to their places of a batch, each sees those of its
/// row, and what is found for them is taken from there. As `ScatterND`, products, a softmax, sums and `Gather`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "PackedAttention",
    opsets: 1..=1,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let rows = || vec![fixed(&[2, 3], &[0, 3, 4, 5, 1, 2]), fixed(&[3], &[0, 1, 4])];
        let inputs =
            |columns: usize| [vec![varied(&[4, 5]), varied(&[5, columns]), varied(&[columns])], rows()].concat();
        let two = |more: Vec<(&'static str, Attribute)>| [vec![("num_heads", 2.into())], more].concat();
        let bias = [inputs(12), vec![varied(&[1, 2, 3, 3])]].concat();
        let other = two(vec![("qkv_hidden_sizes", vec![4, 4, 6].into())]);
        let all = [
            Sample::new("plain", inputs(12), two(vec![])),
            Sample::new("a bias of scores", bias, two(vec![("scale", 0.5.into())])),
            Sample::new("other values", inputs(14), other),
        ];
        all.into_iter().map(|sample| sample.since(16)).collect()
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, weights) = (rule.input(0)?, rule.input(1)?);
    let ([tokens, inner], [rows, columns]) = (x.shape.as_slice(), weights.shape.as_slice()) else {
        return Err(rule.error(format!("{x} with weights {weights}, wanted two axes each")));
    };
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    let [q, k, v] = attention_microsoft::parts(rule.node, columns).map_err(|message| rule.error(message))?;
    if !inner.agrees_with(rows) || (&q + &k + &v) != *columns || q != k {
        return Err(
            rule.error(format!("{x} with weights {weights}; export the model with fixed lengths for what is open"))
        );
    }
    normalizations::require_vector(rule, 2, columns)?;
    require_rows(rule, 3)?;
    for part in [&k, &v] {
        size_of_a_head(part, heads).map_err(|message| rule.error(message))?;
    }
    Ok(vec![TensorType::new(x.dtype, [tokens, &v])])
}

/// Refuses what does not say where the tokens of rows lie: offsets `[rows, length]` and, behind them, where each row begins.
pub(super) fn require_rows(rule: &TypeRuleInput<'_>, offsets: usize) -> Result<(), CompilerError> {
    let (places, begins) = (rule.input(offsets)?, rule.input(offsets + 1)?);
    match (places.shape.as_slice(), begins.shape.as_slice()) {
        ([rows, _], [count]) if (rows + 1).agrees_with(count) => Ok(()),
        _ => Err(rule.error(format!(
            "tokens at {places}, rows from {begins}; export the model with fixed lengths for what is open"
        ))),
    }
}

/// Attention of queries, keys and values `[tokens, heads · size]`, of rows that inputs from `offsets` on describe, and a bias of scores
/// behind those.
pub(super) fn attended(
    node: &mut Expansion<'_>,
    [q, k, v]: [ValueId; 3],
    offsets: usize,
) -> Result<ValueId, CompilerError> {
    let (places, begins, bias) = (node.input(offsets)?, node.input(offsets + 1)?, node.node.input(offsets + 2));
    let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
    let tokens = node.graph.shape(q)?[0].clone();
    let mut of_rows = Vec::new();
    for part in [q, k, v] {
        let restored = packed_rows::restored(node.graph, part, places)?;
        of_rows.push(split_heads(node.graph, restored, heads)?);
    }
    let size = node.graph.shape(of_rows[0])?[3].clone();
    let seen = Some(packed_rows::seen(node.graph, begins, places)?);
    let scores = Scores { bias, seen, ..Scores::scaled(scale_of(node, &size)?) };
    let y = attend(node, of_rows[0], of_rows[1], of_rows[2], &scores)?;
    let y = merge_heads(node.graph, y)?;
    packed_rows::packed(node.graph, y, places, &tokens)
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let operands = [node.input(0)?, node.input(1)?];
    let columns = node.input_type(1)?.shape[1].clone();
    let parts = attention_microsoft::parts(&node.node, &columns).map_err(|message| node.error(message))?;
    let mut all = node.graph.add("MatMul", &operands, &[])?;
    if let Some(bias) = node.node.input(2) {
        all = node.graph.plus(all, bias)?;
    }
    let lengths = node.graph.lengths(&parts)?;
    let split = node.graph.add_with("Split", &[Some(all), Some(lengths)], &[("axis", (-1).into())], 3)?;
    Ok(vec![attended(node, [split[0], split[1], split[2]], 3)?])
}
