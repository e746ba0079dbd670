use std::fmt;
use std::sync::Arc;

use millstream_schemas::{count, shown};

use super::adapter_form::AdapterForm;
use crate::CompilerError;
use crate::finetuning::{Head, Layer};
use crate::graph::{Constant, Graph, ValueId};
use crate::operators::OperatorCatalog;

/// A method: a rewrite of a model's graph that adds weights.
pub trait MethodFunction: fmt::Debug + Send + Sync {
    /// Adds its weights, and nodes that read them, to the model.
    ///
    /// # Errors
    /// The model has no layer that the method is for, or its options do not fit one.
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError>;

    /// A text whose tokens its weights begin as: whoever has the model's tokenizer says which they are
    /// ([`MethodModel::tokens`]).
    fn text(&self) -> Option<&str> {
        None
    }
}

/// A model that a method is added to.
#[derive(Debug)]
pub struct MethodModel<'a> {
    /// Its graph; constants and nodes are added, and what reads a value may read another afterwards.
    pub graph: &'a mut Graph,
    /// The model before any method. What a node of it makes is called the same in the graph, with all that was added to it.
    pub base: &'a Graph,
    /// The layers of the model itself that lead to the prediction, from the input to the output. Indices of nodes are those
    /// before any method.
    pub layers: &'a [Layer],
    /// The last linear layer, where there is one.
    pub head: Option<&'a Head>,
    /// The value that the loss is computed from, where there is one.
    pub prediction: Option<ValueId>,
    /// The operators that are known.
    pub operators: &'a OperatorCatalog,
    /// The tokens of the method's text; nothing where it has none, or none that anybody knows.
    pub tokens: Option<&'a [i64]>,
    /// Seed of new weights; each is drawn by its name as well.
    pub seed: u64,
}

/// What a method has added.
#[derive(Clone, Debug, Default)]
pub struct Added {
    /// What is trained, as layers of their own; weights of the model itself may be among it.
    pub layers: Vec<Layer>,
    /// How the model computes the same without what was added; nothing where it cannot. What a later method adds lies within
    /// what an earlier one has added, so that it is merged first.
    pub merged: Option<Vec<MergedWeight>>,
    /// Where it stays beside the model: what of it is a constant in the merged model.
    pub folded: Vec<FoldedValue>,
    /// Why it cannot be merged, where [`Added::stays_beside`] said so.
    pub unmerged: Option<String>,
    /// Names of the model's layers that it was added to.
    pub adapted: Vec<String>,
    /// Results of the `Dropout` nodes that it has added, which drop in training.
    pub dropped: Vec<ValueId>,
    /// Whether what it computes holds only where no other method goes to the same layers: where it reads the weight itself, for
    /// example.
    pub is_alone: bool,
    /// Whether it leaves what the layers themselves make as it is, and so goes together with any other method.
    pub is_apart: bool,
    /// Weights of the model itself that were given the numbers that a file holds whole, whether it can be merged or not.
    pub replaced: Vec<ValueId>,
    /// Parameters that a file holds whole, and that the model has no place for.
    pub whole_left_out: Vec<String>,
    /// What files of adapters hold of it.
    pub file: AdapterForm,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

impl Added {
    /// It cannot be merged, for a reason that is told: `because` is a sentence without its end.
    pub fn stays_beside(&mut self, because: &str, method: &str) {
        let reason = format!("{because}, so what `{method}` adds stays beside the model when it is exported");
        self.notes.push(reason.clone());
        (self.merged, self.unmerged) = (None, Some(reason));
    }

    /// It cannot be merged where it lies beside quantized weights: these layers.
    pub(super) fn stays_beside_quantized(&mut self, layers: &[String], method: &str) {
        let Some(first) = layers.first() else { return };
        let of = count(layers.len() as u64, "layer");
        let because = format!("the weights of {of}, `{}` first, are quantized and stay as they are", shown(first));
        self.stays_beside(&because, method);
    }
}

/// Trained weights to what nodes compute of them.
pub type FoldRule = Arc<dyn Fn(&[&Constant]) -> Constant + Send + Sync>;

/// A value that a node with one result computes, in the end of trained weights alone.
#[derive(Clone)]
pub struct FoldedValue {
    /// The value.
    pub value: ValueId,
    /// What it is computed of.
    pub trained: Vec<ValueId>,
    /// What was trained, in this order, to the value.
    pub rule: FoldRule,
}

impl fmt::Debug for FoldedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoldedValue")
            .field("value", &self.value)
            .field("trained", &self.trained)
            .finish_non_exhaustive()
    }
}

/// What a weight of the model becomes of itself and of trained weights beside it.
pub type MergeRule = Arc<dyn Fn(&Constant, &[&Constant]) -> Constant + Send + Sync>;

/// A weight of the model into which trained ones are written.
#[derive(Clone)]
pub struct MergedWeight {
    /// The weight.
    pub weight: ValueId,
    /// What was trained beside it.
    pub trained: Vec<ValueId>,
    /// The weight, and what was trained in this order, to what takes the weight's place, of the same type.
    pub rule: MergeRule,
}

impl fmt::Debug for MergedWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedWeight")
            .field("weight", &self.weight)
            .field("trained", &self.trained)
            .finish_non_exhaustive()
    }
}
