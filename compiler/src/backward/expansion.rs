use crate::CompilerError;
use crate::graph::{Graph, Node, TensorType, ValueId};

/// What an expand rule sees and does: reads a node, adds simpler ones that compute the same.
pub struct Expansion<'a> {
    /// The graph that grows.
    pub graph: &'a mut Graph,
    /// The node whose place the added ones take.
    pub node: Node,
    /// Where the added ones are an attention, what it computes on its way.
    pub(crate) attention: Option<AttentionParts>,
}

/// Values of an attention that a rule has written out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionParts {
    /// Queries that no scale has multiplied, `[batch, heads, queries, size]`.
    pub(crate) queries: ValueId,
    /// What the softmax over the last axis reads, `[batch, heads, queries, keys]`; sinks are keys behind those of the row.
    pub(crate) scores: ValueId,
    /// What the heads give, `[batch, heads, queries, size of a value]`.
    pub(crate) mixed: ValueId,
}

impl<'a> Expansion<'a> {
    /// The expansion of a node, before its rule has run. `graph` has what the node reads, and grows by what the rule adds.
    pub fn new(graph: &'a mut Graph, node: Node) -> Self {
        Self { graph, node, attention: None }
    }

    /// A required input.
    pub fn input(&self, index: usize) -> Result<ValueId, CompilerError> {
        self.node.input(index).ok_or_else(|| self.error(format!("input {index} is missing")))
    }

    /// The type of a required input.
    pub fn input_type(&self, index: usize) -> Result<TensorType, CompilerError> {
        self.graph.known_type(self.input(index)?).cloned()
    }

    /// An error that names the node.
    pub fn error(&self, message: impl Into<String>) -> CompilerError {
        CompilerError::Node {
            node: self.graph.label(&self.node),
            operator: self.node.operator.clone(),
            message: message.into(),
        }
    }

    /// An error that says that this form of the operator has no gradient here.
    pub fn no_gradient(&self, reason: impl Into<String>) -> CompilerError {
        CompilerError::MissingGradient {
            operator: self.node.qualified_operator(),
            opset: self.graph.opset_of(&self.node.domain),
            node: self.graph.label(&self.node),
            reason: reason.into(),
            path: String::new(), // the reverse pass fills it in
            trainable: None,
        }
    }
}
