use super::attention_rules::{Scores, attend, heads, merge_heads, scale_of, size_of_a_head, split_heads};
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_truths, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ElementType, Length, Node, TensorType, ValueId};

/// `Attention`: softmax(scale · Q · Kᵀ, capped, masked) · V over heads, Q `[batch, heads, queries, size]` or
/// `[batch, queries, heads · size]`, K and V with as many heads or one for several of Q. Earlier keys and values may come
/// in front. As products, a softmax and sums; a query that sees no key gives zeros.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Attention",
    opsets: 23..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples,
};

/// Lengths of what is attended to and by.
struct Shapes {
    batch: Length,
    query_heads: Length,
    key_heads: Length,
    queries: Length,
    /// Keys in front.
    past: Length,
    /// All keys.
    keys: Length,
    size: Length,
    value_size: Length,
}

fn shapes(node: &Node, q: &[Length], k: &[Length], v: &[Length], past: Option<&[Length]>) -> Result<Shapes, String> {
    let split = |shape: &[Length], name: &str| -> Result<[Length; 4], String> {
        match shape {
            [batch, heads, length, size] => Ok([batch.clone(), heads.clone(), length.clone(), size.clone()]),
            [batch, length, hidden] => {
                let heads = heads(node, name)?;
                Ok([batch.clone(), heads.into(), length.clone(), size_of_a_head(hidden, heads)?])
            }
            _ => Err(format!("a shape {shape:?}, wanted three or four axes")),
        }
    };
    let [batch, query_heads, queries, size] = split(q, "q_num_heads")?;
    let [_, key_heads, new, key_size] = split(k, "kv_num_heads")?;
    let [_, value_heads, _, value_size] = split(v, "kv_num_heads")?;
    let fits = q.len() == k.len()
        && k.len() == v.len()
        && key_size.agrees_with(&size)
        && value_heads.agrees_with(&key_heads)
        && query_heads.exact_quotient(&key_heads).is_some();
    if !fits {
        let is_open = [q, k, v].iter().any(|shape| shape.iter().any(|length| length.as_number().is_none()));
        let advice = if is_open { "; export the model with fixed lengths for what is open" } else { "" };
        return Err(format!("queries {q:?}, keys {k:?} and values {v:?} do not fit{advice}"));
    }
    let past = match past {
        None => 0.into(),
        Some([_, _, past, _]) => past.clone(),
        Some(other) => return Err(format!("earlier keys {other:?}, wanted four axes")),
    };
    let keys = &past + &new;
    Ok(Shapes { batch, query_heads, key_heads, queries, past, keys, size, value_size })
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (q, k, v) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    let past = if rule.node.input(4).is_some() { Some(rule.input(4)?.shape.as_slice()) } else { None };
    let found = shapes(rule.node, &q.shape, &k.shape, &v.shape, past).map_err(|message| rule.error(message))?;
    let Shapes { batch, query_heads, key_heads, queries, keys, size, value_size, .. } = found;
    let y = if q.shape.len() == 3 {
        TensorType::new(q.dtype, [batch.clone(), queries.clone(), &query_heads * &value_size])
    } else {
        TensorType::new(q.dtype, [&batch, &query_heads, &queries, &value_size])
    };
    let present = [&size, &value_size].map(|size| TensorType::new(k.dtype, [&batch, &key_heads, &keys, size]));
    let products = TensorType::new(q.dtype, [&batch, &query_heads, &queries, &keys]);
    let [present_key, present_value] = present;
    Ok(vec![y, present_key, present_value, products])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let is_set = |name: &str| node.node.int(name).is_some_and(|size| size >= 0);
    if is_set("left_window_size") || is_set("right_window_size") {
        return Err(node.no_gradient("it attends in a window"));
    }
    if node.node.input(6).is_some() {
        return Err(node.no_gradient("the number of keys is given row by row (nonpad_kv_seqlen)"));
    }
    if node.node.outputs.get(3).is_some_and(Option::is_some) {
        return Err(node.no_gradient("it gives the products of queries and keys (qk_matmul_output)"));
    }
    let (mut q, mut k, mut v) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let [q_shape, k_shape, v_shape] = [q, k, v].map(|value| node.graph.shape(value).map(<[Length]>::to_vec));
    let (q_shape, k_shape, v_shape) = (q_shape?, k_shape?, v_shape?);
    let past = node.node.input(4).zip(node.node.input(5));
    let past_shape = match past {
        Some((key, _)) => Some(node.graph.shape(key)?.to_vec()),
        None => None,
    };
    let found = shapes(&node.node, &q_shape, &k_shape, &v_shape, past_shape.as_deref());
    let found = found.map_err(|message| node.error(message))?;
    let is_flat = q_shape.len() == 3;
    if is_flat {
        let count = |heads: &Length| heads.fixed().expect("attributes count the heads of three axes");
        q = split_heads(node.graph, q, count(&found.query_heads))?;
        k = split_heads(node.graph, k, count(&found.key_heads))?;
        v = split_heads(node.graph, v, count(&found.key_heads))?;
    }
    if let Some((past_key, past_value)) = past {
        k = node.graph.concat(&[past_key, k], 2)?;
        v = node.graph.concat(&[past_value, v], 2)?;
    }
    let mask = node.node.input(3);
    let mask_type = match mask {
        Some(mask) => Some(node.graph.known_type(mask)?.clone()),
        None => None,
    };
    if let Some(shape) = mask_type.as_ref().map(|mask| &mask.shape) {
        let last = shape.last().cloned().unwrap_or_else(|| 1.into());
        if last != 1 && !last.agrees_with(&found.keys) {
            return Err(node.no_gradient(format!("a mask {shape:?} for {} keys", found.keys)));
        }
    }
    let is_truth = mask_type.is_some_and(|mask| mask.dtype == ElementType::Bool);
    let scale = scale_of(node, &found.size)?;
    let scores = Scores {
        softcap: node.node.float("softcap").unwrap_or(0.0),
        bias: mask.filter(|_| !is_truth),
        seen: mask.filter(|_| is_truth),
        causal: (node.node.int("is_causal").unwrap_or(0) != 0).then_some(found.past),
        ..Scores::scaled(scale)
    };
    let y = attend(node.graph, q, k, v, &scores)?;
    let y = if is_flat { merge_heads(node.graph, y)? } else { y };
    Ok(vec![y, k, v])
}

fn samples() -> Vec<Sample> {
    let flat = |queries: i64, keys: i64| vec![("q_num_heads", queries.into()), ("kv_num_heads", keys.into())];
    let three = || vec![varied(&[2, 3, 4, 2]), varied(&[2, 3, 5, 2]), varied(&[2, 3, 5, 3])];
    let with = |mask: SampleInput| three().into_iter().chain([mask]).collect::<Vec<SampleInput>>();
    let seen = || {
        let mut seen = [true; 20];
        // the second query sees nothing
        seen[5..10].fill(false);
        seen[2] = false;
        fixed_truths(&[4, 5], &seen)
    };
    let past = || {
        let earlier = [SampleInput::Absent, varied(&[2, 3, 2, 2]), varied(&[2, 3, 2, 3])];
        three().into_iter().chain(earlier).collect::<Vec<SampleInput>>()
    };
    let grouped = vec![varied(&[2, 4, 3, 2]), varied(&[2, 2, 5, 2]), varied(&[2, 2, 5, 2])];
    let scaled: Vec<(&str, Attribute)> = vec![("scale", 0.5.into()), ("softcap", 0.7.into())];
    let all = vec![
        Sample::new("four axes", three(), vec![]),
        Sample::new("causal", three(), vec![("is_causal", 1.into())]),
        Sample::new("heads share keys", grouped, vec![]),
        Sample::new("three axes", vec![varied(&[2, 3, 6]), varied(&[2, 4, 6]), varied(&[2, 4, 3])], flat(3, 3)),
        Sample::new("three axes, shared", vec![varied(&[1, 3, 8]), varied(&[1, 4, 4]), varied(&[1, 4, 6])], flat(4, 2)),
        Sample::new("a float mask, scaled and capped", with(varied(&[4, 5])), scaled),
        Sample::new("truth values", with(seen()), vec![]),
        Sample::new("truth values, causal", with(seen()), vec![("is_causal", 1.into())]),
        Sample::new("earlier keys, causal", past(), vec![("is_causal", 1.into())]).with_outputs(3),
    ];
    all.into_iter().map(|sample| sample.since(23)).collect()
}
