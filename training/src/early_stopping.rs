use serde::Serialize;

use crate::evaluation_record::EvaluationRecord;
use crate::metrics::FigureKind;

/// Ends a run that gets no better: a pure function of its evaluations, so that a resumed run ends where it would have ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EarlyStopping {
    /// Evaluations in a row without a gain after which the run ends, at least 1.
    pub patience: u64,
    /// How much better the figure that decides must be than the best before to be a gain; 0 for anything.
    pub least_gain: f64,
}

impl EarlyStopping {
    /// How many evaluations in a row, up to the last, were without a gain.
    pub(crate) fn waited(&self, evaluations: &[EvaluationRecord], decides: &FigureKind) -> u64 {
        let (mut best, mut waited) = (None, 0);
        for record in evaluations {
            let figure = record.figures.figure(&decides.name).filter(|figure| figure.is_finite());
            let bar = best.map(|best| decides.better_by(best, self.least_gain));
            if figure.is_some() && decides.is_better(figure, bar) {
                (best, waited) = (figure, 0);
            } else {
                waited += 1;
            }
        }
        waited
    }

    pub(crate) fn is_over(&self, evaluations: &[EvaluationRecord], decides: &FigureKind) -> bool {
        self.waited(evaluations, decides) >= self.patience
    }
}
