use crate::record::History;

/// When in a run something was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At a step, from 1; 0 is before the first one.
    Step(u64),
    /// In the evaluation after so many steps; 0 is the one before the first step.
    Evaluation(u64),
    /// When an epoch was over, evaluated, after so many steps.
    EpochEnd(u64),
    /// When the run ended.
    End,
}

/// How far a run was when the checkpoint was saved that it goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPlace {
    /// Steps done.
    pub steps: u64,
    /// Whether the evaluation after the last of them is done, and comes no more.
    pub evaluated: bool,
    /// Whether an epoch ended with the last of them and is on record.
    pub epoch_ended: bool,
}

impl RunPlace {
    /// Where a run of this history goes on; `None` where it begins.
    pub fn of(history: &History) -> Option<Self> {
        let steps = history.steps;
        let epoch_ended = !history.epochs.is_empty() && history.under_way.steps == 0;
        let evaluated = history.evaluations.last().is_some_and(|record| record.step == steps);
        (steps > 0).then_some(Self { steps, evaluated, epoch_ended })
    }

    /// Whether what was written down at a moment is of the run that goes on, and does not come again.
    pub fn includes(&self, moment: Moment) -> bool {
        match moment {
            Moment::Step(step) => step <= self.steps,
            Moment::Evaluation(step) => step < self.steps || step == self.steps && self.evaluated,
            Moment::EpochEnd(step) => step < self.steps || step == self.steps && self.epoch_ended,
            Moment::End => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch_evaluation::EpochEvaluation;
    use crate::evaluation_record::EvaluationRecord;
    use crate::metrics::Figures;

    #[test]
    fn what_comes_again_is_not_included() {
        for (evaluated, epoch_ended, moment, wanted) in [
            (false, false, Moment::Step(0), true),
            (false, false, Moment::Step(9), true),
            (false, false, Moment::Step(10), false),
            (false, false, Moment::Evaluation(0), true),
            (false, false, Moment::Evaluation(8), true),
            (false, false, Moment::Evaluation(9), false),
            (true, false, Moment::Evaluation(9), true),
            (true, false, Moment::EpochEnd(8), true),
            (true, false, Moment::EpochEnd(9), false),
            (true, true, Moment::EpochEnd(9), true),
            (true, true, Moment::Evaluation(10), false),
            (true, true, Moment::End, false),
        ] {
            let place = RunPlace { steps: 9, evaluated, epoch_ended };
            assert_eq!(place.includes(moment), wanted, "{moment:?}, {place:?}");
        }
    }

    #[test]
    fn a_history_says_whether_its_last_evaluation_is_done() {
        let place = |evaluated, epoch_ended| RunPlace { steps: 3, evaluated, epoch_ended };
        let mut history = History::default();
        assert_eq!(RunPlace::of(&history), None);
        history.steps = 3;
        history.under_way.steps = 3;
        assert_eq!(RunPlace::of(&history), Some(place(false, false)));
        history.epochs.push(crate::record::EpochRecord::default());
        assert_eq!(RunPlace::of(&history), Some(place(false, false)));
        let evaluated = |step| EvaluationRecord {
            step,
            epoch: 0,
            passes: 1.0,
            ends_epoch: true,
            figures: EpochEvaluation { rows: 8, not_finite: 0, loss: 0.5, figures: Figures::default() },
            others: Vec::new(),
            statistics_rows: None,
        };
        history.evaluations.push(evaluated(2));
        assert_eq!(RunPlace::of(&history), Some(place(false, false)));
        history.evaluations.push(evaluated(3));
        assert_eq!(RunPlace::of(&history), Some(place(true, false)));
        history.under_way.steps = 0;
        assert_eq!(RunPlace::of(&history), Some(place(true, true)));
    }
}
