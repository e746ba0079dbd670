use super::attention_rules::{Scores, attend, bias_of_mask, heads, merge_heads, scale_of, size_of_a_head, split_heads};
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Length, TensorType, ValueId};

/// `com.microsoft.MultiHeadAttention`: attention over heads of queries, keys and values `[batch, length, heads · size]`, with
/// a bias of all three, a mask of keys, a bias of the scores, and earlier keys and values in front. Keys and values of another sequence
/// may be `[batch, heads, length, size]`, which have their bias already. As products, a softmax and sums. Packed inputs, which are for
/// CUDA, have no rule.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "MultiHeadAttention",
    opsets: 1..=1,
    weights: &[3],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let three = || vec![varied(&[2, 3, 4]), varied(&[2, 5, 4]), varied(&[2, 5, 6])];
        let absent = || SampleInput::Absent;
        let then = |more: Vec<SampleInput>| three().into_iter().chain(more).collect::<Vec<SampleInput>>();
        let bytes: Vec<u8> =
            [1, 1, 1, 1, 1, 1, 1, 0, 1, 0].iter().flat_map(|value: &i32| value.to_le_bytes()).collect();
        let mask =
            || SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![2, 5], bytes: bytes.clone().into() });
        let with = |more: Vec<(&'static str, Attribute)>| {
            [("num_heads", Attribute::Int(2))].into_iter().chain(more).collect::<Vec<_>>()
        };
        let split = || vec![varied(&[2, 3, 4]), varied(&[2, 2, 5, 2]), varied(&[2, 2, 5, 2])];
        let square = vec![varied(&[2, 4, 4]), varied(&[2, 4, 4]), varied(&[2, 4, 4])];
        vec![
            Sample::new("plain", three(), with(vec![])),
            Sample::new("a bias", then(vec![varied(&[14])]), with(vec![("scale", 0.5.into())])),
            Sample::new("a mask of keys", then(vec![absent(), mask()]), with(vec![])),
            Sample::new("a bias of scores", then(vec![absent(), absent(), varied(&[2, 2, 3, 5])]), with(vec![])),
            Sample::new("of another sequence", split(), with(vec![])),
            Sample::new(
                "of another sequence, a bias and a mask",
                split().into_iter().chain([varied(&[12]), mask()]).collect(),
                with(vec![]),
            ),
            Sample::new("causal", square, with(vec![("unidirectional", 1.into())])),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let packed = || CompilerError::NotKnown {
        node: rule.graph.label(rule.node),
        operator: rule.node.operator.clone(),
        message: "its queries, keys and values are packed or have other axes than batch, length and heads".into(),
    };
    let (q, k, v) = match (rule.input(0)?, rule.optional(1), rule.optional(2)) {
        (q, Some(k), Some(v)) if q.shape.len() == 3 && k.shape.len() == v.shape.len() => (q, k, v),
        _ => return Err(packed()),
    };
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    let size = size_of_a_head(&q.shape[2], heads).map_err(|message| rule.error(message))?;
    // how many they are, how long each is, and all heads together
    let of_heads = |given: &TensorType| -> Result<[Length; 3], CompilerError> {
        match given.shape.as_slice() {
            [_, length, hidden] => {
                let size = size_of_a_head(hidden, heads).map_err(|message| rule.error(message))?;
                Ok([length.clone(), size, hidden.clone()])
            }
            [_, own, length, size] if own.agrees_with(&heads.into()) => Ok([length.clone(), size.clone(), own * size]),
            _ => Err(packed()),
        }
    };
    let ([new, key_size, _], [values, value_size, value_hidden]) = (of_heads(k)?, of_heads(v)?);
    if !size.agrees_with(&key_size) || !new.agrees_with(&values) {
        return Err(rule.error(format!(
            "queries {q}, keys {k} and values {v}; export the model with fixed lengths for what is open"
        )));
    }
    let past = match rule.optional(6) {
        Some(past) => past.shape.get(2).cloned().ok_or_else(|| rule.error(format!("earlier keys {past}")))?,
        None => 0.into(),
    };
    let keys = past + &new;
    let present =
        [size, value_size].map(|size| TensorType::new(q.dtype, [q.shape[0].clone(), heads.into(), keys.clone(), size]));
    let [present_key, present_value] = present;
    let products = TensorType::new(q.dtype, [q.shape[0].clone(), heads.into(), q.shape[1].clone(), keys]);
    let y = TensorType::new(q.dtype, [&q.shape[0], &q.shape[1], &value_hidden]);
    Ok(vec![y, present_key, present_value, products])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    if node.node.input(8).is_some() || node.node.input(9).is_some() {
        return Err(node.no_gradient("it shares the memory of earlier keys"));
    }
    if node.node.outputs.get(3).is_some_and(Option::is_some) {
        return Err(node.no_gradient("it gives the products of queries and keys"));
    }
    let mut inputs = [node.input(0)?, node.input(1)?, node.input(2)?];
    let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
    let hidden = inputs.map(|input| {
        node.graph.shape(input).map(|shape| if shape.len() == 4 { &shape[1] * &shape[3] } else { shape[2].clone() })
    });
    let [q_hidden, k_hidden, v_hidden] = hidden;
    let lengths = [q_hidden?, k_hidden?, v_hidden?];
    let is_split = node.graph.shape(inputs[1])?.len() == 4;
    if let Some(bias) = node.node.input(3) {
        let parts = node.graph.lengths(&lengths)?;
        let parts = node.graph.add_with("Split", &[Some(bias), Some(parts)], &[("axis", 0.into())], 3)?;
        for (input, part) in inputs.iter_mut().zip(parts).take(if is_split { 1 } else { 3 }) {
            *input = node.graph.plus(*input, part)?;
        }
    }
    let [q, mut k, mut v] = inputs;
    let q = split_heads(node.graph, q, heads)?;
    if !is_split {
        k = split_heads(node.graph, k, heads)?;
        v = split_heads(node.graph, v, heads)?;
    }
    let mut past = Length::from(0);
    if let Some((past_key, past_value)) = node.node.input(6).zip(node.node.input(7)) {
        past = node.graph.shape(past_key)?[2].clone();
        k = node.graph.concat(&[past_key, k], 2)?;
        v = node.graph.concat(&[past_value, v], 2)?;
    }
    let (shape, keys) = (node.graph.shape(q)?.to_vec(), node.graph.shape(k)?[2].clone());
    let (bias, mask) = (node.node.input(5), node.node.input(4));
    let bias = bias_of_mask(node, bias, mask, (&shape[0], &keys))?;
    let scale = scale_of(node, &shape[3])?;
    let causal = (node.node.int("unidirectional").unwrap_or(0) != 0).then_some(past);
    let y = attend(node, q, k, v, &Scores { bias, causal, ..Scores::scaled(scale) })?;
    Ok(vec![merge_heads(node.graph, y)?, k, v])
}
