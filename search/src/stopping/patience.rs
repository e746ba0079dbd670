//! Stops what no longer gets better.

use millstream_schemas::choice::{Options, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "patience",
    summary: "Stops a trial that has not become better for more than `patience` reports.",
    documentation: "A report is a gain where it is better than the best before it by more than `min_gain`. After more than \
        `patience` reports in a row without one the trial is stopped; what is no number is no gain. It looks at no other trial.",
    samples: &["{}", r#"{"patience": 0}"#, r#"{"patience": 5, "min_gain": 0.001}"#],
    build: Build::of::<Patience>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Patience {
    /// Reports in a row without a gain that are waited for.
    patience: usize,
    /// How much better than the best before a report must be to be a gain.
    #[schemars(range(min = 0))]
    min_gain: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { patience: 3, min_gain: 0.0 }
    }
}

impl Options for Patience {
    fn validate(&self) -> Result<(), String> {
        at_least("min_gain", self.min_gain)
    }
}

impl StoppingFunction for Patience {
    fn decide(&self, course: &Course<'_>) -> Decision {
        let (mut best, mut waited) = (f64::INFINITY, 0);
        for loss in course.losses() {
            // A first number is a gain over nothing.
            if loss < best - self.min_gain {
                (best, waited) = (loss, 0);
            } else {
                waited += 1;
            }
        }
        if waited > self.patience { Decision::Stop } else { Decision::Continue }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assignment, History, Objective, Trial};

    #[test]
    fn reports_without_a_gain_are_counted() {
        let patience = |patience: usize, min_gain: f64| Patience { patience, min_gain };
        for (rule, reports, wanted) in [
            (patience(2, 0.0), &[3.0, 3.0, 3.0][..], Decision::Continue),
            (patience(2, 0.0), &[3.0, 3.0, 3.0, 3.0], Decision::Stop),
            (patience(2, 0.0), &[3.0, 3.0, 3.0, 2.9, 3.0], Decision::Continue),
            (patience(1, 0.5), &[3.0, 2.8, 2.6], Decision::Stop),
            (patience(1, 0.5), &[3.0, 2.8, 2.4], Decision::Continue),
            (patience(0, 0.0), &[1.0], Decision::Continue),
            (patience(0, 0.0), &[f64::NAN], Decision::Stop),
            (patience(1, 0.0), &[f64::NAN, 1.0, f64::NAN], Decision::Continue),
        ] {
            let reports = reports.iter().enumerate().map(|(at, value)| (at as u64, *value)).collect();
            let trial = Trial { reports, ..Trial::waiting(0, Assignment::default()) };
            let history = History { trials: &[], finished: &[], objectives: &[Objective::minimize("loss")] };
            assert_eq!(
                rule.decide(&Course { history, trial: &trial, seed: 0 }),
                wanted,
                "{rule:?} {:?}",
                trial.reports
            );
        }
    }
}
