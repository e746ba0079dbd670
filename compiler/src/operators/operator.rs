use std::ops::RangeInclusive;

use super::{Sample, TypeRuleInput};
use crate::CompilerError;
use crate::backward::{Backward, Expansion};
use crate::graph::{Known, TensorType, ValueId};

/// One operator: a row of a [`OperatorCatalog`](super::OperatorCatalog).
#[derive(Clone, Debug)]
pub struct Operator {
    /// Domain as in ONNX: empty for the standard operators.
    pub domain: &'static str,
    /// Name as in ONNX.
    pub name: &'static str,
    /// Versions of the domain whose definition the rules follow.
    pub opsets: RangeInclusive<i64>,
    /// Inputs that hold trainable weights when they are constants of the model, for example 1 and 2 of `Conv`.
    pub weights: &'static [usize],
    /// States the outputs' types from the inputs'.
    pub types: TypeRule,
    /// The elements of small integer outputs when the inputs' are known, as numbers or as expressions over named lengths:
    /// shape arithmetic that exporters leave in graphs.
    pub fold: Option<FoldRule>,
    /// The gradient.
    pub gradient: Gradient,
    /// Examples that the gradient and shape checks run through ONNX Runtime.
    pub samples: fn() -> Vec<Sample>,
}

impl Operator {
    /// The types of a node's outputs by the rule.
    ///
    /// # Errors
    /// The inputs do not fit, or an output has more elements than any machine holds.
    pub fn output_types(&self, rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
        let types = (self.types)(rule)?;
        match types.iter().find(|known| !known.fits_a_machine()) {
            Some(known) => Err(rule.error(format!("an output {known}, which no machine holds"))),
            None => Ok(types),
        }
    }

    /// How the reverse pass goes through the operator in this version of its domain, or why it cannot.
    pub(crate) fn gradient_in(&self, opset: i64) -> Result<Gradient, String> {
        if !self.opsets.contains(&opset) {
            return Err(format!("the rule covers opsets {} to {}", self.opsets.start(), self.opsets.end()));
        }
        match self.gradient {
            Gradient::Missing => Err("its gradient is not written".into()),
            Gradient::Refused(reason) => Err(reason.into()),
            gradient => Ok(gradient),
        }
    }
}

/// States the types of a node's outputs.
pub type TypeRule = fn(&TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError>;

/// Computes what is known of an output of a node before the run, [`TypeRuleInput::output`]; `None` when this form is not folded.
pub type FoldRule = fn(&TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError>;

/// Adds the nodes that compute the inputs' gradients.
pub type GradientRule = fn(&mut Backward<'_>) -> Result<(), CompilerError>;

/// Adds nodes that compute the same as a node; gives the values that stand for its outputs, in order.
pub type ExpandRule = fn(&mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError>;

/// How the reverse pass goes through an operator.
#[derive(Clone, Copy, Debug)]
pub enum Gradient {
    /// By a rule of its own.
    Defined(GradientRule),
    /// By those of simpler operators: where its gradient is needed the node becomes a subgraph of them in the training
    /// step. The evaluation and the exported model keep the node.
    Expand(ExpandRule),
    /// The derivative is zero everywhere or undefined; the reason.
    Zero(&'static str),
    /// Not known here; training through it is an error.
    Missing,
    /// There is none here for a reason; training through it is an error that says it.
    Refused(&'static str),
}
