use crate::graph::{Graph, ValueId};

/// A weight as one node reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The constant.
    pub value: ValueId,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Index of the node that reads it.
    pub node: usize,
    /// Which of the node's inputs it is.
    pub input: usize,
}

impl Weight {
    /// A constant that a method has added, as the first node reads it, and the operator of that node; empty where none does.
    pub(super) fn added(graph: &Graph, value: ValueId, shape: Vec<usize>) -> (Self, String) {
        let reader = graph.first_reader(value);
        let operator = reader.map_or_else(String::new, |(at, _)| graph.nodes()[at].operator.clone());
        let (node, input) = reader.unwrap_or_default();
        (Self { value, shape, node, input }, operator)
    }
}
