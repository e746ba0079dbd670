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
    /// Whether a run ends that has waited so long.
    pub(crate) fn is_over(&self, wait: &Wait) -> bool {
        wait.evaluations >= self.patience
    }
}

/// How long a run has waited for a gain, followed evaluation by evaluation: the rule is asked at every step, and a run may have
/// many evaluations. No checkpoint holds it, since it follows from the history.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Wait {
    /// The figure of the last gain.
    best: Option<f64>,
    /// Evaluations in a row, up to the last, that were without a gain.
    evaluations: u64,
}

impl Wait {
    /// After these evaluations.
    pub(crate) fn after(rule: &EarlyStopping, evaluations: &[EvaluationRecord], decides: &FigureKind) -> Self {
        let mut wait = Self::default();
        for record in evaluations {
            wait.add(rule, record.figures.figure(&decides.name), decides);
        }
        wait
    }

    /// Takes in the figure that decides of the next evaluation. What is no number is no gain.
    pub(crate) fn add(&mut self, rule: &EarlyStopping, figure: Option<f64>, decides: &FigureKind) {
        let figure = figure.filter(|figure| figure.is_finite());
        let bar = self.best.map(|best| decides.better_by(best, rule.least_gain));
        if figure.is_some() && decides.is_better(figure, bar) {
            *self = Self { best: figure, evaluations: 0 };
        } else {
            self.evaluations += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Better, Unit};

    fn kind(better: Better) -> FigureKind {
        FigureKind { name: "figure".into(), better, unit: Unit::Number, of_constant_answer: false }
    }

    #[test]
    fn a_gain_is_larger_than_the_least_one_and_what_is_no_number_is_none() {
        let rule = EarlyStopping { patience: 2, least_gain: 0.1 };
        for (better, figures, waited) in [
            (Better::Higher, [None, Some(0.5), Some(0.55), Some(0.7), Some(f64::NAN), None], [1, 0, 1, 0, 1, 2]),
            (
                Better::Lower,
                [Some(f64::INFINITY), Some(1.0), Some(0.95), Some(0.8), Some(0.9), None],
                [1, 0, 1, 0, 1, 2],
            ),
        ] {
            let mut wait = Wait::default();
            for (figure, wanted) in figures.iter().zip(waited) {
                wait.add(&rule, *figure, &kind(better));
                assert_eq!((wait.evaluations, rule.is_over(&wait)), (wanted, wanted >= 2), "{better:?}, {figure:?}");
            }
        }
    }

    /// Reading all of them each time would take hours.
    #[test]
    fn a_run_of_very_many_evaluations_is_asked_at_each_of_them() {
        let (rule, decides) = (EarlyStopping { patience: 1_000_000, least_gain: 0.0 }, kind(Better::Higher));
        let mut wait = Wait::default();
        for step in 0..1_000_000_u64 {
            wait.add(&rule, Some(1.0 / (1 + step) as f64), &decides);
            assert!(!rule.is_over(&wait), "step {step}");
        }
        wait.add(&rule, Some(0.0), &decides);
        assert!(rule.is_over(&wait));
    }
}
