//! Rotations whose angles an exporter has stored for one row.

use super::repeat::{Repeated, repeat};
use crate::CompilerError;
use crate::graph::{Graph, Length, ValueId};

/// Repeats the angles of `RotaryEmbedding` for each row where they have one and the rows are open: they do not broadcast.
///
/// # Errors
/// Angles cannot be repeated.
pub(crate) fn give_each_row_its_angles(graph: &mut Graph) -> Result<(), CompilerError> {
    let first = |graph: &Graph, value: ValueId| graph.tensor_type(value).and_then(|known| known.shape.first().cloned());
    let mut at = 0;
    while at < graph.nodes().len() {
        let node = &graph.nodes()[at];
        let name = node.is("RotaryEmbedding") && node.domain.is_empty() && node.input(3).is_none();
        let Some(rotated) = node.input(0).filter(|_| name) else {
            at += 1;
            continue;
        };
        let angles: Vec<(usize, ValueId)> =
            [1, 2].into_iter().filter_map(|input| node.input(input).map(|operand| (input, operand))).collect();
        let one = Some(Length::from(1));
        let rows = first(graph, rotated);
        let before = graph.nodes().len();
        for (input, operand) in angles {
            if rows.is_some() && rows != one && first(graph, operand) == one {
                let place = at + graph.nodes().len() - before;
                repeat(graph, place, Repeated { input, operand, axis: 0, rank: 3, like: rotated, like_axis: 0 })?;
            }
        }
        at += 1 + graph.nodes().len() - before;
    }
    Ok(())
}
