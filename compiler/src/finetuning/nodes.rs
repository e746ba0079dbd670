//! The nodes of a graph: which makes a value, and what a node is called.

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
