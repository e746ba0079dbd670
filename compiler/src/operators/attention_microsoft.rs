use super::attention_rules::{Scores, attend, bias_of_mask, heads, merge_heads, scale_of, size_of_a_head, split_heads};
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, normalizations, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, Node, TensorType, ValueId};

/// `com.microsoft.Attention`, as BERT has it: queries, keys and values are one product of x `[batch, length, in]` with
/// merged weights `[in, q + k + v]` and a bias, then attention over heads with a mask of keys, a bias of the scores, and earlier keys
/// and values in front, as decoders have it. As products, a softmax and sums.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "Attention",
    opsets: 1..=1,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let absent = || SampleInput::Absent;
        let three = || vec![varied(&[2, 3, 5]), varied(&[5, 12]), varied(&[12])];
        let mask = |shape: &[usize], values: &[i32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() })
        };
        let then = |more: Vec<SampleInput>| three().into_iter().chain(more).collect::<Vec<SampleInput>>();
        let with = |more: Vec<(&'static str, Attribute)>| {
            [("num_heads", Attribute::Int(2))].into_iter().chain(more).collect::<Vec<_>>()
        };
        let causal = || with(vec![("unidirectional", 1.into())]);
        let places = [1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1];
        vec![
            Sample::new("plain", three(), with(vec![])),
            Sample::new("a mask of keys", then(vec![mask(&[2, 3], &[1, 1, 1, 1, 1, 0])]), with(vec![])),
            Sample::new("numbers of keys", then(vec![mask(&[2], &[3, 2])]), with(vec![])),
            Sample::new("a mask of places", then(vec![mask(&[2, 3, 3], &places)]), with(vec![])),
            Sample::new("causal", three(), with(vec![("unidirectional", 1.into()), ("scale", 0.5.into())])),
            Sample::new("a bias of scores", then(vec![absent(), absent(), varied(&[2, 2, 3, 3])]), with(vec![])),
            Sample::new("its own keys and values", three(), with(vec![])).with_outputs(2),
            Sample::new("earlier keys, causal", then(vec![absent(), varied(&[2, 2, 2, 4, 2])]), causal())
                .with_outputs(2),
            Sample::new(
                "earlier keys, a mask of keys",
                then(vec![mask(&[2, 7], &[1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1]), varied(&[2, 2, 2, 4, 2])]),
                with(vec![]),
            )
            .with_outputs(2),
            Sample::new(
                "other values",
                vec![varied(&[2, 3, 5]), varied(&[5, 14]), varied(&[14])],
                with(vec![("qkv_hidden_sizes", vec![4, 4, 6].into())]),
            ),
        ]
    },
};

/// Lengths of queries, keys and values, all heads together.
pub(super) fn parts(node: &Node, columns: &Length) -> Result<[Length; 3], String> {
    match node.ints("qkv_hidden_sizes") {
        Some([q, k, v]) if [q, k, v].iter().all(|part| (1..1 << 32).contains(*part)) => {
            Ok([q, k, v].map(|part| Length::number(*part)))
        }
        Some(other) => Err(format!("qkv_hidden_sizes are {other:?}")),
        None => {
            let each = columns.exact_quotient(&3.into()).ok_or_else(|| match columns.as_number() {
                Some(_) => format!("{columns} columns for three parts"),
                None => {
                    format!("{columns} columns for three parts; export the model with fixed lengths for what is open")
                }
            })?;
            Ok([each.clone(), each.clone(), each])
        }
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, weights) = (rule.input(0)?, rule.input(1)?);
    let ([batch, length, inner], [rows, columns]) = (x.shape.as_slice(), weights.shape.as_slice()) else {
        return Err(rule.error(format!("{x} with weights {weights}, wanted three axes and two")));
    };
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    let [q, k, v] = parts(rule.node, columns).map_err(|message| rule.error(message))?;
    if !inner.agrees_with(rows) || (&q + &k + &v) != *columns || q != k {
        return Err(
            rule.error(format!("{x} with weights {weights}; export the model with fixed lengths for what is open"))
        );
    }
    normalizations::require_vector(rule, 2, columns)?;
    let size = size_of_a_head(&k, heads).map_err(|message| rule.error(message))?;
    size_of_a_head(&v, heads).map_err(|message| rule.error(message))?;
    let past = match rule.optional(4) {
        Some(past) => match past.shape.as_slice() {
            [_, _, _, length, _] => length.clone(),
            _ => return Err(rule.error(format!("earlier keys {past}, wanted five axes"))),
        },
        None => 0.into(),
    };
    let present = [2.into(), batch.clone(), heads.into(), past + length, size];
    Ok(vec![TensorType::new(x.dtype, [batch, length, &v]), TensorType::new(x.dtype, present)])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (past, gives_keys) = (node.node.input(4), node.node.outputs.get(1).is_some_and(Option::is_some));
    if node.node.int("do_rotary").unwrap_or(0) != 0 {
        return Err(node.no_gradient("it rotates its queries and keys (do_rotary)"));
    }
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let columns = node.input_type(1)?.shape[1].clone();
    let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
    let parts = parts(&node.node, &columns).map_err(|message| node.error(message))?;
    if (past.is_some() || gives_keys) && parts[1] != parts[2] {
        return Err(node.no_gradient("it keeps keys and values of different lengths in one tensor"));
    }
    let mut all = node.graph.add("MatMul", &[x, weights], &[])?;
    if let Some(bias) = node.node.input(2) {
        all = node.graph.plus(all, bias)?;
    }
    let lengths = node.graph.lengths(&parts)?;
    let split = node.graph.add_with("Split", &[Some(all), Some(lengths)], &[("axis", (-1).into())], 3)?;
    let q = split_heads(node.graph, split[0], heads)?;
    let mut k = split_heads(node.graph, split[1], heads)?;
    let mut v = split_heads(node.graph, split[2], heads)?;
    let mut before = Length::from(0);
    if let Some(past) = past {
        before = node.graph.shape(past)?[3].clone();
        let (past_key, past_value) = (earlier(node.graph, past, 0)?, earlier(node.graph, past, 1)?);
        k = node.graph.concat(&[past_key, k], 2)?;
        v = node.graph.concat(&[past_value, v], 2)?;
    }
    let (shape, keys) = (node.graph.shape(q)?.to_vec(), node.graph.shape(k)?[2].clone());
    let (bias, mask) = (node.node.input(5), node.node.input(3));
    let bias = bias_of_mask(node, bias, mask, (&shape[0], &keys))?;
    let scale = scale_of(node, &shape[3])?;
    let causal = (node.node.int("unidirectional").unwrap_or(0) != 0).then_some(before);
    let y = attend(node, q, k, v, &Scores { bias, causal, ..Scores::scaled(scale) })?;
    let mut made = vec![merge_heads(node.graph, y)?];
    if gives_keys {
        let whole: Vec<Length> = std::iter::once(1.into()).chain(node.graph.shape(k)?.to_vec()).collect();
        let [k, v] = [k, v].map(|part| node.graph.reshape(part, &whole));
        made.push(node.graph.concat(&[k?, v?], 0)?);
    }
    Ok(made)
}

/// The keys or values of what holds both, `[2, batch, heads, length, size]`.
fn earlier(graph: &mut Graph, past: ValueId, at: usize) -> Result<ValueId, CompilerError> {
    let shape = graph.shape(past)?[1..].to_vec();
    let (at, one) = (Length::from(at), Length::from(1));
    let part = graph.part(past, &[0], &[&at], &[&one], &[1])?;
    graph.reshape(part, &shape)
}
