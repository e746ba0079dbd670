//! A prefix in an attention that is one node: keys and values in front of those that the node reads.

use millstream_schemas::shown;

use crate::CompilerError;
use crate::finetuning::attention::Attention;
use crate::graph::{Constant, ElementType, Graph, Node, ValueId};

/// What the node reads.
const KEYS: usize = 1;
const VALUES: usize = 2;
const MASK: usize = 3;

/// Why no prefix can go into the node, where none can.
///
/// # Errors
/// The reason, in words.
pub(super) fn fits(base: &Graph, node: &Node) -> Result<(), String> {
    if !node.is("Attention") {
        return Err(format!("{} is one node", node.qualified_operator()));
    }
    if (4..=6).any(|input| node.input(input).is_some()) {
        return Err("it reads earlier keys and values, or counts of them".into());
    }
    if node.outputs.iter().skip(1).any(Option::is_some) {
        return Err("it gives its keys and values, or its products, to the graph".into());
    }
    if node.int("is_causal").unwrap_or(0) != 0 {
        return Err("it orders keys by their places itself (`is_causal`), so that a prefix would move them; export it with a mask".into());
    }
    if scale_of(node, 1).is_none() {
        return Err("its `scale` is no number above 0".into());
    }
    let Some(keys) = node.input(KEYS).and_then(|keys| base.tensor_type(keys)) else {
        return Err("the shape of its keys is not known".into());
    };
    let tokens = match keys.shape.as_slice() {
        [_, _, tokens, _] | [_, tokens, _] => tokens,
        _ => return Err(format!("its keys have the shape {}", shown(keys.to_string()))),
    };
    let Some(mask) = node.input(MASK) else { return Ok(()) };
    let Some(known) = base.tensor_type(mask) else { return Err("the shape of its mask is not known".into()) };
    let is_of_keys = known.shape.last().is_some_and(|last| last.agrees_with(tokens));
    match is_of_keys && (known.dtype == ElementType::Bool || known.dtype.is_float()) {
        true => Ok(()),
        false => Err(format!("its mask {} is not one for keys {}", shown(known.to_string()), shown(keys.to_string()))),
    }
}

/// What the node multiplies products by; none where that makes nothing of them.
fn scale_of(node: &Node, size: usize) -> Option<f32> {
    let scale = node.float("scale").unwrap_or_else(|| 1.0 / (size.max(1) as f32).sqrt());
    (scale.is_finite() && scale > 0.0).then_some(scale)
}

/// Puts keys `[heads, size, length]`, whose products with queries are not scaled, and values `[heads, length, size]` in front of those of
/// the node, and lets every query see them.
///
/// # Errors
/// The node has a prefix already.
pub(in super::super) fn place_in_node(
    graph: &mut Graph,
    attention: &Attention,
    layer: &str,
    own: [ValueId; 2],
    length: usize,
) -> Result<(), CompilerError> {
    let part = |part: &str| format!("{layer}.{part}");
    let reads = |node: &Node| {
        let has_prefix = node.input(KEYS).is_some_and(|keys| graph.name(keys).starts_with(&part("joined_keys")));
        node.is("Attention") && node.input(0) == Some(attention.queries) && !has_prefix
    };
    let Some(at) = graph.nodes().iter().position(reads) else {
        return Err(CompilerError::setting("", "prefix_tuning goes into a model once; take a longer one"));
    };
    let node = graph.nodes()[at].clone();
    let inputs = [KEYS, VALUES].map(|input| node.input(input).expect("an attention has keys and values"));
    let is_flat = graph.tensor_type(inputs[0]).is_some_and(|known| known.shape.len() == 3);
    let before = graph.nodes().len();
    let [heads, size, value_size, length] =
        [attention.key_heads(), attention.head_size, attention.value_size(), length].map(|number| number as i64);
    let (joined, mask) = graph.in_front_of(at, |graph| {
        let scale = scale_of(&node, attention.head_size).unwrap_or(1.0);
        let scale = graph.named_constant(&part("prefix_scale"), Constant::f32([], &[1.0 / scale]));
        let keys = graph.append("Mul", &[own[0], scale], &[], &part("prefix_keys.scaled"))?;
        // from [heads, size, length] and [heads, length, size]
        let orders: [[i64; 3]; 2] = if is_flat { [[2, 0, 1], [1, 0, 2]] } else { [[0, 2, 1], [0, 1, 2]] };
        let lengths = [size, value_size].map(|size| match is_flat {
            true => vec![length, heads * size],
            false => vec![heads, length, size],
        });
        let mut joined = [inputs[0]; 2];
        for (at, (name, made)) in [("keys", keys), ("values", own[1])].into_iter().enumerate() {
            let part = |of: &str| part(&format!("prefix_{name}.{of}"));
            let numbers = |graph: &mut Graph, values: &[i64]| {
                graph.named_constant(&part("place"), Constant::i64([values.len()], values))
            };
            let turned =
                graph.append("Transpose", &[made], &[("perm", orders[at].to_vec().into())], &part("turned"))?;
            let of_one = numbers(graph, &[&[1][..], lengths[at].as_slice()].concat());
            let of_one = graph.append("Reshape", &[turned, of_one], &[], &part("of_one"))?;
            let [zero, one, rest] = [&[0][..], &[1][..], lengths[at].as_slice()].map(|values| numbers(graph, values));
            let shape = graph.append("Shape", &[inputs[at]], &[], &part("shape"))?;
            let rows = graph.append("Slice", &[shape, zero, one], &[], &part("rows"))?;
            let whole = graph.append("Concat", &[rows, rest], &[("axis", 0.into())], &part("whole"))?;
            let of_rows = graph.append("Expand", &[of_one, whole], &[], &part("of_rows"))?;
            let axis: i64 = if is_flat { 1 } else { 2 };
            let name = format!("{layer}.joined_{name}");
            joined[at] = graph.append("Concat", &[of_rows, inputs[at]], &[("axis", axis.into())], &name)?;
        }
        let mask = node.input(MASK).map(|mask| seen_by_all(graph, mask, length, &part("prefix_mask"))).transpose()?;
        Ok((joined, mask))
    })?;
    let at = at + graph.nodes().len() - before;
    graph.set_input(at, KEYS, joined[0]);
    graph.set_input(at, VALUES, joined[1]);
    if let Some(mask) = mask {
        graph.set_input(at, MASK, mask);
    }
    Ok(())
}

/// A mask with so many keys in front that nothing hides.
fn seen_by_all(graph: &mut Graph, mask: ValueId, length: i64, name: &str) -> Result<ValueId, CompilerError> {
    let known = graph.known_type(mask)?.clone();
    let rank = known.shape.len();
    let mut pads = vec![0; 2 * rank];
    pads[rank - 1] = length;
    let pads = graph.named_constant(&format!("{name}.pads"), Constant::i64([pads.len()], &pads));
    let seen = if known.dtype == ElementType::Bool { 1.0 } else { 0.0 };
    let seen = graph.named_constant(&format!("{name}.seen"), Constant::number(known.dtype, seen));
    graph.append("Pad", &[mask, pads, seen], &[], name)
}
