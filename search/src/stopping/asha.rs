//! Pauses at growing numbers of steps all but the best, and takes up again what turns out to be good.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::rungs::{Rungs, validate};
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};
use crate::{History, Trial, TrialState};

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "asha",
    summary: "Pauses at growing numbers of steps all but the best, and takes up again what turns out to be good.",
    documentation: "Asynchronous successive halving as Li et al. (2018) describe it, with promotions. Rung k is at \
        `min_steps`·`reduction_factor`ᵏ steps, below `max_steps` where that is given. A trial that gets there goes on if it is among the \
        best ⌊n/`reduction_factor`⌋ of the n that have reached the rung so far; otherwise it is paused with its checkpoint. Whoever asks \
        for work first gets a paused trial that has come to be among them meanwhile, of the highest rung the best, and only then a new \
        one. It needs runs that can be gone on with exactly.",
    samples: &["{}", r#"{"min_steps": 2, "max_steps": 50, "reduction_factor": 3}"#],
    build: Build::of::<Asha>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Asha {
    /// Steps of the first rung.
    #[schemars(range(min = 1))]
    min_steps: u64,
    /// Steps at and behind which there is no rung; without it rungs go on as long as trials do.
    #[schemars(range(min = 1))]
    max_steps: Option<u64>,
    /// One in so many goes on, so many times as long.
    #[schemars(range(min = 2, max = 1000))]
    reduction_factor: u64,
}

impl Default for Asha {
    fn default() -> Self {
        Self { min_steps: 1, max_steps: None, reduction_factor: 4 }
    }
}

impl Options for Asha {
    fn validate(&self) -> Result<(), String> {
        validate(self.reduction_factor, Some(self.min_steps), self.max_steps)
    }
}

impl Asha {
    fn rungs(&self) -> Rungs {
        Rungs { first: self.min_steps, factor: self.reduction_factor }
    }

    fn is_rung(&self, rung: u32) -> bool {
        self.max_steps.is_none_or(|most| self.rungs().steps(rung) < most)
    }

    /// How many of so many go on from a rung.
    fn through(&self, count: usize) -> usize {
        count / self.reduction_factor as usize
    }
}

impl StoppingFunction for Asha {
    fn decide(&self, course: &Course<'_>) -> Decision {
        let Some(rung) = self.rungs().reached(course).rev().find(|rung| self.is_rung(*rung)) else {
            return Decision::Continue;
        };
        let own = course.loss();
        if own.is_nan() {
            return Decision::Stop;
        }
        let others: Vec<f64> =
            course.others().filter_map(|trial| self.rungs().loss(&course.history, trial, rung)).collect();
        let better = others.iter().filter(|loss| **loss <= own).count();
        if better < self.through(others.len() + 1) { Decision::Continue } else { Decision::Pause }
    }

    fn promoted(&self, history: &History<'_>) -> Option<u64> {
        let rungs = self.rungs();
        let highest_of = |trial: &Trial| trial.last_step().and_then(|step| rungs.at(step));
        let highest = history.trials.iter().filter_map(highest_of).max()?;
        (0..=highest).rev().find_map(|rung| {
            let with_loss = |trial: &'_ Trial| rungs.loss(history, trial, rung);
            let mut reached: Vec<(f64, &Trial)> =
                history.trials.iter().filter_map(|trial| Some((with_loss(trial)?, trial))).collect();
            reached.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.number.cmp(&b.1.number)));
            let is_paused_here = |trial: &Trial| trial.state == TrialState::Paused && highest_of(trial) == Some(rung);
            let best = &reached[..self.through(reached.len())];
            best.iter().find(|(_, trial)| is_paused_here(trial)).map(|(_, trial)| trial.number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assignment, Objective};

    fn trial(number: u64, reports: &[(u64, f64)], state: TrialState) -> Trial {
        Trial { state, reports: reports.iter().copied().collect(), ..Trial::waiting(number, Assignment::default()) }
    }

    fn history(trials: &[Trial]) -> History<'_> {
        static LOSS: std::sync::LazyLock<[Objective; 1]> = std::sync::LazyLock::new(|| [Objective::minimize("loss")]);
        History { trials, finished: &[], objectives: &*LOSS }
    }

    #[test]
    fn who_is_not_yet_among_the_best_is_paused_and_promoted_when_it_is() {
        let rule = Asha { min_steps: 1, max_steps: Some(9), reduction_factor: 3 };
        let mut trials = Vec::new();
        for (number, loss) in [5.0, 3.0, 4.0, 2.0, 1.0].into_iter().enumerate() {
            let own = trial(number as u64, &[(1, loss)], TrialState::Running);
            let decision = rule.decide(&Course { history: history(&trials), trial: &own, seed: 0 });
            // The best of three or more goes on; the first two find nobody to be better than.
            let wanted = if number >= 3 { Decision::Continue } else { Decision::Pause };
            assert_eq!(decision, wanted, "{number}");
            trials.push(Trial {
                state: if wanted == Decision::Pause { TrialState::Paused } else { TrialState::Running },
                ..own
            });
            let promoted = rule.promoted(&history(&trials));
            assert_eq!(promoted, if number == 2 { Some(1) } else { None }, "after {number}");
        }
        // Six have reached the first rung: two of them go on, which both do already.
        trials.push(trial(5, &[(1, 9.0)], TrialState::Paused));
        assert_eq!(rule.promoted(&history(&trials)), None);
        // Higher rungs come first.
        for (number, loss) in [(3, 2.5), (4, 1.5), (1, 2.0)] {
            trials[number].reports.insert(3, loss);
            trials[number].state = TrialState::Paused;
        }
        assert_eq!(rule.promoted(&history(&trials)), Some(4));
        trials[4].state = TrialState::Running;
        trials.extend([6, 7, 8].map(|number| trial(number, &[(1, 0.5 + number as f64 / 100.0)], TrialState::Paused)));
        assert_eq!(rule.promoted(&history(&trials)), Some(6));
    }

    #[test]
    fn there_is_no_rung_at_the_end_and_what_is_no_number_is_stopped() {
        let rule = Asha { min_steps: 3, max_steps: Some(9), reduction_factor: 3 };
        for (reports, wanted) in [
            (&[(2, 1.0)][..], Decision::Continue),
            (&[(3, 1.0)], Decision::Pause),
            (&[(3, f64::NAN)], Decision::Stop),
            (&[(3, 1.0), (8, 1.0)], Decision::Continue),
            (&[(3, 1.0), (9, 1.0)], Decision::Continue),
            (&[(3, 1.0), (8, f64::NAN)], Decision::Continue),
        ] {
            let own = trial(0, reports, TrialState::Running);
            assert_eq!(rule.decide(&Course { history: history(&[]), trial: &own, seed: 0 }), wanted, "{reports:?}");
        }
    }
}
