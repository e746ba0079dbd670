use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Known, Length, TensorType};

/// `Split`: parts along an axis, of given or equal lengths. dx: the outputs' gradients one after another, zeros where
/// an output has none.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Split",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let axis = |axis: i64| vec![("axis", axis.into())];
        let equal = vec![("axis", 1.into()), ("num_outputs", 3.into())];
        vec![
            Sample::new("given lengths", vec![varied(&[2, 6]), fixed_integers(&[1, 3, 2])], axis(1)).with_outputs(3),
            Sample::new("negative axis", vec![varied(&[2, 6]), fixed_integers(&[4, 2])], axis(-1)).with_outputs(2),
            Sample::new("equal, opset 13", vec![varied(&[4, 3])], vec![]).with_outputs(2).until(17),
            Sample::new("integers", vec![fixed_integers(&[5, 6, 7]), fixed_integers(&[1, 2])], vec![]).with_outputs(2),
            Sample::new("last one shorter", vec![varied(&[2, 8])], equal).with_outputs(3).since(18),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), x.shape.len())?;
    let whole = &x.shape[axis];
    let lengths: Vec<Length> = if rule.node.input(1).is_some() {
        axes::lengths(rule.known_lengths(1)?).map_err(|message| rule.error(message))?
    } else if let Some(whole) = whole.fixed() {
        let each = whole.div_ceil(rule.outputs.max(1));
        (0..rule.outputs).map(|part| whole.saturating_sub(part * each).min(each).into()).collect()
    } else {
        let each = whole.quotient_up(rule.outputs.max(1));
        let last = whole - &each * rule.outputs.saturating_sub(1);
        (1..=rule.outputs).map(|part| if part == rule.outputs { &last } else { &each }.clone()).collect()
    };
    if lengths.len() != rule.outputs || lengths.iter().sum::<Length>() != *whole {
        return Err(rule.error(format!("an axis of {whole} split into {lengths:?} for {} outputs", rule.outputs)));
    }
    let part = |length: &Length| {
        let mut shape = x.shape.clone();
        shape[axis] = length.clone();
        TensorType { dtype: x.dtype, shape }
    };
    Ok(lengths.iter().map(part).collect())
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let Some(source) = folding::integer_input(rule, 0) else { return Ok(None) };
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), source.shape.len())?;
    let parts = types(rule)?;
    let start: Length = parts[..rule.output].iter().map(|part| &part.shape[axis]).sum();
    let (Some(shape), Some(start)) = (folding::small_shape(&parts[rule.output].shape), start.fixed()) else {
        return Ok(None);
    };
    let steps = folding::steps(&source.shape);
    let from = |at: &[usize]| start * steps[axis] + at.iter().zip(&steps).map(|(at, step)| at * step).sum::<usize>();
    Ok(folding::moved(&source, &shape, from))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let shape = b.input_shape(0)?;
    let axis = axes::from_front(b.node.int("axis").unwrap_or(0), shape.len()).map_err(|message| b.error(message))?;
    let mut parts = vec![];
    for index in 0..b.node.outputs.len() {
        parts.push(match b.output_gradient(index) {
            Some(part) => part,
            None => {
                let length = b.output_shape(index)?;
                b.graph.zeros(&length)?
            }
        });
    }
    let dx = b.graph.concat(&parts, axis as i64)?;
    b.give(0, dx)
}
