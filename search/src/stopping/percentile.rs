//! Stops what is worse than a share of the trials before.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::quantiles::Quantile;
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "percentile",
    summary: "Stops a trial whose best is not among the best `percentile` percent of complete trials at that step.",
    documentation: "As Optuna's `PercentilePruner`: the best of the trial's reports is held against the percentile of what complete \
        trials reported at the same step, on a straight line between neighbours. Nothing is stopped before `startup_trials` are \
        complete, before `warmup_steps`, or where fewer than `least_trials` reported that step; it looks every `interval_steps`. A \
        trial whose reports are all no numbers is stopped.",
    samples: &[
        "{}",
        r#"{"percentile": 10, "startup_trials": 3, "warmup_steps": 2, "interval_steps": 5, "least_trials": 4}"#,
    ],
    build: Build::of::<Percentile>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Percentile {
    /// Percent of the trials that are worth going on with, 0 to 100.
    #[schemars(range(min = 0, max = 100))]
    percentile: f64,
    /// Complete trials before which nothing is stopped.
    startup_trials: usize,
    /// Steps before which nothing is stopped.
    warmup_steps: u64,
    /// Steps between two looks.
    #[schemars(range(min = 1))]
    interval_steps: u64,
    /// Complete trials that must have reported the step.
    #[schemars(range(min = 1))]
    least_trials: usize,
}

impl Default for Percentile {
    fn default() -> Self {
        Self { percentile: 25.0, startup_trials: 5, warmup_steps: 0, interval_steps: 1, least_trials: 1 }
    }
}

impl Percentile {
    fn quantile(&self) -> Quantile {
        let Self { percentile: percent, startup_trials, warmup_steps, interval_steps, least_trials } = *self;
        Quantile { percent, startup_trials, warmup_steps, interval_steps, least_trials }
    }
}

impl Options for Percentile {
    fn validate(&self) -> Result<(), String> {
        self.quantile().validate()
    }
}

impl StoppingFunction for Percentile {
    fn decide(&self, course: &Course<'_>) -> Decision {
        self.quantile().decide(course)
    }
}
