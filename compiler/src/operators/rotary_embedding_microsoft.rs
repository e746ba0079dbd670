use super::attention_rules::{heads, rotate, size_of_a_head};
use super::{Gradient, Operator, Sample, SampleInput, same_as_first, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, Length, ValueId};

/// `com.microsoft.RotaryEmbedding` (Su 2021): pairs of the last axis of x `[batch, heads, length, size]` or
/// `[batch, length, heads · size]` rotated by angles, whose cosines and sines lie in caches by position: positions
/// `[batch, length]`, or the first one alone. As products and sums. ONNX Runtime's kernels do not read its attribute `scale`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "RotaryEmbedding",
    opsets: 1..=1,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples,
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    if node.node.int("is_packed_batching").unwrap_or(0) != 0 {
        return Err(node.no_gradient("its rows are packed behind each other (is_packed_batching)"));
    }
    let (x, given) = (node.input(0)?, node.input(1)?);
    let shape = node.input_type(0)?.shape;
    let one = Length::from(1);
    let pairs = node.input_type(2)?.shape.last().cloned().unwrap_or_else(|| one.clone());
    let (length, is_flat) = match shape.as_slice() {
        [_, length, _] => (length.clone(), true),
        [_, _, length, _] => (length.clone(), false),
        other => return Err(node.error(format!("an input {other:?}, wanted three or four axes"))),
    };
    let (positions, rows) = match node.input_type(1)?.shape.as_slice() {
        [_] => {
            let places = node.graph.positions(&length)?;
            (node.graph.plus(places, given)?, one.clone())
        }
        [rows, _] => (given, rows.clone()),
        other => return Err(node.error(format!("positions {other:?}, wanted one or two axes"))),
    };
    let along = if is_flat { [&rows, &length, &one, &pairs] } else { [&rows, &one, &length, &pairs] };
    let mut turns = Vec::new();
    for cache in [node.input(2)?, node.input(3)?] {
        let found = node.graph.add("Gather", &[cache, positions], &[])?;
        turns.push(node.graph.reshape(found, &along)?);
    }
    let split = if is_flat {
        let size = match node.node.int("num_heads").unwrap_or(0) {
            0 => &pairs * 2,
            _ => {
                let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
                size_of_a_head(&shape[2], heads).map_err(|message| node.error(message))?
            }
        };
        let heads = shape[2].exact_quotient(&size);
        let heads = heads.ok_or_else(|| {
            node.error(format!(
                "heads of {size} in an axis of {}; export the model with fixed lengths for what is open",
                shape[2]
            ))
        })?;
        node.graph.reshape(x, &[&shape[0], &shape[1], &heads, &size])?
    } else {
        x
    };
    let interleaved = node.node.int("interleaved").unwrap_or(0) != 0;
    let y = rotate(node.graph, split, turns[0], turns[1], interleaved)?;
    Ok(vec![node.graph.reshape(y, &shape)?])
}

fn samples() -> Vec<Sample> {
    let positions = || SampleInput::Fixed(Constant::i64([2, 3], &[0, 1, 2, 4, 3, 0]));
    let first = SampleInput::Fixed(Constant::i64([1], &[2]));
    let cached = |x: &[usize], places: SampleInput, pairs: usize| {
        vec![varied(x), places, varied(&[5, pairs]), varied(&[5, pairs])]
    };
    let part = || vec![("num_heads", 2.into()), ("rotary_embedding_dim", 4.into())];
    let all = vec![
        Sample::new("halves", cached(&[2, 3, 8], positions(), 2), vec![]),
        Sample::new("neighbours", cached(&[2, 3, 8], positions(), 2), vec![("interleaved", 1.into())]),
        Sample::new("a first position", cached(&[2, 3, 8], first, 2), vec![("scale", 2.0.into())]),
        Sample::new("a part", cached(&[2, 3, 12], positions(), 2), part()),
        Sample::new("four axes", cached(&[2, 2, 3, 4], positions(), 2), vec![]),
    ];
    all.into_iter().map(|sample| sample.since(16)).collect()
}
