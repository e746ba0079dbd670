//! One row's values, repeated for as many rows as there are.

use crate::CompilerError;
use crate::graph::{Constant, Graph, ValueId};

/// What is repeated, and like what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeated {
    /// The input of a node that reads the operand.
    pub(super) input: usize,
    pub(super) operand: ValueId,
    /// Where the operand has one entry.
    pub(super) axis: usize,
    pub(super) rank: usize,
    /// What has the rows, and where.
    pub(super) like: ValueId,
    pub(super) like_axis: usize,
}

/// Lets the node at a place read an operand repeated along an axis. Nodes for it stand in front of it.
///
/// # Errors
/// The operand cannot be repeated so.
pub(super) fn repeat(graph: &mut Graph, at: usize, wanted: Repeated) -> Result<(), CompilerError> {
    let Repeated { input, operand, axis, rank, like, like_axis } = wanted;
    let first = graph.nodes()[at].outputs.iter().flatten().next().map_or("", |made| graph.name(*made)).to_owned();
    let name = |what: &str| format!("{first}.{what}");
    let integers = |graph: &mut Graph, what: &str, values: &[i64]| {
        graph.named_constant(&name(what), Constant::i64([values.len()], values))
    };
    let index = integers(graph, "axis", &[like_axis as i64]);
    let mut ones = |count: usize| (count > 0).then(|| integers(graph, "ones", &vec![1; count]));
    let (before_rows, behind_rows) = (ones(axis), ones(rank - axis - 1));
    let before = graph.nodes().len();
    let repeated = graph.in_front_of(at, |graph| {
        let lengths = graph.append("Shape", &[like], &[], &name("lengths"))?;
        let rows = graph.append("Gather", &[lengths, index], &[], &name("rows"))?;
        let parts: Vec<ValueId> = before_rows.into_iter().chain([rows]).chain(behind_rows).collect();
        let repeats = graph.append("Concat", &parts, &[("axis", 0.into())], &name("repeats"))?;
        graph.append("Expand", &[operand, repeats], &[], &name("repeated"))
    })?;
    graph.set_input(at + graph.nodes().len() - before, input, repeated);
    Ok(())
}
