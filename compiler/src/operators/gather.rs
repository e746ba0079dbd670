use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, fixed_integers, folding, scatters, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, ElementType, Known, Length, TensorType, ValueId};

/// `Gather`: entries of an axis by index, an embedding for example. dx: dy added up at the indices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Gather",
    opsets: 13..=25,
    weights: &[0],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let index = |value: i64| SampleInput::Fixed(Constant::i64([], &[value]));
        let matrix = || SampleInput::Fixed(Constant::i64([2, 3], &[0, 3, 0, 1, -1, 1]));
        let short = |values: &[i32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![values.len()], bytes: bytes.into() })
        };
        let axis = |axis: i64| vec![("axis", axis.into())];
        vec![
            Sample::new("an embedding", vec![varied(&[4, 5]), matrix()], vec![]).since(16),
            Sample::new("middle axis", vec![varied(&[2, 4, 3]), matrix()], axis(1)).since(16),
            Sample::new("last axis", vec![varied(&[2, 4]), fixed_integers(&[3, 0, 3])], axis(-1)).since(16),
            Sample::new("short indices", vec![varied(&[4, 2]), short(&[3, 0, 3])], vec![]).since(16),
            Sample::new("short indices, each once", vec![varied(&[4, 2]), short(&[2, 0])], vec![]),
            Sample::new("each once", vec![varied(&[4, 2]), fixed_integers(&[2, 0])], vec![]),
            Sample::new("one entry", vec![varied(&[2, 4, 3]), index(-2)], axis(1)),
            Sample::new("a list of one", vec![varied(&[4, 3]), fixed_integers(&[1])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[5, 6, 7]), index(-1)], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, indices) = (rule.input(0)?, rule.input(1)?);
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), x.shape.len())?;
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let (Some(source), Some(indices)) = (folding::integer_input(rule, 0), folding::integer_input(rule, 1)) else {
        return Ok(None);
    };
    let shape = folding::small_shape(&types(rule)?.remove(0).shape);
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), source.shape.len())?;
    let numbers = indices.elements.iter().map(Length::as_number).collect::<Option<Vec<i64>>>();
    let (Some(shape), Some(numbers)) = (shape, numbers) else { return Ok(None) };
    let rows = numbers.iter().map(|index| rule.axis(*index, source.shape[axis])).collect::<Result<Vec<_>, _>>()?;
    let (steps, index_steps) = (folding::steps(&source.shape), folding::steps(&indices.shape));
    let after = axis + indices.shape.len();
    let from = |at: &[usize]| {
        let row: usize = at[axis..after].iter().zip(&index_steps).map(|(at, step)| at * step).sum();
        let lead: usize = at[..axis].iter().zip(&steps).map(|(at, step)| at * step).sum();
        let tail: usize = at[after..].iter().zip(&steps[axis + 1..]).map(|(at, step)| at * step).sum();
        lead + rows[row] * steps[axis] + tail
    };
    Ok(folding::moved(&source, &shape, from))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (full, indices, dy) = (b.input_shape(0)?, b.input(1)?, b.dy()?);
    let axis = axes::from_front(b.node.int("axis").unwrap_or(0), full.len()).map_err(|message| b.error(message))?;
    let known = b.known_integers(1).ok();
    if let Some([index]) = known.as_deref() {
        if let Some(length) = full[axis].fixed() {
            axes::from_front(*index, length).map_err(|message| b.error(message))?;
        }
        let mut one = full.clone();
        one[axis] = 1.into();
        let (mut before, mut after) = (vec![Length::from(0); full.len()], vec![Length::from(0); full.len()]);
        let index = if *index < 0 { &full[axis] + Length::number(*index) } else { Length::number(*index) };
        (before[axis], after[axis]) = (index.clone(), &full[axis] - index - 1);
        let dy = b.graph.reshape(dy, &one)?;
        let dx = b.graph.pad(dy, &before, &after)?;
        return b.give(0, dx);
    }
    let count = b.graph.known_type(indices)?.elements();
    // entries first: dy as [indices, axes before, axes after]
    let lead: Length = full[..axis].iter().product();
    let tail: Length = full[axis + 1..].iter().product();
    let dy = b.graph.reshape(dy, &[&lead, &count, &tail])?;
    let dy = if lead == 1 { dy } else { b.graph.transpose(dy, &[1, 0, 2])? };
    let dy = b.graph.reshape(dy, &[count.clone(), &lead * &tail])?;
    let indices = b.graph.reshape(indices, &[count, 1.into()])?;
    let indices = match b.input_type(1)?.dtype {
        ElementType::I64 => indices,
        _ => b.graph.cast(indices, ElementType::I64)?, // ScatterND takes no others
    };
    let all_differ = |mut known: Vec<i64>| match full[axis].fixed() {
        Some(rows) => axes::all_from_front(&known, rows).is_ok(),
        None => {
            known.sort_unstable();
            known.windows(2).all(|pair| pair[0] != pair[1]) && known.first().is_none_or(|least| *least >= 0)
        }
    };
    let unique = known.is_some_and(all_differ);
    let sums = sum_rows(b, &full[axis], indices, dy, unique)?;
    let dx = b.graph.reshape(sums, &[&full[axis], &lead, &tail])?;
    let dx = if lead == 1 { dx } else { b.graph.transpose(dx, &[1, 0, 2])? };
    let dx = b.graph.reshape(dx, &full)?;
    b.give(0, dx)
}

/// Rows of `updates` added up at their `indices` `[K, 1]`.
fn sum_rows(
    b: &mut Backward<'_>,
    rows: &Length,
    indices: ValueId,
    updates: ValueId,
    unique: bool,
) -> Result<ValueId, CompilerError> {
    let shape = [rows.clone(), b.graph.shape(updates)?[1].clone()];
    if !unique {
        return scatters::slices_added(b, &shape, indices, updates);
    }
    let zeros = b.graph.zeros(&shape)?;
    b.graph.add("ScatterND", &[zeros, indices, updates], &[])
}
