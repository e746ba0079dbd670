//! What an exporter stored for each of the rows that it wrote into a model, though it is the same for all: one row, repeated.

use super::fixed_rows;
use super::repeat::{Repeated, repeat};
use crate::CompilerError;
use crate::graph::{Constant, Graph};
use crate::inference::infer_behind;
use crate::operators::{OperatorCatalog, axis_from_front};

/// Lets a constant that is joined to the rows, as a class token whose `Expand` was folded, be stored once and repeated for as many rows
/// as there are: it is one parameter then, and there may be more rows. What the model computes stays the same.
///
/// # Errors
/// Nodes for it cannot be added.
pub(crate) fn repeat_equal_rows(graph: &mut Graph, catalog: &OperatorCatalog) -> Result<(), CompilerError> {
    let Some(rows) = fixed_rows(graph).filter(|rows| *rows > 1) else { return Ok(()) };
    let (mut at, mut is_changed) = (0, false);
    while at < graph.nodes().len() {
        if let Some((wanted, row)) = joined_to_rows(graph, at, rows) {
            let before = graph.nodes().len();
            graph.set_constant(wanted.operand, row);
            repeat(graph, at, wanted)?;
            at += graph.nodes().len() - before;
            is_changed = true;
        }
        at += 1;
    }
    if is_changed {
        let inputs = graph.inputs().to_vec();
        infer_behind(graph, inputs, catalog, &|_| None);
    }
    Ok(())
}

/// A constant with equal rows that the node `at` alone reads, and one of its rows.
fn joined_to_rows(graph: &Graph, at: usize, rows: usize) -> Option<(Repeated, Constant)> {
    let node = graph.nodes().get(at).filter(|node| node.is("Concat"))?;
    let has_rows = |input: &usize| {
        let value = node.inputs[*input].filter(|value| graph.constant_of(*value).is_none());
        let known = value.and_then(|value| graph.tensor_type(value));
        known.and_then(|known| known.shape.first()?.fixed()) == Some(rows)
    };
    let like = node.input((0..node.inputs.len()).find(has_rows)?)?;
    for (input, value) in node.inputs.iter().enumerate() {
        let Some(operand) = *value else { continue };
        let is_stored = graph.producer(operand).is_none() && graph.is_own(operand);
        let Some(constant) = graph.float_constant(operand).filter(|_| is_stored) else { continue };
        let rank = constant.shape.len();
        let joins_rows = axis_from_front(node.int("axis")?, rank).ok()? == 0;
        if joins_rows || constant.shape[0] != rows {
            continue;
        }
        let bytes = constant.bytes.len() / rows;
        let first = constant.bytes.slice(..bytes);
        let reads = graph.nodes().iter().flat_map(|node| &node.inputs).filter(|read| **read == Some(operand)).count();
        if bytes == 0 || reads > 1 || constant.bytes.chunks_exact(bytes).any(|row| row != &first[..]) {
            continue;
        }
        let mut shape = constant.shape.clone();
        shape[0] = 1;
        let row = Constant { dtype: constant.dtype, shape, bytes: first };
        return Some((Repeated { input, operand, axis: 0, rank, like, like_axis: 0 }, row));
    }
    None
}
