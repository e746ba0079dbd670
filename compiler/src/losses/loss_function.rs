use std::fmt;

use serde::{Deserialize, Serialize};

use super::box_places::SIDES;
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};

/// What a loss reads the model's output as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionKind {
    /// Scores of classes before any softmax, `[batch, classes, …]`.
    ClassScores,
    /// Numbers that are compared with numbers, `[batch, …]`.
    Numbers,
    /// Scores of labels that may hold together, before any sigmoid, `[batch, labels, …]`.
    LabelScores,
    /// Scores of symbols at each place of a sequence, before any softmax, `[batch, sequence, symbols]`.
    SequenceScores,
    /// Vectors that are compared with each other, `[batch, …, features]`.
    Embeddings,
    /// What lies at each place of a map: scores of classes before any sigmoid, and logarithms of the distances to the four sides of its
    /// box, `[batch, classes + 4, height, width]`.
    Boxes,
}

impl PredictionKind {
    /// Operators that a model ends in where it makes probabilities of such scores: a loss reads what they read. None where
    /// what the model gives is read as it is.
    pub fn links(self) -> &'static [&'static str] {
        match self {
            Self::ClassScores | Self::SequenceScores => &["LogSoftmax", "Softmax"],
            Self::LabelScores => &["Sigmoid"],
            Self::Numbers | Self::Embeddings | Self::Boxes => &[],
        }
    }

    /// Whether there are as many of them as the data has classes or numbers in a row.
    pub fn are_counted(self) -> bool {
        matches!(self, Self::ClassScores | Self::Numbers | Self::LabelScores)
    }

    /// How many outputs a new head has for so many classes, labels or numbers; none where the data do not say it.
    pub fn outputs(self, count: usize) -> Option<usize> {
        match self {
            Self::ClassScores | Self::Numbers | Self::LabelScores => Some(count),
            Self::Boxes => Some(count + SIDES),
            Self::SequenceScores | Self::Embeddings => None,
        }
    }
}

/// A loss as graph nodes: a mean over the rows of a batch, each by its weight.
pub trait LossFunction: fmt::Debug + Send + Sync {
    /// What the model's output is read as.
    fn reads(&self) -> PredictionKind;

    /// The type of the targets that it needs for a prediction of this type.
    ///
    /// # Errors
    /// It cannot be computed from such a prediction.
    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError>;

    /// Whether the weight of each row is an input of its own, float32 `[batch]`. A loss that has none takes it from the
    /// targets: a row of them sums to its weight.
    fn takes_weights(&self) -> bool;

    /// The class that does not count, for a loss whose targets are numbers of classes: a row without weight has it everywhere.
    fn ignored_class(&self) -> Option<i64> {
        None
    }

    /// Whether it looks no further along the second axis of the prediction, that of a sequence, than each row goes. Then how many places
    /// of it are a row's is an input of its own, int64 `[batch]`.
    fn takes_lengths(&self) -> bool {
        false
    }

    /// Version of the standard operators that a graph of the loss alone is written in: 17 unless it needs a newer one.
    fn least_opset(&self) -> i64 {
        17
    }

    /// Adds its nodes.
    ///
    /// # Errors
    /// An operator that it uses is missing in the graph's table.
    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError>;

    /// Adds the nodes of the loss of each row, where it is a mean over rows, or over places of rows, that are not compared with each
    /// other: what [`LossFunction::nodes`] gives for a batch of that row alone. They stand in the graph of an evaluation, beside those
    /// of the loss. None, as by default, lets rows be computed one at a time, and held against the loss of their batch.
    ///
    /// # Errors
    /// An operator that it uses is missing in the graph's table.
    fn row_nodes(&self, _: &mut Graph, _: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        Ok(None)
    }

    /// Adds the nodes of its gradient by the prediction, where it states that itself; otherwise, as by default, it follows
    /// from its nodes.
    ///
    /// # Errors
    /// An operator that it uses is missing in the graph's table.
    fn gradient(&self, _: &mut Graph, _: &LossInputs) -> Result<Option<ValueId>, CompilerError> {
        Ok(None)
    }
}

/// What a loss is computed from.
#[derive(Clone, Copy, Debug)]
pub struct LossInputs {
    /// The model's output.
    pub prediction: ValueId,
    /// Targets, of the type that [`LossFunction::target`] states.
    pub targets: ValueId,
    /// Weight of each row, float32 `[batch]`, for a loss that takes it.
    pub weights: Option<ValueId>,
    /// How many places of the prediction's second axis are each row's, int64 `[batch]`, for a loss that takes them.
    pub lengths: Option<ValueId>,
}

impl LossInputs {
    /// The weights, for a loss that takes them.
    ///
    /// # Errors
    /// The loss was given none.
    pub fn weights(&self) -> Result<ValueId, CompilerError> {
        self.weights.ok_or_else(|| CompilerError::setting("training.loss", "the loss was given no weights of rows"))
    }

    /// The lengths, for a loss that takes them.
    ///
    /// # Errors
    /// The loss was given none.
    pub fn lengths(&self) -> Result<ValueId, CompilerError> {
        self.lengths.ok_or_else(|| CompilerError::setting("training.loss", "the loss was given no lengths of rows"))
    }
}

/// What a loss has added.
#[derive(Clone, Copy, Debug)]
pub struct LossNodes {
    /// The mean, float32 `[]`; 0 for a batch in which no row has weight.
    pub loss: ValueId,
    /// What the mean is over, float32 `[]`, where that is not the sum of the rows' weights: of rows with many targets, how
    /// many of them count. A mean over several batches weighs each by this.
    pub weight: Option<ValueId>,
}

/// The losses of the rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RowLossNodes {
    /// Of each row what the loss is for a batch of that row alone, float32 `[batch]`; 0 for a row that has no weight.
    pub loss: ValueId,
    /// What counts of each row, float32 `[batch]`, where [`LossNodes::weight`] is given and is not the sum of the rows' weights.
    pub weight: Option<ValueId>,
}
