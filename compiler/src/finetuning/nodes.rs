//! The nodes of a model's file: which makes a value, and what a node is called.

use std::collections::HashMap;

use millstream_schemas::shown;

use crate::graph::qualified;
use crate::model_file::onnx::{GraphProto, NodeProto};

/// Index of the node that makes each value.
pub(super) fn producers(graph: &GraphProto) -> HashMap<&str, usize> {
    let nodes = graph.node.iter().enumerate();
    let made = nodes.flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)));
    made.filter(|(name, _)| !name.is_empty()).collect()
}

/// `node `x` (Sigmoid)`.
pub(crate) fn named(node: &NodeProto) -> String {
    let name = if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    format!("node `{}` ({})", shown(name), qualified(node.op_type(), node.domain()))
}
