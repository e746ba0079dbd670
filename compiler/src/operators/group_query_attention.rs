use super::attention_rules::{
    Scores, attend, heads, merge_heads, rotate, scale_of, size_of_a_head, split_heads, within,
};
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, normalizations, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Length, Node, TensorType, ValueId};

/// `com.microsoft.GroupQueryAttention`, as exporters of decoders write it: causal attention of queries
/// `[batch, length, heads · size]`, neighbouring heads sharing keys and values, which may be packed behind the queries; they
/// are rotated by caches of cosines and sines, earlier keys and values come in front, and `seqlens_k` says of each row how
/// many keys it has, less one. As products, a softmax and sums: what ONNX Runtime leaves undefined, places behind the keys of a
/// row, sees the keys up to itself.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "GroupQueryAttention",
    opsets: 1..=1,
    weights: &[11, 14, 15],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples,
};

/// Lengths of a node's parts.
struct Shapes {
    batch: Length,
    heads: usize,
    key_heads: usize,
    length: Length,
    size: Length,
    /// Earlier keys.
    past: Length,
    /// All keys as the node counts them, where that is known.
    total: Option<Length>,
}

fn shapes(
    node: &Node,
    q: &TensorType,
    keys: Option<(&TensorType, &TensorType)>,
    past: Option<&TensorType>,
) -> Result<Shapes, String> {
    let [batch, length, hidden] = q.shape.as_slice() else { return Err(format!("queries {q}, wanted three axes")) };
    let (heads, key_heads) = (heads(node, "num_heads")?, heads(node, "kv_num_heads")?);
    if heads % key_heads != 0 {
        return Err(format!("{heads} heads over {key_heads} of keys"));
    }
    let packed = if keys.is_some() { heads } else { heads + 2 * key_heads };
    let size = size_of_a_head(hidden, packed)?;
    if let Some((k, v)) = keys {
        let wanted = [batch.clone(), length.clone(), &size * key_heads];
        let fits = |given: &TensorType| {
            given.shape.len() == 3 && given.shape.iter().zip(&wanted).all(|(given, wanted)| given.agrees_with(wanted))
        };
        if !fits(k) || !fits(v) {
            return Err(format!(
                "queries {q}, keys {k} and values {v}; export the model with fixed lengths for what is open"
            ));
        }
    }
    let past = match past.map(|past| (past, past.shape.as_slice())) {
        None => 0.into(),
        Some((_, [_, _, past, _])) => past.clone(),
        Some((past, _)) => return Err(format!("earlier keys {past}, wanted four axes")),
    };
    Ok(Shapes { batch: batch.clone(), heads, key_heads, length: length.clone(), size, past, total: None })
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let q = rule.input(0)?;
    let keys = match (rule.node.input(1), rule.node.input(2)) {
        (None, None) => None,
        _ => Some((rule.input(1)?, rule.input(2)?)),
    };
    let past = if rule.node.input(3).is_some() { Some(rule.input(3)?) } else { None };
    let found = shapes(rule.node, q, keys, past).map_err(|message| rule.error(message))?;
    let rows = rule.input(5)?;
    if rows.shape.len() != 1 || !rows.shape[0].agrees_with(&found.batch) {
        return Err(rule.error(format!(
            "lengths {rows} of {} rows; export the model with fixed lengths for what is open",
            found.batch
        )));
    }
    let Shapes { batch, heads, key_heads, length, size, past, .. } = found;
    let y = TensorType::new(q.dtype, [batch.clone(), length, &size * heads]);
    // how long the keys are that it gives says an input
    let total = rule.node.input(6).and_then(|total| rule.graph.lengths_of(total));
    let Some([total]) = total.as_deref() else { return Ok(vec![y]) };
    let all = larger(&past, total);
    let present = TensorType::new(q.dtype, [batch, key_heads.into(), all, size]);
    Ok(vec![y, present.clone(), present])
}

fn larger(a: &Length, b: &Length) -> Length {
    a + b - a.minimum(b)
}

/// Why a node has no expansion, if it has none.
fn refusal(node: &Node) -> Option<&'static str> {
    let is_given = |input: usize| node.input(input).is_some();
    let is_on = |name: &str| node.int(name).unwrap_or(0) != 0;
    if is_given(12) || is_given(13) {
        return Some(
            "it rounds keys and values to a cache of integers (k_scale, v_scale); take the file with a cache of floats",
        );
    }
    if is_given(14) != is_given(15) {
        return Some("it normalizes one of queries and keys (q_norm_weight, k_norm_weight)");
    }
    if node.outputs.get(3).is_some_and(Option::is_some) {
        return Some("it gives the products of queries and keys");
    }
    if is_on("sliding_window_cache") {
        return Some("it keeps the last of its earlier keys alone (sliding_window_cache)");
    }
    if is_given(3) && node.outputs.get(1).is_none_or(Option::is_none) {
        // kernels keep earlier keys in what they give, and attend to nothing before where they give nothing
        return Some("it has earlier keys, and does not give its own");
    }
    let sees_all = node.int("causal") == Some(0);
    (sees_all && (is_given(3) || window(node).is_some())).then_some("it sees keys behind a query, and not all")
}

fn window(node: &Node) -> Option<usize> {
    node.int("local_window_size").and_then(|window| usize::try_from(window).ok()).filter(|window| *window > 0)
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    if let Some(reason) = refusal(&node.node) {
        return Err(node.no_gradient(reason));
    }
    let of = |node: &Expansion<'_>, input: usize| node.graph.known_type(node.input(input)?).cloned();
    let q = of(node, 0)?;
    let keys = if node.node.input(1).is_some() { Some((of(node, 1)?, of(node, 2)?)) } else { None };
    let past = if node.node.input(3).is_some() { Some(of(node, 3)?) } else { None };
    let found = shapes(&node.node, &q, keys.as_ref().map(|(k, v)| (k, v)), past.as_ref());
    let mut found = found.map_err(|message| node.error(message))?;
    found.total =
        node.input(6).ok().and_then(|total| node.graph.lengths_of(total)).and_then(|all| all.first().cloned());
    let [q, mut k, mut v] = parts(node, &found)?;
    let mut q = split_heads(node.graph, q, found.heads)?;
    k = split_heads(node.graph, k, found.key_heads)?;
    if let Some((of_queries, of_keys)) = node.node.input(14).zip(node.node.input(15)) {
        q = normalized(node, q, of_queries)?;
        k = normalized(node, k, of_keys)?;
    }
    v = split_heads(node.graph, v, found.key_heads)?;
    let before = if found.past == 0 { None } else { Some(keys_before(node, &found)?) };
    let (q, k) = match node.node.int("do_rotary").unwrap_or(0) {
        0 => (q, k),
        _ => rotated(node, &found, (q, k), before)?,
    };
    let mut scores = Scores::scaled(scale_of(node, &found.size)?);
    scores.softcap = node.node.float("softcap").unwrap_or(0.0);
    scores.bias = node.node.input(10);
    scores.sinks = node.node.input(11);
    if scores.sinks.is_none() && node.node.int("smooth_softmax").unwrap_or(0) != 0 {
        let zeros = Constant::f32([found.heads], &vec![0.0; found.heads]);
        scores.sinks = Some(node.graph.constant("sinks", zeros));
    }
    let (mut all_k, mut all_v) = (k, v);
    if let Some(before) = before {
        let (past_key, past_value) = (node.input(3)?, node.input(4)?);
        all_k = node.graph.concat(&[past_key, k], 2)?;
        all_v = node.graph.concat(&[past_value, v], 2)?;
        scores.bias = match scores.bias {
            Some(bias) => Some(bias_of_keys(node, &found, before, bias)?),
            None => None,
        };
        scores.seen = Some(seen_behind(node, &found, before)?);
    } else if node.node.int("causal") == Some(0) {
        scores.seen = Some(all_of_a_row(node, &found)?);
    } else {
        scores.causal = Some(0.into());
        scores.window = window(&node.node);
    }
    let y = attend(node, q, all_k, all_v, &scores)?;
    let y = merge_heads(node.graph, y)?;
    Ok(vec![y, present(node, &found, all_k, before)?, present(node, &found, all_v, before)?])
}

/// Queries, keys and values `[batch, length, heads · size]`.
fn parts(node: &mut Expansion<'_>, found: &Shapes) -> Result<[ValueId; 3], CompilerError> {
    let q = node.input(0)?;
    if node.node.input(1).is_some() {
        return Ok([q, node.input(1)?, node.input(2)?]);
    }
    let keys = &found.size * found.key_heads;
    let lengths = node.graph.lengths(&[&found.size * found.heads, keys.clone(), keys])?;
    let parts = node.graph.add_with("Split", &[Some(q), Some(lengths)], &[("axis", (-1).into())], 3)?;
    Ok([parts[0], parts[1], parts[2]])
}

/// Heads of queries or keys `[batch, heads, length, size]`, each over the root of its mean square, times weights `[size]`.
fn normalized(node: &mut Expansion<'_>, x: ValueId, weights: ValueId) -> Result<ValueId, CompilerError> {
    let epsilon = node.node.float("qk_norm_epsilon").unwrap_or(1e-6);
    let hat = normalizations::Standardized::by_mean_square(node.graph, x, vec![3], epsilon)?.hat;
    node.graph.times(hat, weights)
}

/// A bias of scores, whose last axis counts the keys of a row without a gap, in the order of the earlier keys and the new ones.
fn bias_of_keys(
    node: &mut Expansion<'_>,
    found: &Shapes,
    before: ValueId,
    bias: ValueId,
) -> Result<ValueId, CompilerError> {
    let (graph, one) = (&mut *node.graph, Length::from(1));
    let shape = graph.shape(bias)?.to_vec();
    let [_, heads, queries, columns] = shape.as_slice() else {
        return Err(node.error(format!("a bias of scores {shape:?}, wanted four axes")));
    };
    let earlier = graph.positions(&found.past)?;
    let earlier = graph.reshape(earlier, &[&one, &found.past])?;
    let earlier = graph.expand(earlier, &[&found.batch, &found.past])?;
    let new = graph.positions(&found.length)?;
    let new = graph.plus(before, new)?;
    let places = graph.concat(&[earlier, new], 1)?;
    // places behind the keys of a row are seen by none
    let last = graph.lengths(&[columns - 1])?;
    let places = graph.add("Min", &[places, last], &[])?;
    let keys = &found.past + &found.length;
    let places = graph.reshape(places, &[&found.batch, &one, &one, &keys])?;
    let places = graph.expand(places, &[&found.batch, heads, queries, &keys])?;
    let bias = graph.expand(bias, &[&found.batch, heads, queries, columns])?;
    graph.add("GatherElements", &[bias, places], &[("axis", 3.into())])
}

/// How many keys a row has in all, `[batch, 1]`.
fn keys_of_rows(node: &mut Expansion<'_>, found: &Shapes) -> Result<ValueId, CompilerError> {
    let last = node.input(5)?;
    let last = node.graph.cast(last, ElementType::I64)?;
    let one = node.graph.constant("one", Constant::i64([], &[1]));
    let count = node.graph.plus(last, one)?;
    node.graph.reshape(count, &[found.batch.clone(), 1.into()])
}

/// How many earlier keys a row has, `[batch, 1]`: none where all that it has are new.
fn keys_before(node: &mut Expansion<'_>, found: &Shapes) -> Result<ValueId, CompilerError> {
    let count = keys_of_rows(node, found)?;
    let new = node.graph.lengths(std::slice::from_ref(&found.length))?;
    let before = node.graph.minus(count, new)?;
    let zero = node.graph.constant("zero", Constant::i64([], &[0]));
    node.graph.add("Max", &[before, zero], &[])
}

/// Truth values `[batch, 1, queries, keys]`: those of the earlier keys that a row has, and of the new ones those up to a query.
fn seen_behind(node: &mut Expansion<'_>, found: &Shapes, before: ValueId) -> Result<ValueId, CompilerError> {
    let window = window(&node.node);
    let (graph, one) = (&mut *node.graph, Length::from(1));
    let before = graph.reshape(before, &[&found.batch, &one, &one, &one])?;
    let new = graph.positions(&found.length)?;
    let rows = graph.reshape(new, &[&one, &one, &found.length, &one])?;
    let rows = graph.plus(rows, before)?;
    let earlier = graph.positions(&found.past)?;
    let earlier = graph.reshape(earlier, &[&one, &one, &one, &found.past])?;
    let is_there = graph.add("Less", &[earlier, before], &[])?;
    let columns = graph.reshape(new, &[&one, &one, &one, &found.length])?;
    let columns = graph.plus(columns, before)?;
    let is_not_after = graph.add("LessOrEqual", &[columns, rows], &[])?;
    let mut seen = Vec::new();
    for (mut part, places, count) in [(is_there, earlier, &found.past), (is_not_after, columns, &found.length)] {
        if let Some(window) = window {
            part = within(graph, part, (rows, places), window)?;
        }
        seen.push(graph.expand(part, &[&found.batch, &one, &found.length, count])?);
    }
    graph.concat(&seen, 3)
}

/// Truth values `[batch, 1, 1, keys]`: the keys that a row has.
fn all_of_a_row(node: &mut Expansion<'_>, found: &Shapes) -> Result<ValueId, CompilerError> {
    let count = keys_of_rows(node, found)?;
    let one = Length::from(1);
    let count = node.graph.reshape(count, &[&found.batch, &one, &one, &one])?;
    let places = node.graph.positions(&found.length)?;
    node.graph.add("Less", &[places, count], &[])
}

/// Queries and keys, rotated by the caches at their places. Without earlier keys they follow the first of the positions.
fn rotated(
    node: &mut Expansion<'_>,
    found: &Shapes,
    (q, k): (ValueId, ValueId),
    before: Option<ValueId>,
) -> Result<(ValueId, ValueId), CompilerError> {
    let caches = [node.input(7)?, node.input(8)?];
    let places = node.graph.positions(&found.length)?;
    let (batch, one) = (found.batch.clone(), Length::from(1));
    let (places, rows) = match (node.node.input(9), before) {
        (Some(given), Some(_)) => (given, batch),
        (None, Some(before)) => (node.graph.plus(places, before)?, batch),
        (Some(given), None) => {
            let zeros = [Length::from(0), 0.into()];
            let first = node.graph.part(given, &[0, 1], &zeros, &[one.clone(), one.clone()], &[1, 1])?;
            (node.graph.plus(places, first)?, one.clone())
        }
        (None, None) => (places, one.clone()),
    };
    let mut turns = Vec::new();
    for cache in caches {
        let pairs = node.graph.shape(cache)?.last().cloned().unwrap_or_else(|| 1.into());
        let found_here = node.graph.add("Gather", &[cache, places], &[])?;
        turns.push(node.graph.reshape(found_here, &[&rows, &one, &found.length, &pairs])?);
    }
    let interleaved = node.node.int("rotary_interleaved").unwrap_or(0) != 0;
    let q = rotate(node.graph, q, turns[0], turns[1], interleaved)?;
    Ok((q, rotate(node.graph, k, turns[0], turns[1], interleaved)?))
}

/// Keys or values as the node gives them: as many as it counts, those of each row without a gap, and zeros behind them.
fn present(
    node: &mut Expansion<'_>,
    found: &Shapes,
    all: ValueId,
    before: Option<ValueId>,
) -> Result<ValueId, CompilerError> {
    let Some(total) = &found.total else { return Ok(all) };
    let wanted = larger(&found.past, total);
    let graph = &mut *node.graph;
    let Some(before) = before else {
        return match graph.shape(all)?[2] == wanted {
            true => Ok(all),
            false => graph.part(all, &[2], &[Length::from(0)], &[wanted], &[1]),
        };
    };
    let places = graph.positions(&wanted)?;
    let bounds = graph.lengths(&[found.past.clone(), found.length.clone(), &found.past + &found.length - 1])?;
    let ones = graph.integers(&[1; 3]);
    let bounds = graph.add_with("Split", &[Some(bounds), Some(ones)], &[("axis", 0.into())], 3)?;
    let is_past = graph.add("Less", &[places, before], &[])?;
    let gap = graph.minus(bounds[0], before)?;
    let shifted = graph.plus(places, gap)?;
    let last = graph.add("Min", &[shifted, bounds[2]], &[])?;
    let from = graph.add("Where", &[is_past, places, last], &[])?;
    let count = graph.plus(before, bounds[1])?;
    let is_there = graph.add("Less", &[places, count], &[])?;
    let is_there = graph.cast(is_there, ElementType::F32)?;
    let one = Length::from(1);
    let along = [&found.batch, &one, &wanted, &one];
    let from = graph.reshape(from, &along)?;
    let from = graph.expand(from, &[&found.batch, &found.key_heads.into(), &wanted, &found.size])?;
    let gathered = graph.add("GatherElements", &[all, from], &[("axis", 2.into())])?;
    let is_there = graph.reshape(is_there, &along)?;
    graph.times(gathered, is_there)
}

fn samples() -> Vec<Sample> {
    let whole = |shape: &[usize], values: &[i32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() })
    };
    let absent = |count: usize| std::iter::repeat_n(SampleInput::Absent, count).collect::<Vec<SampleInput>>();
    let lengths = |rows: &[i32], total: i32| vec![whole(&[rows.len()], rows), whole(&[], &[total])];
    // four heads over two of keys, of eight numbers each
    let three = |rows: usize, length: usize| {
        vec![varied(&[rows, length, 32]), varied(&[rows, length, 16]), varied(&[rows, length, 16])]
    };
    let with = |more: Vec<(&'static str, Attribute)>| {
        [("num_heads", Attribute::Int(4)), ("kv_num_heads", Attribute::Int(2))]
            .into_iter()
            .chain(more)
            .collect::<Vec<_>>()
    };
    let plain = || [three(2, 3), absent(2), lengths(&[2, 2], 3)].concat();
    let behind = |more: Vec<SampleInput>| [plain(), more].concat();
    let past = |rows: usize, count: usize| vec![varied(&[rows, 2, count, 8]), varied(&[rows, 2, count, 8])];
    // a head of sixteen numbers, whose eight pairs all turn
    let caches = || vec![varied(&[7, 8]), varied(&[7, 8])];
    let turned = |rows: usize, length: usize| {
        vec![varied(&[rows, length, 32]), varied(&[rows, length, 16]), varied(&[rows, length, 16])]
    };
    let two_heads = |more: Vec<(&'static str, Attribute)>| {
        let own = [("num_heads", Attribute::Int(2)), ("kv_num_heads", Attribute::Int(1)), ("do_rotary", 1.into())];
        own.into_iter().chain(more).collect::<Vec<_>>()
    };
    let places = SampleInput::Fixed(Constant::i64([1, 2], &[3, 4]));
    vec![
        Sample::new("plain", plain(), with(vec![])).with_outputs(3),
        Sample::new("packed", [vec![varied(&[2, 3, 64])], absent(4), lengths(&[2, 2], 3)].concat(), with(vec![])),
        Sample::new(
            "a window, scaled and capped",
            plain(),
            with(vec![("local_window_size", 2.into()), ("scale", 0.5.into()), ("softcap", 0.7.into())]),
        ),
        Sample::new("smooth", plain(), with(vec![("smooth_softmax", 1.into())])),
        Sample::new("a sink for each head", behind([absent(4), vec![varied(&[4])]].concat()), with(vec![])),
        Sample::new("a bias of scores", behind([absent(3), vec![varied(&[1, 4, 3, 3])]].concat()), with(vec![])),
        Sample::new(
            "all keys of a row",
            [three(2, 3), absent(2), lengths(&[1, 2], 3)].concat(),
            with(vec![("causal", 0.into())]),
        ),
        Sample::new(
            "earlier keys",
            [three(1, 3), past(1, 2), lengths(&[4], 5)].concat(),
            with(vec![("local_window_size", 3.into())]),
        )
        .with_outputs(3),
        Sample::new(
            "earlier keys, a bias of scores",
            [three(1, 3), past(1, 2), lengths(&[4], 5), absent(3), vec![varied(&[1, 4, 3, 5])]].concat(),
            with(vec![]),
        )
        .with_outputs(3)
        .since(16),
        Sample::new(
            "one key more, a bias of scores",
            [three(2, 1), past(2, 2), lengths(&[2, 1], 3), absent(3), vec![varied(&[2, 1, 1, 3])]].concat(),
            with(vec![]),
        )
        .with_outputs(3)
        .since(16),
        Sample::new("one key more", [three(2, 1), past(2, 2), lengths(&[2, 1], 3)].concat(), with(vec![]))
            .with_outputs(3),
        Sample::new("rotated", [turned(2, 3), absent(2), lengths(&[2, 2], 3), caches()].concat(), two_heads(vec![]))
            .since(16),
        Sample::new(
            "neighbours rotated, from a position on",
            [turned(1, 2), absent(2), lengths(&[1], 2), caches(), vec![places]].concat(),
            two_heads(vec![("rotary_interleaved", 1.into())]),
        )
        .since(16),
        Sample::new(
            "packed and rotated behind earlier keys",
            [
                vec![varied(&[1, 2, 64])],
                absent(2),
                vec![varied(&[1, 1, 2, 16]), varied(&[1, 1, 2, 16])],
                lengths(&[3], 4),
                caches(),
            ]
            .concat(),
            two_heads(vec![]),
        )
        .with_outputs(3)
        .since(16),
    ]
}
