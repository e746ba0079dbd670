//! Scaled dot-product attention (Vaswani 2017), and rotary embeddings of its queries and keys.

use crate::CompilerError;
use crate::backward::{AttentionParts, Expansion};
use crate::graph::{Constant, ElementType, Graph, Length, Node, TensorType, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// Added to the scores of keys that a query does not see: e to this is 0, and sums of it stay finite.
const UNSEEN: f32 = -1e30;

/// How scores are made.
pub(crate) struct Scores {
    /// Factor of the products of queries and keys.
    pub(crate) scale: f32,
    /// Scores go through c · tanh(s / c), where it is above 0.
    pub(crate) softcap: f32,
    /// Added to the scores; broadcasts to `[batch, heads, queries, keys]`.
    pub(crate) bias: Option<ValueId>,
    /// Truth values, which keys a query sees; broadcast likewise. A query that sees none gives zeros.
    pub(crate) seen: Option<ValueId>,
    /// Whether query `i` sees the keys up to `i` plus this number only.
    pub(crate) causal: Option<Length>,
    /// Of the keys that a query sees as `causal`, only so many, the last ones.
    pub(crate) window: Option<usize>,
    /// For each head, the score of a key without a value.
    pub(crate) sinks: Option<ValueId>,
}

impl Scores {
    /// Products times a factor.
    pub(crate) fn scaled(scale: f32) -> Self {
        Self { scale, softcap: 0.0, bias: None, seen: None, causal: None, window: None, sinks: None }
    }
}

/// What an attention makes on its way, each `[batch, heads, queries, keys]` but for the last.
pub(crate) struct Attended {
    /// Scaled products of queries and keys.
    pub(crate) products: ValueId,
    /// The same, capped.
    pub(crate) capped: ValueId,
    /// The softmax of the masked scores; a query that sees no key has shares too.
    pub(crate) shares: ValueId,
    /// Truth values, which keys a query sees; broadcast. `None` where all see all.
    pub(crate) seen: Option<ValueId>,
    /// Of these, which it sees as [`Scores::causal`] says; `None` where that says nothing.
    pub(crate) causal: Option<ValueId>,
    /// 1 for a query that sees a key, else 0; broadcasts to the shares and to `y`. `None` where all see one.
    pub(crate) gate: Option<ValueId>,
    /// Σ shares · values `[batch, heads, queries, size of a value]`.
    pub(crate) y: ValueId,
}

/// Σ softmax(scores) · values. Queries `[batch, heads, queries, size]`, keys `[batch, groups, keys, size]`, values
/// `[batch, groups, keys, size of a value]`; neighbouring heads share a group of keys and values.
pub(crate) fn attend(
    node: &mut Expansion<'_>,
    queries: ValueId,
    keys: ValueId,
    values: ValueId,
    scores: &Scores,
) -> Emitted {
    attend_by_parts(node, queries, keys, values, scores).map(|attended| attended.y)
}

/// As [`attend`], with what is made on the way.
pub(crate) fn attend_by_parts(
    node: &mut Expansion<'_>,
    queries: ValueId,
    keys: ValueId,
    values: ValueId,
    scores: &Scores,
) -> Result<Attended, CompilerError> {
    let graph = &mut *node.graph;
    let [q, k, v] = [queries, keys, values].map(|value| graph.shape(value).map(<[Length]>::to_vec));
    let (q, k, v) = (q?, k?, v?);
    let share = q[1].exact_quotient(&k[1]).ok_or_else(|| {
        CompilerError::unsupported(
            format!("{} heads over {} of keys", q[1], k[1]),
            "export the model with fixed lengths for what is open",
        )
    })?;
    // the heads of a group follow each other, so they are more queries of that group
    let stacked = |last: &Length| [k[0].clone(), k[1].clone(), share.clone() * &q[2], last.clone()];
    let scale = graph.scalar(scores.scale);
    let scaled = graph.times(queries, scale)?;
    let scaled = graph.reshape(scaled, &stacked(&q[3]))?;
    let turned = graph.transpose(keys, &[0, 1, 3, 2])?; // the runtime fuses it into the product
    let products = graph.add("MatMul", &[scaled, turned], &[])?;
    let products = graph.reshape(products, &[&q[0], &q[1], &q[2], &k[2]])?;
    let mut capped = products;
    if scores.softcap > 0.0 {
        let cap = graph.scalar(scores.softcap);
        let share = graph.divided_by(products, cap)?;
        let bent = graph.add("Tanh", &[share], &[])?;
        capped = graph.times(bent, cap)?;
    }
    let mut found = capped;
    if let Some(bias) = scores.bias {
        found = graph.plus(found, bias)?;
    }
    let causal = match &scores.causal {
        Some(before) => Some(not_after(graph, (&q[2], &k[2]), before, scores.window)?),
        None => None,
    };
    let seen = match (scores.seen, causal) {
        (Some(seen), Some(causal)) => Some(graph.add("And", &[seen, causal], &[])?),
        (seen, causal) => seen.or(causal),
    };
    let mut gate = None;
    if let Some(seen) = seen {
        let shown = graph.cast(seen, ElementType::F32)?;
        let [one, unseen] = [1.0, -UNSEEN].map(|value| graph.scalar(value));
        let hidden = graph.minus(shown, one)?;
        let hidden = graph.times(hidden, unseen)?;
        found = graph.plus(found, hidden)?;
        if scores.seen.is_some() {
            gate = Some(graph.reduce_max(shown, &[-1], true)?);
        }
    }
    let (read, shares) = match scores.sinks {
        Some(sinks) => beside_sinks(graph, found, sinks)?,
        None => (found, graph.add("Softmax", &[found], &[("axis", (-1).into())])?),
    };
    let stacked_shares = graph.reshape(shares, &stacked(&k[2]))?;
    let sums = graph.add("MatMul", &[stacked_shares, values], &[])?;
    let mut y = graph.reshape(sums, &[&q[0], &q[1], &q[2], &v[3]])?;
    if let Some(gate) = gate {
        y = graph.times(y, gate)?;
    }
    node.attention = Some(AttentionParts { queries, scores: read, mixed: y });
    Ok(Attended { products, capped, shares, seen, causal, gate, y })
}

/// A mask of floats as what is added to the scores and which keys are seen: ONNX Runtime hides a key whose number is −∞ or the
/// least float, and gives zeros to a query that sees none, where −∞ alone would make a softmax of nothing.
pub(crate) fn bias_and_seen(graph: &mut Graph, mask: ValueId) -> Result<(ValueId, ValueId), CompilerError> {
    let [least, unseen] = [f32::MIN, UNSEEN].map(|value| graph.scalar(value));
    let seen = graph.add("Greater", &[mask, least], &[])?;
    Ok((graph.add("Max", &[mask, unseen], &[])?, seen))
}

/// Scores `[batch, heads, queries, keys]` and behind them one more for each head, and the softmax of these, without that of the one more.
fn beside_sinks(graph: &mut Graph, scores: ValueId, sinks: ValueId) -> Result<(ValueId, ValueId), CompilerError> {
    let shape = graph.shape(scores)?.to_vec();
    let one = Length::from(1);
    let sinks = graph.reshape(sinks, &[&one, &shape[1], &one, &one])?;
    let sinks = graph.expand(sinks, &[&shape[0], &shape[1], &shape[2], &one])?;
    let all = graph.concat(&[scores, sinks], 3)?;
    let shares = graph.add("Softmax", &[all], &[("axis", (-1).into())])?;
    let shares = graph.part(shares, &[3], &[Length::from(0)], &[shape[3].clone()], &[1])?;
    Ok((all, shares))
}

/// Truth values `[queries, keys]`: key `j` is at most `before` after query `i`, and one of the last `window` of those.
fn not_after(
    graph: &mut Graph,
    (queries, keys): (&Length, &Length),
    before: &Length,
    window: Option<usize>,
) -> Emitted {
    let rows = graph.positions(queries)?;
    let rows = if *before == 0 {
        rows
    } else {
        let before = graph.lengths(std::slice::from_ref(before))?;
        graph.plus(rows, before)?
    };
    let rows = graph.reshape(rows, &[queries.clone(), 1.into()])?;
    let columns = graph.positions(keys)?;
    let not_after = graph.add("LessOrEqual", &[columns, rows], &[])?;
    match window {
        Some(window) => within(graph, not_after, (rows, columns), window),
        None => Ok(not_after),
    }
}

/// Of the keys that a query sees, those less than `window` in front of it; `places` of queries and of keys, which broadcast.
pub(crate) fn within(graph: &mut Graph, seen: ValueId, places: (ValueId, ValueId), window: usize) -> Emitted {
    let distance = graph.minus(places.0, places.1)?;
    let window = graph.constant("window", Constant::i64([], &[window as i64]));
    let near = graph.add("Less", &[distance, window], &[])?;
    graph.add("And", &[seen, near], &[])
}

/// `[batch, length, heads · size]` as `[batch, heads, length, size]`.
pub(crate) fn split_heads(graph: &mut Graph, value: ValueId, heads: usize) -> Emitted {
    let shape = graph.shape(value)?.to_vec();
    let size = size_of_a_head(&shape[2], heads).map_err(|message| {
        CompilerError::unsupported(message, "export the model with fixed lengths for what is open")
    })?;
    let split = graph.reshape(value, &[&shape[0], &shape[1], &heads.into(), &size])?;
    graph.transpose(split, &[0, 2, 1, 3])
}

/// `[batch, heads, length, size]` as `[batch, length, heads · size]`.
pub(crate) fn merge_heads(graph: &mut Graph, value: ValueId) -> Emitted {
    let shape = graph.shape(value)?.to_vec();
    let turned = graph.transpose(value, &[0, 2, 1, 3])?;
    graph.reshape(turned, &[shape[0].clone(), shape[2].clone(), &shape[1] * &shape[3]])
}

/// Length of a head, of an axis that holds so many.
pub(crate) fn size_of_a_head(hidden: &Length, heads: usize) -> Result<Length, String> {
    let misfit = || match hidden.as_number() {
        Some(_) => format!("an axis of {hidden} in {heads} heads"),
        None => format!("an axis of {hidden} in {heads} heads; export the model with fixed lengths for what is open"),
    };
    hidden.exact_quotient(&heads.into()).ok_or_else(misfit)
}

/// An attribute that counts heads.
pub(crate) fn heads(node: &Node, name: &str) -> Result<usize, String> {
    let count = node.int(name).ok_or_else(|| format!("no attribute `{name}`"))?;
    usize::try_from(count).ok().filter(|count| (1..1 << 16).contains(count)).ok_or(format!("{name} is {count}"))
}

/// Rotates pairs of the last axis by angles whose cosines and sines are given (Su 2021), as many as pairs; what is
/// beyond them on the axis stays. Pairs are neighbours, or one of each half.
pub(crate) fn rotate(graph: &mut Graph, x: ValueId, cosines: ValueId, sines: ValueId, interleaved: bool) -> Emitted {
    let shape = graph.shape(x)?.to_vec();
    let (lead, last) = shape.split_at(shape.len() - 1);
    let pairs = graph.shape(cosines)?.last().cloned().unwrap_or_else(|| 1.into());
    let turned_length = &pairs * 2;
    let rest = &last[0] - &turned_length;
    let axis = [("axis", (-1).into())];
    let (turned, rest) = if rest == 0 {
        (x, None)
    } else {
        let lengths = graph.lengths(&[turned_length.clone(), rest])?;
        let parts = graph.add_with("Split", &[Some(x), Some(lengths)], &axis, 2)?;
        (parts[0], Some(parts[1]))
    };
    let with = |ends: &[&Length]| lead.iter().chain(ends.iter().copied()).cloned().collect::<Vec<Length>>();
    let one = Length::from(1);
    let halves = if interleaved {
        let two = Length::from(2);
        let paired = graph.reshape(turned, &with(&[&pairs, &two]))?;
        let ones = graph.integers(&[1, 1]);
        let parts = graph.add_with("Split", &[Some(paired), Some(ones)], &axis, 2)?;
        [graph.reshape(parts[0], &with(&[&pairs]))?, graph.reshape(parts[1], &with(&[&pairs]))?]
    } else {
        let lengths = graph.lengths(&[pairs.clone(), pairs.clone()])?;
        let parts = graph.add_with("Split", &[Some(turned), Some(lengths)], &axis, 2)?;
        [parts[0], parts[1]]
    };
    let [a, b] = halves;
    let (a_cosine, b_sine) = (graph.times(a, cosines)?, graph.times(b, sines)?);
    let (a_sine, b_cosine) = (graph.times(a, sines)?, graph.times(b, cosines)?);
    let (real, imaginary) = (graph.minus(a_cosine, b_sine)?, graph.plus(a_sine, b_cosine)?);
    let joined = if interleaved {
        let real = graph.reshape(real, &with(&[&pairs, &one]))?;
        let imaginary = graph.reshape(imaginary, &with(&[&pairs, &one]))?;
        let joined = graph.concat(&[real, imaginary], -1)?;
        graph.reshape(joined, &with(&[&turned_length]))?
    } else {
        graph.concat(&[real, imaginary], -1)?
    };
    match rest {
        Some(rest) => graph.concat(&[joined, rest], -1),
        None => Ok(joined),
    }
}

/// What ONNX Runtime's own attentions add to the scores: their bias, and `filter` for the keys that a mask of integers
/// leaves out. The mask is `[batch, keys]`, `[batch, queries, keys]`, or the number of keys of each row.
pub(crate) fn bias_of_mask(
    node: &mut Expansion<'_>,
    bias: Option<ValueId>,
    mask: Option<ValueId>,
    (batch, keys): (&Length, &Length),
) -> Result<Option<ValueId>, CompilerError> {
    let Some(mask) = mask else { return Ok(bias) };
    let shape = node.graph.shape(mask)?.to_vec();
    let one = &Length::from(1);
    let others = node.node.inputs.iter().flatten().filter(|value| **value != mask);
    let known: Vec<Length> =
        others.filter_map(|value| node.graph.tensor_type(*value)).flat_map(|known| known.shape.clone()).collect();
    // files may give the axes of each input names of their own, which the data give the same length; a single axis may also hold several
    // numbers of each row, which ONNX Runtime tells by its length
    let is_own = |own: &Length| own.name().is_some() && !known.contains(own);
    let fits = |own: &Length, wanted: &Length| own.agrees_with(wanted) || is_own(own) && wanted.name().is_some();
    let axes = match shape.as_slice() {
        [rows] if rows.agrees_with(batch) => [batch, one, one, one],
        [rows, length] if fits(rows, batch) && fits(length, keys) => [batch, one, one, keys],
        [rows, queries, length] if fits(rows, batch) && fits(length, keys) => [batch, one, queries, keys],
        other => {
            return Err(node.no_gradient(format!(
                "a mask {other:?} for {batch} rows of {keys} keys; export the model with these lengths for the axes of the mask"
            )));
        }
    };
    let filter = node.node.float("mask_filter_value").unwrap_or(-10_000.0);
    let graph = &mut *node.graph;
    let mask = with_axes(graph, mask, &axes.map(Length::clone))?;
    let mask = graph.cast(mask, ElementType::I64)?;
    let hidden = if shape.len() == 1 {
        let places = graph.positions(keys)?;
        graph.add("GreaterOrEqual", &[places, mask], &[])?
    } else {
        let least = graph.constant("least", Constant::i64([], &[1]));
        graph.add("Less", &[mask, least], &[])?
    };
    let hidden = graph.cast(hidden, ElementType::F32)?;
    let filter = graph.scalar(filter);
    let hidden = graph.times(hidden, filter)?;
    match bias {
        Some(bias) => graph.plus(hidden, bias).map(Some),
        None => Ok(Some(hidden)),
    }
}

/// A value in another shape, whose axes may have other names than its own.
fn with_axes(graph: &mut Graph, value: ValueId, axes: &[Length]) -> Emitted {
    let known = graph.known_type(value)?.clone();
    if known.elements().agrees_with(&axes.iter().product()) {
        return graph.reshape(value, axes);
    }
    let lengths = graph.lengths(axes)?;
    let shaped = graph.append("Reshape", &[value, lengths], &[], "mask")?;
    graph.set_type(shaped, Some(TensorType::new(known.dtype, axes)));
    Ok(shaped)
}

/// The attribute `scale`, or 1/√(size of a head).
pub(crate) fn scale_of(node: &Expansion<'_>, size: &Length) -> Result<f32, CompilerError> {
    match (node.node.float("scale").filter(|scale| *scale != 0.0), size.fixed()) {
        (Some(scale), _) => Ok(scale),
        (None, Some(size)) => Ok(1.0 / (size as f32).sqrt()),
        (None, None) => Err(node.no_gradient(format!(
            "heads of length {size}, whose root scales; export the model with fixed lengths for what is open"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_mask_whose_axes_may_be_of_other_lengths_is_refused() {
        for (axes, is_taken) in [
            (&["batch"][..], true),
            (&["mask_len"][..], false),
            (&["batch", "keys"][..], true),
            (&["batch_of_mask", "keys_of_mask"][..], true),
            (&["batch", "queries"][..], false),
            (&["keys", "batch"][..], false),
            (&["batch_of_mask", "queries_of_mask", "keys_of_mask"][..], true),
            (&["batch", "queries", "queries"][..], false),
        ] {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let [queries, keys] = ["queries", "keys"].map(|name| {
                graph.input(name, TensorType::f32([Length::named("batch"), Length::named(name), 8.into()]))
            });
            let axes: Vec<Length> = axes.iter().map(|name| Length::named(name)).collect();
            let mask = graph.input("mask", TensorType::new(ElementType::I32, axes.as_slice()));
            let node = Node {
                name: "attention".to_owned(),
                operator: "MultiHeadAttention".to_owned(),
                domain: "com.microsoft".to_owned(),
                inputs: vec![Some(queries), Some(keys), Some(keys), None, Some(mask)],
                outputs: Vec::new(),
                attributes: BTreeMap::new(),
                metadata: Vec::new(),
            };
            let mut expansion = Expansion::new(&mut graph, node);
            let lengths = (&Length::named("batch"), &Length::named("keys"));
            let made = bias_of_mask(&mut expansion, None, Some(mask), lengths);
            match made {
                Ok(bias) => assert!(is_taken && bias.is_some(), "{axes:?}"),
                Err(error) => {
                    assert!(!is_taken && error.to_string().contains("for the axes of the mask"), "{axes:?}: {error}");
                }
            }
        }
    }
}
