use std::collections::BTreeMap;
use std::fmt;

use crate::CompilerError;
use crate::finetuning::head::{Head, head_behind};
use crate::graph::{Graph, ValueId};
use crate::losses::PredictionKind;
use crate::operators::OperatorCatalog;

/// A head: how the layer that makes a model's answer is found, or put on the model.
pub trait HeadFunction: fmt::Debug + Send + Sync {
    /// Finds the model's own head, or puts a new one on the model and makes what it gives the output.
    ///
    /// # Errors
    /// The model has nothing that the head is for, or its options do not fit it.
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError>;

    /// Whether the model's own head stays as it is: then the data must have as many classes as it has outputs, and nothing new
    /// has to be trained.
    fn keeps(&self) -> bool {
        false
    }
}

/// A model that gets its head.
#[derive(Debug)]
pub struct HeadModel<'a> {
    /// Its graph; constants and nodes are added.
    pub graph: &'a mut Graph,
    /// The output of the model that is trained.
    pub output: ValueId,
    /// What the loss reads.
    pub reads: PredictionKind,
    /// How many scores a new head has for a row, token or pixel; where numbers are predicted, how many there are in a row.
    pub classes: usize,
    /// Inputs that are known to hold 1 for what is a row's and 0 for padding, by their names.
    pub masks: &'a [String],
    /// Lengths that all batches give named axes of the inputs, by these names: height and width of pictures of one size.
    pub lengths: &'a BTreeMap<String, usize>,
    /// Seed of new weights; each is drawn by its name as well.
    pub seed: u64,
    /// The operators that are known.
    pub operators: &'a OperatorCatalog,
    /// What is worth knowing, in words.
    pub notes: &'a mut Vec<String>,
}

impl HeadModel<'_> {
    /// The model's own last linear layer: walks back over what makes probabilities of its scores, shape operators and means.
    ///
    /// # Errors
    /// No linear layer leads to the output.
    pub fn own_head(&self) -> Result<Head, CompilerError> {
        head_behind(self.graph, self.output, self.reads)
    }
}

/// Where a head is.
#[derive(Clone, Debug)]
pub struct PlacedHead {
    /// Its layer, where there is one that can be told from the rest.
    pub head: Option<Head>,
    /// The value that the loss is computed from.
    pub prediction: ValueId,
}

impl From<Head> for PlacedHead {
    fn from(head: Head) -> Self {
        Self { prediction: head.logits, head: Some(head) }
    }
}
