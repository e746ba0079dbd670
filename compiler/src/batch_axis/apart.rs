//! Which values of a graph hold a row for each row of the batch, computed from that row alone.

use std::collections::{HashMap, HashSet};

use super::rows::{Rows, Seen};
use super::through::through;
use super::{Obstacle, node_label};
use crate::graph::{Graph, Node, ValueId};

/// What was found out about the values of a graph.
#[derive(Debug, Default)]
pub(crate) struct RowsApart {
    /// Names of the values `[rows, …]` of which each row follows from that row of the inputs alone, and always is the same.
    pub(crate) values: HashSet<String>,
    /// The first node that joins rows, draws, or is not known well enough.
    pub(crate) obstacle: Option<Obstacle>,
}

/// Follows the rows through a graph that is bound to this many of them, by the rules by which a fixed batch is freed.
pub(crate) fn rows_apart(graph: &Graph, count: usize) -> RowsApart {
    let (mut rows, mut lost): (HashMap<ValueId, Rows>, HashSet<ValueId>) = (HashMap::new(), HashSet::new());
    let mut found = RowsApart::default();
    let is_of_rows = |value: ValueId| {
        let first = graph.tensor_type(value).and_then(|known| known.shape.first());
        first.is_some_and(|first| first.fixed() == Some(count))
    };
    for input in graph.inputs() {
        if is_of_rows(*input) {
            rows.insert(*input, Rows::Axis(0, 1));
            found.values.insert(graph.name(*input).to_owned());
        } else {
            lost.insert(*input);
        }
    }
    for node in graph.nodes() {
        let of_lost = node.inputs.iter().flatten().any(|input| lost.contains(input));
        let made = match of_lost {
            true => None,
            false => match made_of(graph, node, &rows, count) {
                Ok(made) => Some(made),
                Err(reason) => {
                    found.obstacle.get_or_insert_with(|| Obstacle { node: node_label(node, graph), reason });
                    None
                }
            },
        };
        for (at, output) in node.outputs.iter().enumerate() {
            let Some(output) = *output else { continue };
            match made.as_ref().and_then(|made| made.get(at)) {
                Some(made) => {
                    rows.insert(output, *made);
                    if *made == Rows::Axis(0, 1) && is_of_rows(output) {
                        found.values.insert(graph.name(output).to_owned());
                    }
                }
                None => _ = lost.insert(output),
            }
        }
    }
    found
}

fn made_of(graph: &Graph, node: &Node, rows: &HashMap<ValueId, Rows>, fixed: usize) -> Result<Vec<Rows>, String> {
    if node.domain.is_empty() && node.draws() {
        return Err("it draws anew each time".into());
    }
    // what the node would have to say for another number of rows does not count: it is bound to this one
    let (made, _) = through(&Seen { graph, node, rows, fixed, is_made_up: false, open: None })?;
    for (output, made) in node.outputs.iter().zip(&made) {
        let known = output.and_then(|output| graph.tensor_type(output));
        if let (Rows::Axis(axis, _), Some(known)) = (made, known)
            && *axis >= known.shape.len()
        {
            return Err(format!("it has {} axes where its rows would lie on axis {axis}", known.shape.len()));
        }
    }
    Ok(made)
}
