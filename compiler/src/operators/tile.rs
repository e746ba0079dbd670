use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, fixed_integers_of, folding, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Known, Length, TensorType};

/// `Tile`: the whole repeated along each axis. dx: dy summed over the repeats.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Tile",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let integers = fixed_integers_of(&[2, 2], &[1, 2, 3, 4]);
        vec![
            Sample::new("one axis", vec![varied(&[2, 3]), fixed_integers(&[1, 3])], vec![]),
            Sample::new("all axes", vec![varied(&[2, 1, 3]), fixed_integers(&[2, 4, 2])], vec![]),
            Sample::new("once", vec![varied(&[2, 3]), fixed_integers(&[1, 1])], vec![]),
            Sample::new("integers", vec![integers, fixed_integers(&[2, 1])], vec![]),
        ]
    },
};

/// How often each axis is repeated.
fn repeats(rule: &TypeRuleInput<'_>) -> Result<Vec<Length>, CompilerError> {
    let repeats = axes::lengths(rule.known_lengths(1)?).map_err(|message| rule.error(message))?;
    let rank = rule.input(0)?.shape.len();
    if repeats.len() == rank {
        Ok(repeats)
    } else {
        Err(rule.error(format!("{} repeats for {rank} axes", repeats.len())))
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let shape = x.shape.iter().zip(&repeats(rule)?).map(|(length, times)| length * times).collect();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let shape = folding::small_shape(&types(rule)?.remove(0).shape);
    let Some((source, shape)) = folding::integer_input(rule, 0).zip(shape) else { return Ok(None) };
    let steps = folding::steps(&source.shape);
    let from = |at: &[usize]| (0..at.len()).map(|axis| at[axis] % source.shape[axis] * steps[axis]).sum();
    Ok(folding::moved(&source, &shape, from))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (shape, dy) = (b.input_shape(0)?, b.dy()?);
    let repeats = b.graph.lengths_of(b.input(1)?).filter(|repeats| repeats.len() == shape.len());
    let repeats = repeats.ok_or_else(|| b.no_gradient("how often it repeats is computed from data"))?;
    let (mut split, mut summed) = (vec![], vec![]);
    for (length, times) in shape.iter().zip(repeats) {
        if times != 1 {
            summed.push(split.len() as i64);
            split.push(times);
        }
        split.push(length.clone());
    }
    if summed.is_empty() {
        return b.give(0, dy);
    }
    let dy = b.graph.reshape(dy, &split)?;
    let dx = b.graph.reduce_sum(dy, &summed, false)?;
    b.give(0, dx)
}
