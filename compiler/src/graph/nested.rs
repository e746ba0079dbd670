use super::{Body, Graph, Node};

/// Whether a node of a body, or of a graph in one of its nodes, is of some kind.
pub(crate) fn has_node(body: &Body, is_it: &dyn Fn(&Node) -> bool) -> bool {
    let nodes = body.graph().map_or(&[][..], Graph::nodes);
    nodes.iter().any(|node| is_it(node) || node.bodies().any(|inner| has_node(inner, is_it)))
}
