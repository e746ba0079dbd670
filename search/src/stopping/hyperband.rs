//! Successive halving in several strictnesses at once.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::rungs::{Rungs, first_length, validate};
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};
use crate::Random;

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "hyperband",
    summary: "Successive halving in several brackets, of which each gives trials longer before it looks.",
    documentation: "As Optuna's `HyperbandPruner` (Li et al., 2017): there are ⌊log(`max_steps`/`min_steps`)⌋ + 1 brackets to the base \
        `reduction_factor`; bracket b is a `successive_halving` among its own trials whose first rung is at `min_steps`·`reduction_factor`ᵇ \
        steps. Which bracket a trial is in is drawn by the seed and its number, in proportion to ⌈B·ηˢ/(s+1)⌉ for B brackets and s = \
        B − 1 − b. Without `max_steps` it is that of the first complete trial, and nothing is stopped before there is one.",
    samples: &["{}", r#"{"min_steps": 2, "max_steps": 54, "reduction_factor": 3}"#],
    build: Build::of::<Hyperband>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Hyperband {
    /// Steps of the strictest bracket's first rung.
    #[schemars(range(min = 1))]
    min_steps: u64,
    /// Steps of a whole trial; without it those of the first complete one.
    #[schemars(range(min = 1))]
    max_steps: Option<u64>,
    /// One in so many goes on, so many times as long.
    #[schemars(range(min = 2, max = 1000))]
    reduction_factor: u64,
}

impl Default for Hyperband {
    fn default() -> Self {
        Self { min_steps: 1, max_steps: None, reduction_factor: 3 }
    }
}

impl Options for Hyperband {
    fn validate(&self) -> Result<(), String> {
        validate(self.reduction_factor, Some(self.min_steps), self.max_steps)
    }
}

impl Hyperband {
    /// How many trials each bracket gets, in proportion.
    fn shares(&self, max_steps: u64) -> Vec<f64> {
        let rungs = Rungs { first: self.min_steps, factor: self.reduction_factor };
        let brackets = rungs.at(max_steps).unwrap_or(0) + 1;
        let share = |bracket: u32| {
            let behind = brackets - 1 - bracket;
            (f64::from(brackets) * self.reduction_factor.saturating_pow(behind) as f64 / f64::from(behind + 1)).ceil()
        };
        (0..brackets).map(share).collect()
    }
}

impl StoppingFunction for Hyperband {
    fn decide(&self, course: &Course<'_>) -> Decision {
        let Some(max_steps) = self.max_steps.or_else(|| first_length(&course.history)) else {
            return Decision::Continue;
        };
        let shares = self.shares(max_steps);
        let bracket = |number: u64| Random::of(course.seed, number, "hyperband").weighted(&shares);
        let own = bracket(course.trial.number);
        let first = Rungs { first: self.min_steps, factor: self.reduction_factor }.steps(own as u32);
        let rungs = Rungs { first, factor: self.reduction_factor };
        rungs.decide(course, 0, |trial| bracket(trial.number) == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assignment, History, Objective, Trial, TrialState};

    #[test]
    fn brackets_are_those_of_the_paper() {
        let rule = Hyperband { min_steps: 1, max_steps: Some(81), reduction_factor: 3 };
        assert_eq!(rule.shares(81), [81.0, 34.0, 15.0, 8.0, 5.0]);
        assert_eq!(rule.shares(80).len(), 4);
        assert_eq!(Hyperband { min_steps: 9, ..rule }.shares(5), [1.0]);
    }

    #[test]
    fn trials_compete_within_their_bracket() {
        let rule = Hyperband { min_steps: 1, max_steps: Some(9), reduction_factor: 3 };
        let others: Vec<Trial> = (0..300)
            .map(|number| Trial {
                state: TrialState::Stopped,
                reports: (1..=9).map(|step| (step, 0.0)).collect(),
                ..Trial::waiting(number, Assignment::default())
            })
            .collect();
        // A bad trial is stopped at the first rung of its bracket; how many are in which follows the shares.
        let mut stopped_at = [0; 10];
        for number in 300..900 {
            let stops = (1..=9).find(|step| {
                let reports = (1..=*step).map(|step| (step, 1.0)).collect();
                let trial = Trial { reports, ..Trial::waiting(number, Assignment::default()) };
                let history = History { trials: &others, finished: &[], objectives: &[Objective::minimize("loss")] };
                rule.decide(&Course { history, trial: &trial, seed: 3 }) == Decision::Stop
            });
            stopped_at[stops.unwrap() as usize] += 1;
        }
        let shares = rule.shares(9);
        let sum: f64 = shares.iter().sum();
        for (step, share) in [1, 3, 9].into_iter().zip(shares) {
            let wanted = 600.0 * share / sum;
            assert!((f64::from(stopped_at[step]) - wanted).abs() < 60.0, "{stopped_at:?}, wanted {wanted} at {step}");
        }
        assert_eq!(stopped_at.iter().sum::<i32>(), stopped_at[1] + stopped_at[3] + stopped_at[9]);
    }
}
