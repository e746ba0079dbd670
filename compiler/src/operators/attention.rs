use super::attention_rules::{
    Attended, Scores, attend_by_parts, bias_and_seen, heads, merge_heads, scale_of, size_of_a_head, split_heads,
};
use super::{
    Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_floats, fixed_integers, fixed_truths, varied,
};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ElementType, Length, Node, TensorType, ValueId};

/// `Attention`: softmax(scale · Q · Kᵀ, capped, masked) · V over heads, Q `[batch, heads, queries, size]` or
/// `[batch, queries, heads · size]`, K and V with as many heads or one for several of Q. Earlier keys and values may come
/// in front, or each row of the batch has a number of keys of its own (`nonpad_kv_seqlen`), behind the last of which its queries
/// end. As products, a softmax and sums; a query that sees no key gives zeros. What it makes on the way (`qk_matmul_output`) has a
/// gradient too.
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
    let scale = scale_of(node, &found.size)?;
    let is_causal = node.node.int("is_causal").unwrap_or(0) != 0;
    let is_truth = mask_type.is_some_and(|mask| mask.dtype == ElementType::Bool);
    let (bias, mut seen) = match mask {
        Some(mask) if is_truth => (None, Some(mask)),
        Some(mask) => {
            let (bias, seen) = bias_and_seen(node.graph, mask)?;
            (Some(bias), Some(seen))
        }
        None => (None, None),
    };
    let mut causal = is_causal.then(|| found.past.clone());
    let mut counted = None;
    if let Some(counts) = node.node.input(6) {
        let of_rows = seen_of_counts(node, counts, &found, is_causal)?;
        counted = Some(of_rows);
        seen = Some(match seen {
            Some(seen) => node.graph.add("And", &[seen, of_rows], &[])?,
            None => of_rows,
        });
        causal = None;
    }
    let softcap = node.node.float("softcap").unwrap_or(0.0);
    let scores = Scores { softcap, bias, seen, causal, ..Scores::scaled(scale) };
    let attended = attend_by_parts(node, q, k, v, &scores)?;
    let y = if is_flat { merge_heads(node.graph, attended.y)? } else { attended.y };
    let mut made = vec![y, k, v];
    if node.node.outputs.get(3).is_some_and(Option::is_some) {
        made.push(products(node, &attended, mask.filter(|_| !is_truth), counted)?);
    }
    Ok(made)
}

/// Which keys each query sees where row `b` of the batch has `counts[b]` of them, as truth values `[batch, 1, 1 or queries, keys]`.
/// The last query of a row stands at its last key: with `is_causal`, query `i` sees the keys up to `counts[b]` − queries + `i`.
fn seen_of_counts(
    node: &mut Expansion<'_>,
    counts: ValueId,
    found: &Shapes,
    is_causal: bool,
) -> Result<ValueId, CompilerError> {
    let given = node.graph.shape(counts)?.to_vec();
    let [rows] = given.as_slice() else {
        return Err(node.error(format!("nonpad_kv_seqlen has the shape {given:?}, wanted a number for each row")));
    };
    let one = Length::from(1);
    let counts = node.graph.reshape(counts, &[rows, &one, &one, &one])?;
    let columns = node.graph.positions(&found.keys)?;
    if !is_causal {
        return node.graph.add("Less", &[columns, counts], &[]);
    }
    let queries = node.graph.lengths(std::slice::from_ref(&found.queries))?;
    let places = node.graph.positions(&found.queries)?;
    let places = node.graph.minus(places, queries)?;
    let places = node.graph.reshape(places, &[found.queries.clone(), one])?;
    let last = node.graph.plus(counts, places)?;
    node.graph.add("LessOrEqual", &[columns, last], &[])
}

/// What `qk_matmul_output` is by `qk_matmul_output_mode`, as ONNX Runtime gives it: products of queries and keys (0), those capped
/// (1), and masked too (2), where a key has what a `mask` of floats hides it with (−∞ or the least float), and the least float where
/// truth values, `counted` or the order hide it; or the softmax of those (3).
fn products(
    node: &mut Expansion<'_>,
    attended: &Attended,
    mask: Option<ValueId>,
    counted: Option<ValueId>,
) -> Result<ValueId, CompilerError> {
    let graph = &mut *node.graph;
    match node.node.int("qk_matmul_output_mode").unwrap_or(0) {
        0 => Ok(attended.products),
        1 => Ok(attended.capped),
        2 => {
            let Some(seen) = attended.seen else { return Ok(attended.capped) };
            let least = graph.scalar(f32::MIN);
            let Some(mask) = mask else { return graph.add("Where", &[seen, attended.capped, least], &[]) };
            let others = match (counted, attended.causal) {
                (Some(counted), Some(causal)) => Some(graph.add("And", &[counted, causal], &[])?),
                (counted, causal) => counted.or(causal),
            };
            let masked = graph.plus(attended.capped, mask)?;
            let hidden = match others {
                Some(others) => graph.add("Where", &[others, mask, least], &[])?,
                None => mask,
            };
            graph.add("Where", &[seen, masked, hidden], &[])
        }
        3 => match attended.gate {
            Some(gate) => graph.times(attended.shares, gate),
            None => Ok(attended.shares),
        },
        other => Err(node.error(format!("qk_matmul_output_mode is {other}, wanted 0 to 3"))),
    }
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
    let minus = f32::NEG_INFINITY;
    // the second query sees nothing, the third all but one key, and the fourth one alone
    let hiding = || {
        let mut mask = [0.25; 20];
        mask[5..10].copy_from_slice(&[minus, minus, f32::MIN, minus, minus]);
        mask[11] = minus;
        mask[16..20].fill(f32::MIN);
        fixed_floats(&[4, 5], &mask)
    };
    let counted = |mask: SampleInput, counts: &[i64]| {
        let further = [mask, SampleInput::Absent, SampleInput::Absent, fixed_integers(counts)];
        three().into_iter().chain(further).collect::<Vec<SampleInput>>()
    };
    let counted_and_flat = || {
        let of_queries = [varied(&[2, 3, 8]), varied(&[2, 4, 4]), varied(&[2, 4, 6])];
        let further = [SampleInput::Absent, SampleInput::Absent, SampleInput::Absent, fixed_integers(&[4, 3])];
        of_queries.into_iter().chain(further).collect::<Vec<SampleInput>>()
    };
    let mode = |mode: i64| -> Vec<(&'static str, Attribute)> {
        vec![("qk_matmul_output_mode", mode.into()), ("softcap", 0.7.into())]
    };
    let causal = || -> Vec<(&'static str, Attribute)> { vec![("is_causal", 1.into())] };
    let all = vec![
        Sample::new("four axes", three(), vec![]),
        Sample::new("causal", three(), causal()),
        Sample::new("heads share keys", grouped, vec![]),
        Sample::new("three axes", vec![varied(&[2, 3, 6]), varied(&[2, 4, 6]), varied(&[2, 4, 3])], flat(3, 3)),
        Sample::new("three axes, shared", vec![varied(&[1, 3, 8]), varied(&[1, 4, 4]), varied(&[1, 4, 6])], flat(4, 2)),
        Sample::new("a float mask, scaled and capped", with(varied(&[4, 5])), scaled),
        Sample::new("a cap below 0 is none", three(), vec![("softcap", (-0.7f32).into())]),
        Sample::new("a float mask that hides all", with(hiding()), vec![]),
        Sample::new("a float mask that hides all, causal", with(hiding()), causal()),
        Sample::new("truth values", with(seen()), vec![]),
        Sample::new("truth values, causal", with(seen()), causal()),
        Sample::new("earlier keys, causal", past(), causal()).with_outputs(3),
        Sample::new("products", three(), mode(0)).with_outputs(4),
        Sample::new("products, capped", with(varied(&[4, 5])), mode(1)).with_outputs(4),
        Sample::new("products, capped and masked", with(varied(&[4, 5])), mode(2)).with_outputs(4),
        Sample::new("products, truth values hide some", with(seen()), mode(2)).with_outputs(4),
        Sample::new("products, a float mask hides some", with(hiding()), mode(2)).with_outputs(4),
        Sample::new("products, a float mask and the order hide some", with(hiding()), [mode(2), causal()].concat())
            .with_outputs(4),
        Sample::new("shares, some queries see nothing", with(seen()), mode(3)).with_outputs(4),
        Sample::new("shares of earlier keys, causal", past(), [mode(3), causal()].concat()).with_outputs(4),
        Sample::new("counts of keys", counted(SampleInput::Absent, &[3, 5]), vec![]).since(24),
        Sample::new("a row without keys", counted(SampleInput::Absent, &[0, 5]), vec![]).since(24),
        // the first query of the first row stands in front of all keys
        Sample::new("counts of keys, causal", counted(SampleInput::Absent, &[3, 5]), causal()).since(24),
        Sample::new("counts of keys and a mask", counted(varied(&[4, 5]), &[2, 4]), mode(3)).with_outputs(4).since(24),
        Sample::new("counts of keys, truth values", counted(seen(), &[4, 5]), causal()).since(24),
        Sample::new("counts of keys, three axes", counted_and_flat(), [flat(4, 2), causal()].concat()).since(24),
    ];
    let first = |sample: &Sample| *sample.opsets.start();
    all.into_iter().map(|sample| if first(&sample) < 23 { sample.since(23) } else { sample }).collect()
}
