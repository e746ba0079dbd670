use super::{
    Gradient, Operator, Sample, TypeRuleInput, axes, element_types, fixed_integers_of, folding, scatters, varied,
};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Known, Length, Node, TensorType, ValueId};

/// `GatherND`: slices at places that rows of indices name; `batch_dims` leading axes are shared by data and indices.
/// dx: dy added up at the places.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GatherND",
    opsets: 13..=25,
    weights: &[0],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let pairs = || fixed_integers_of(&[3, 2], &[1, 0, -1, 2, 1, 0]);
        let batch = |count: i64| vec![("batch_dims", count.into())];
        let one_each = fixed_integers_of(&[2, 1], &[3, 0]);
        let two_each = fixed_integers_of(&[2, 2, 1], &[3, 0, 1, 1]);
        let deep = fixed_integers_of(&[2, 2, 1], &[0, 2, -1, 1]);
        vec![
            Sample::new("elements", vec![varied(&[2, 3]), pairs()], vec![]).since(16),
            Sample::new("slices", vec![varied(&[2, 3, 4]), pairs()], vec![]).since(16),
            Sample::new("one slice", vec![varied(&[4, 3]), fixed_integers_of(&[1], &[2])], vec![]).since(16),
            Sample::new("one a batch entry", vec![varied(&[2, 4, 3]), one_each], batch(1)).since(16),
            Sample::new("several a batch entry", vec![varied(&[2, 4, 3]), two_each], batch(1)).since(16),
            Sample::new("two batch axes", vec![varied(&[2, 2, 3]), deep], batch(2)).since(16),
            Sample::new("integers", vec![fixed_integers_of(&[2, 3], &[1, 2, 3, 4, 5, 6]), pairs()], vec![]),
        ]
    },
};

/// Number of batch axes, and of axes that a row of indices names.
fn counts(node: &Node, data: &[Length], indices: &[Length]) -> Result<(usize, usize), String> {
    let batch = axes::length(node.int("batch_dims").unwrap_or(0))?;
    let last = indices.last().ok_or("indices without an axis")?;
    let named = last
        .fixed()
        .ok_or_else(|| format!("rows of indices of open length {last}: export the model with a fixed length there"))?;
    let fits = batch < indices.len() && named >= 1 && batch.saturating_add(named) <= data.len();
    if !fits || !(0..batch).all(|axis| data[axis].agrees_with(&indices[axis])) {
        return Err(format!("indices {indices:?} of {batch} batch axes do not fit {data:?}"));
    }
    Ok((batch, named))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, indices) = (rule.input(0)?, element_types::positions(rule, 1)?);
    let (batch, named) = counts(rule.node, &x.shape, &indices.shape).map_err(|message| rule.error(message))?;
    let shape = [&indices.shape[..indices.shape.len() - 1], &x.shape[batch + named..]].concat();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let (Some(source), Some(indices)) = (folding::integer_input(rule, 0), folding::integer_input(rule, 1)) else {
        return Ok(None);
    };
    let Some(shape) = folding::small_shape(&types(rule)?.remove(0).shape) else { return Ok(None) };
    let (data_shape, index_shape) = (&rule.input(0)?.shape, &rule.input(1)?.shape);
    let (batch, named) = counts(rule.node, data_shape, index_shape).map_err(|message| rule.error(message))?;
    let numbers = indices.elements.iter().map(Length::as_number).collect::<Option<Vec<i64>>>();
    let Some(numbers) = numbers else { return Ok(None) };
    let length = |at: usize| source.shape[batch + at % named];
    let places = numbers.iter().enumerate().map(|(at, index)| rule.axis(*index, length(at)));
    let places = places.collect::<Result<Vec<usize>, _>>()?;
    let (steps, index_steps) = (folding::steps(&source.shape), folding::steps(&indices.shape));
    let rows = indices.shape.len() - 1;
    let from = |at: &[usize]| {
        let row: usize = at[..rows].iter().zip(&index_steps).map(|(at, step)| at * step).sum();
        let lead: usize = at[..batch].iter().zip(&steps).map(|(at, step)| at * step).sum();
        let place: usize = (0..named).map(|on| places[row + on] * steps[batch + on]).sum();
        let tail: usize = at[rows..].iter().zip(&steps[batch + named..]).map(|(at, step)| at * step).sum();
        lead + place + tail
    };
    Ok(folding::moved(&source, &shape, from))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (full, rows, dy) = (b.input_shape(0)?, b.input_shape(1)?, b.dy()?);
    let (batch, named) = counts(&b.node, &full, &rows).map_err(|message| b.error(message))?;
    let indices = b.input(1)?;
    let indices = match b.input_type(1)?.dtype {
        crate::graph::ElementType::I64 => indices,
        _ => b.graph.cast(indices, crate::graph::ElementType::I64)?, // ScatterND takes no others
    };
    if batch == 0 {
        let dx = scatters::slices_added(b, &full, indices, dy)?;
        return b.give(0, dx);
    }
    // one batch axis, whose entries the rows of indices name as well
    let entries: Length = full[..batch].iter().product();
    let each: Length = rows[batch..rows.len() - 1].iter().product();
    let indices = b.graph.reshape(indices, &[entries.clone(), each.clone(), named.into()])?;
    let indices = with_entries(b.graph, indices, &entries, &each)?;
    let merged: Vec<Length> = [entries.clone()].into_iter().chain(full[batch..].iter().cloned()).collect();
    let updates: Vec<Length> = [entries, each].into_iter().chain(full[batch + named..].iter().cloned()).collect();
    let dy = b.graph.reshape(dy, &updates)?;
    let dx = scatters::slices_added(b, &merged, indices, dy)?;
    let dx = b.graph.reshape(dx, &full)?;
    b.give(0, dx)
}

/// Rows of indices `[entries, each, k]` with the entry's number before them.
fn with_entries(
    graph: &mut Graph,
    indices: ValueId,
    entries: &Length,
    each: &Length,
) -> Result<ValueId, CompilerError> {
    let numbers = graph.positions(entries)?;
    let numbers = graph.reshape(numbers, &[entries.clone(), 1.into(), 1.into()])?;
    let numbers = graph.expand(numbers, &[entries.clone(), each.clone(), 1.into()])?;
    graph.concat(&[numbers, indices], 2)
}
