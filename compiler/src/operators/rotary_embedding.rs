use super::attention_rules::{heads, rotate, size_of_a_head};
use super::{Gradient, Operator, Sample, SampleInput, same_as_first, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, Length, ValueId};

/// `RotaryEmbedding` (Su 2021): pairs of the last axis of x `[batch, heads, length, size]` or `[batch, length, heads · size]`
/// rotated by angles, whose cosines and sines lie in caches by position, or are given for each place. As products and sums.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RotaryEmbedding",
    opsets: 23..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples,
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, mut cosines, mut sines) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let shape = node.input_type(0)?.shape;
    if let Some(positions) = node.node.input(3) {
        cosines = node.graph.add("Gather", &[cosines, positions], &[])?;
        sines = node.graph.add("Gather", &[sines, positions], &[])?;
    }
    let given = node.graph.shape(cosines)?.to_vec();
    let [batch, length, pairs] = given.as_slice() else {
        return Err(node.error(format!("cosines {given:?}, wanted three axes")));
    };
    let one = Length::from(1);
    let is_flat = shape.len() == 3;
    let along = if is_flat { [batch, length, &one, pairs] } else { [batch, &one, length, pairs] };
    let cosines = node.graph.reshape(cosines, &along)?;
    let sines = node.graph.reshape(sines, &along)?;
    let split = if is_flat {
        let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
        let size = size_of_a_head(&shape[2], heads).map_err(|message| node.error(message))?;
        node.graph.reshape(x, &[&shape[0], &shape[1], &heads.into(), &size])?
    } else if shape.len() == 4 {
        x
    } else {
        return Err(node.error(format!("an input {shape:?}, wanted three or four axes")));
    };
    let interleaved = node.node.int("interleaved").unwrap_or(0) != 0;
    let y = rotate(node.graph, split, cosines, sines, interleaved)?;
    Ok(vec![node.graph.reshape(y, &shape)?])
}

fn samples() -> Vec<Sample> {
    let positions = || SampleInput::Fixed(Constant::i64([2, 3], &[0, 1, 2, 4, 3, 0]));
    let cached = |x: &[usize], pairs: usize| vec![varied(x), varied(&[5, pairs]), varied(&[5, pairs]), positions()];
    let placed = vec![varied(&[5, 2, 3, 4]), varied(&[5, 3, 2]), varied(&[5, 3, 2])];
    let part = || vec![("num_heads", 2.into()), ("rotary_embedding_dim", 4.into())];
    let all = vec![
        Sample::new("halves", cached(&[2, 2, 3, 4], 2), vec![]),
        Sample::new("neighbours", cached(&[2, 2, 3, 4], 2), vec![("interleaved", 1.into())]),
        Sample::new("without positions", placed, vec![]),
        Sample::new("three axes, a part", cached(&[2, 3, 12], 2), part()),
        Sample::new("three axes", cached(&[2, 3, 8], 2), vec![("num_heads", 2.into()), ("interleaved", 1.into())]),
    ];
    all.into_iter().map(|sample| sample.since(23)).collect()
}
