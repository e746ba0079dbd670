use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, Node, TensorType, ValueId};

/// The gradients of a graph's values, where the loss depends on them: of what is given the gradients of some values, and asked
/// for those of others. For operators that run graphs of their own.
pub(crate) type InnerGradients<'a> =
    &'a dyn Fn(&mut Graph, &[(ValueId, ValueId)], &[ValueId]) -> Result<Vec<Option<ValueId>>, CompilerError>;

/// What a gradient rule sees and does: reads a node and the gradients of its outputs, adds nodes, gives the gradients
/// of its inputs.
///
/// A rule may give a gradient of the broadcast shape: the reverse pass sums it back to the input's shape.
pub struct Backward<'a> {
    /// The graph that grows.
    pub graph: &'a mut Graph,
    /// The node to go back through.
    pub node: Node,
    pub(crate) output_gradients: Vec<Option<ValueId>>,
    pub(crate) wanted: Vec<bool>,
    pub(crate) given: Vec<Option<ValueId>>,
    pub(crate) inner: InnerGradients<'a>,
}

impl Backward<'_> {
    /// The gradient of the first output.
    pub fn dy(&self) -> Result<ValueId, CompilerError> {
        self.output_gradient(0).ok_or_else(|| self.error("its first output has no gradient"))
    }

    /// The gradient of an output; none where the loss does not depend on it.
    pub fn output_gradient(&self, index: usize) -> Option<ValueId> {
        self.output_gradients.get(index).copied().flatten()
    }

    /// A required input.
    pub fn input(&self, index: usize) -> Result<ValueId, CompilerError> {
        self.node.input(index).ok_or_else(|| self.error(format!("input {index} is missing")))
    }

    /// An output of the node.
    pub fn output(&self, index: usize) -> Result<ValueId, CompilerError> {
        self.node.outputs.get(index).copied().flatten().ok_or_else(|| self.error(format!("output {index} is missing")))
    }

    /// Whether the gradient of this input is needed; a rule should not compute others.
    pub fn wants(&self, index: usize) -> bool {
        self.wanted.get(index).copied().unwrap_or(false)
    }

    /// The type of an input.
    pub fn input_type(&self, index: usize) -> Result<TensorType, CompilerError> {
        self.graph.known_type(self.input(index)?).cloned()
    }

    /// The shape of an input.
    pub fn input_shape(&self, index: usize) -> Result<Vec<Length>, CompilerError> {
        Ok(self.input_type(index)?.shape)
    }

    /// The shape of an output.
    pub fn output_shape(&self, index: usize) -> Result<Vec<Length>, CompilerError> {
        Ok(self.graph.shape(self.output(index)?)?.to_vec())
    }

    /// The integers that an input always holds.
    pub fn known_integers(&self, index: usize) -> Result<Vec<i64>, CompilerError> {
        let constant = self.graph.constant_of(self.input(index)?);
        constant.and_then(Constant::to_i64).ok_or_else(|| {
            self.error(format!("input {index} is computed from data; its gradient needs it to be constant"))
        })
    }

    /// Refuses a rule that left a wanted gradient out: the step would train by half a gradient.
    pub(crate) fn gives_all_wanted(&self) -> Result<(), CompilerError> {
        match (0..self.given.len()).find(|index| self.wanted[*index] && self.given[*index].is_none()) {
            Some(index) => Err(self.no_gradient(format!("the one of input {index} is not written"))),
            None => Ok(()),
        }
    }

    /// Refuses a gradient that would need a list of so many numbers written into the graph.
    pub fn require_writable(&self, count: usize) -> Result<(), CompilerError> {
        const MOST_WRITTEN: usize = 1 << 26;
        if count <= MOST_WRITTEN {
            Ok(())
        } else {
            Err(self.no_gradient(format!("it takes a list of {count} numbers")))
        }
    }

    /// Hands over the gradient of an input.
    pub fn give(&mut self, index: usize, gradient: ValueId) -> Result<(), CompilerError> {
        if index >= self.given.len() {
            return Err(self.error(format!("gradient given for input {index}, which does not exist")));
        }
        self.given[index] = Some(gradient);
        Ok(())
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
