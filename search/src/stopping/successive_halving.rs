//! Lets one in some through at each of growing numbers of steps.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::rungs::{Rungs, first_length, validate};
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "successive_halving",
    summary: "Stops at growing numbers of steps all but the best of those that got there.",
    documentation: "As Optuna's `SuccessiveHalvingPruner`: asynchronous successive halving (Li et al., 2018) without pauses. Rung k is \
        at `min_steps`·`reduction_factor`ᵏ steps; a trial that gets there goes on if it is among the best of those that have reached it so \
        far, one in `reduction_factor` and at least the best. Without `min_steps` it is a hundredth of the first complete trial's \
        steps, and nothing is stopped before there is one. Up to `bootstrap_trials` trials are stopped at a rung before any is let \
        through. `asha` pauses what it would stop, and takes it up again when it turns out to be good.",
    samples: &["{}", r#"{"min_steps": 2, "reduction_factor": 3, "bootstrap_trials": 2}"#],
    build: Build::of::<SuccessiveHalving>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SuccessiveHalving {
    /// Steps of the first rung; without it a hundredth of the first complete trial's.
    #[schemars(range(min = 1))]
    min_steps: Option<u64>,
    /// One in so many goes on, so many times as long.
    #[schemars(range(min = 2, max = 1000))]
    reduction_factor: u64,
    /// Trials that are stopped at a rung before any is let through.
    bootstrap_trials: usize,
}

impl Default for SuccessiveHalving {
    fn default() -> Self {
        Self { min_steps: None, reduction_factor: 4, bootstrap_trials: 0 }
    }
}

impl Options for SuccessiveHalving {
    fn validate(&self) -> Result<(), String> {
        validate(self.reduction_factor, self.min_steps, None)
    }
}

impl StoppingFunction for SuccessiveHalving {
    fn decide(&self, course: &Course<'_>) -> Decision {
        let hundredth = || first_length(&course.history).map(|steps| (steps / 100).max(1));
        let Some(first) = self.min_steps.or_else(hundredth) else { return Decision::Continue };
        Rungs { first, factor: self.reduction_factor }.decide(course, self.bootstrap_trials, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assignment, History, Objective, Trial, TrialState};

    fn trial(number: u64, reports: &[(u64, f64)], state: TrialState) -> Trial {
        Trial { state, reports: reports.iter().copied().collect(), ..Trial::waiting(number, Assignment::default()) }
    }

    #[test]
    fn one_in_some_of_those_that_got_there_goes_on() {
        let rule = SuccessiveHalving { min_steps: Some(2), reduction_factor: 2, bootstrap_trials: 0 };
        let others = [
            trial(0, &[(1, 9.0), (2, 4.0), (4, 3.0)], TrialState::Complete),
            trial(1, &[(1, 9.0), (3, 5.0)], TrialState::Stopped),
            trial(2, &[(2, 6.0)], TrialState::Running),
            trial(3, &[(2, f64::NAN)], TrialState::Stopped),
            trial(4, &[(1, 0.0)], TrialState::Running),
        ];
        for (reports, bootstrap, wanted) in [
            (&[(1, 99.0)][..], 0, Decision::Continue),
            // Of four at the first rung, two go on.
            (&[(2, 4.5)], 0, Decision::Continue),
            (&[(2, 5.5)], 0, Decision::Stop),
            (&[(2, f64::NAN)], 0, Decision::Stop),
            (&[(2, 0.0)], 4, Decision::Stop),
            (&[(2, 0.0)], 3, Decision::Continue),
            // Between two rungs nothing happens.
            (&[(2, 4.5), (3, 99.0)], 0, Decision::Continue),
            // Of two at the second, one.
            (&[(2, 4.5), (4, 2.9)], 0, Decision::Continue),
            (&[(2, 4.5), (4, 3.1)], 0, Decision::Stop),
            // Both rungs at once.
            (&[(4, 2.0)], 0, Decision::Continue),
            (&[(5, 3.1)], 0, Decision::Stop),
        ] {
            let rule = SuccessiveHalving { bootstrap_trials: bootstrap, ..rule };
            let own = trial(7, reports, TrialState::Running);
            let history = History { trials: &others, finished: &[], objectives: &[Objective::minimize("loss")] };
            assert_eq!(rule.decide(&Course { history, trial: &own, seed: 0 }), wanted, "{reports:?} {bootstrap}");
        }
    }

    #[test]
    fn the_first_rung_is_a_hundredth_of_the_first_complete_trial() {
        let others =
            [trial(0, &[(2, 1.0), (250, 1.0)], TrialState::Complete), trial(1, &[(900, 1.0)], TrialState::Complete)];
        let decide = |finished: &[u64], step: u64| {
            let own = trial(7, &[(step, 5.0)], TrialState::Running);
            let history = History { trials: &others, finished, objectives: &[Objective::minimize("loss")] };
            SuccessiveHalving::default().decide(&Course { history, trial: &own, seed: 0 })
        };
        assert_eq!([decide(&[], 300), decide(&[0, 1], 1)], [Decision::Continue; 2]);
        assert_eq!(decide(&[0, 1], 2), Decision::Stop);
        assert_eq!(decide(&[1, 0], 2), Decision::Continue);
    }
}
