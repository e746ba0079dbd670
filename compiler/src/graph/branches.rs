//! Graphs that nodes of a graph run, and nodes that run one of two, as a truth value decides.

use std::any::Any;
use std::sync::Arc;

use super::body::TypedGraph;
use super::{Attribute, Body, Graph, Node, ValueId};
use crate::CompilerError;
use crate::model_file::onnx::GraphProto;

impl TypedGraph for Graph {
    fn to_proto(&self) -> GraphProto {
        self.model_proto("body").graph.unwrap_or_default()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Body {
    /// Of a graph whose last inputs are read from outside, which can be read again.
    pub(crate) fn open(graph: Graph, outer: usize) -> Self {
        Self::of(Arc::new(graph), outer)
    }

    /// The graph, where it can be read.
    pub(crate) fn graph(&self) -> Option<&Graph> {
        self.typed().and_then(|graph| graph.downcast_ref())
    }

    /// With another graph of the same inputs and outputs in its place, where it can be read.
    pub(crate) fn map<E>(&self, change: impl FnOnce(&Graph) -> Result<Graph, E>) -> Result<Self, E> {
        match self.graph() {
            Some(graph) => Ok(Self::open(change(graph)?, self.outer())),
            None => Ok(self.clone()),
        }
    }
}

impl Graph {
    /// An empty graph of the same operators in the same versions.
    pub(crate) fn apart(&self) -> Self {
        let mut apart = Self::of(self.opset, self.operators.clone());
        apart.other_opsets.clone_from(&self.other_opsets);
        apart.file_opset = self.file_opset;
        apart
    }

    /// Whether a node, or one of a graph that a node runs, is of some kind.
    pub(crate) fn has_node(&self, is_it: &dyn Fn(&Node) -> bool) -> bool {
        let inside = |node: &Node| node.bodies().filter_map(Body::graph).any(|graph| graph.has_node(is_it));
        self.nodes.iter().any(|node| is_it(node) || inside(node))
    }

    /// The outputs of the first graph where a condition holds, and else of the second (`If`). Both have the same inputs, which
    /// are read from these values, and outputs of the same types.
    ///
    /// # Errors
    /// Their outputs are of different types, or do not fit what they are given.
    pub(crate) fn branch(
        &mut self,
        condition: ValueId,
        outer: &[ValueId],
        branches: [Self; 2],
    ) -> Result<Vec<ValueId>, CompilerError> {
        let outputs = branches[0].outputs().len();
        let [then_branch, else_branch] = branches.map(|graph| Attribute::Body(Body::open(graph, outer.len())));
        let inputs: Vec<Option<ValueId>> = std::iter::once(condition).chain(outer.iter().copied()).map(Some).collect();
        self.add_with("If", &inputs, &[("then_branch", then_branch), ("else_branch", else_branch)], outputs)
    }
}
