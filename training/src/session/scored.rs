use super::row_weights::RowWeights;
use crate::RowLoss;

/// What a model gives for a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Length of each axis, rows first, empty slots of the batch included.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// A prediction and how far it is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// What the model gave.
    pub prediction: Prediction,
    /// The loss: a mean over the rows that have weight.
    pub loss: f32,
    /// What the loss is a mean over: a mean over several batches weighs each by this.
    pub weight: f64,
    /// Of each row; 0 for one that is left out.
    pub weights: RowWeights,
    /// How many places of the prediction's second axis are each row's, where the loss looks no further.
    pub lengths: Option<Vec<usize>>,
    /// The loss of each row that has weight, by itself; none where that was not asked for, or where the loss is no mean of such.
    pub row_losses: Option<Vec<RowLoss>>,
}
