use serde::{Deserialize, Serialize};

use crate::metrics::{Evaluation, FigureKind, Figures};
use crate::number_or_null;

/// The figures of an [`Evaluation`], without what grows with the number of classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochEvaluation {
    /// Rows with a target.
    pub rows: u64,
    /// Of these, rows with a score that is infinite or not a number.
    pub not_finite: u64,
    /// Mean loss.
    #[serde(with = "number_or_null")]
    pub loss: f64,
    /// What the metrics found; in JSON beside the loss.
    #[serde(flatten)]
    pub figures: Figures,
}

impl EpochEvaluation {
    /// The figure of this name, the loss among them.
    pub fn figure(&self, name: &str) -> Option<f64> {
        if name == FigureKind::LOSS { Some(self.loss) } else { self.figures.get(name) }
    }
}

impl From<&Evaluation> for EpochEvaluation {
    fn from(evaluation: &Evaluation) -> Self {
        let Evaluation { rows, not_finite, loss, .. } = *evaluation;
        Self { rows, not_finite, loss, figures: evaluation.figures.clone() }
    }
}
