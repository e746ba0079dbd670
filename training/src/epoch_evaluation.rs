use serde::{Deserialize, Serialize};

use crate::metrics::Evaluation;
use crate::number_or_null;

/// The figures of an [`Evaluation`], without what grows with the number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochEvaluation {
    /// Rows with a label.
    pub rows: u64,
    /// Of these, rows with a score that is infinite or not a number.
    pub not_finite: u64,
    /// Mean cross-entropy.
    #[serde(with = "number_or_null")]
    pub loss: f64,
    /// Share of rows whose highest score is their class's.
    pub accuracy: f64,
    /// Share of rows whose class is among the five highest scores; none with five classes or fewer.
    pub top_5: Option<f64>,
}

impl From<&Evaluation> for EpochEvaluation {
    fn from(evaluation: &Evaluation) -> Self {
        let Evaluation { rows, not_finite, loss, accuracy, top_5, .. } = *evaluation;
        Self { rows, not_finite, loss, accuracy, top_5 }
    }
}
