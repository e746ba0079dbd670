//! The nodes of a graph: which makes a value, what a node is called, and which takes rows.

use std::collections::HashMap;

use crate::graph::{Graph, Node, ValueId};

/// Index of the node that makes each value.
pub(crate) fn producers(graph: &Graph) -> HashMap<ValueId, usize> {
    let nodes = graph.nodes().iter().enumerate();
    nodes.flat_map(|(index, node)| node.outputs.iter().flatten().map(move |value| (*value, index))).collect()
}

/// ``node `x` (Sigmoid)``.
pub(crate) fn named(graph: &Graph, node: &Node) -> String {
    format!("node `{}` ({})", graph.label(node), node.qualified_operator())
}

/// Whether a node takes rows of its first input, as of a table of embeddings.
pub(crate) fn picks_rows(node: &Node) -> bool {
    node.is("Gather") && matches!(node.int("axis").unwrap_or(0), 0 | -2)
}
