//! Stops what is worse than half of the trials before.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::quantiles::Quantile;
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "median",
    summary: "Stops a trial whose best is worse than the median of complete trials at that step.",
    documentation: "As Optuna's `MedianPruner`, and as `percentile` with 50: a simple rule that rarely stops what would have been \
        the best.",
    samples: &["{}", r#"{"startup_trials": 3, "warmup_steps": 2, "interval_steps": 5, "least_trials": 4}"#],
    build: Build::of::<Median>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Median {
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

impl Default for Median {
    fn default() -> Self {
        Self { startup_trials: 5, warmup_steps: 0, interval_steps: 1, least_trials: 1 }
    }
}

impl Median {
    fn quantile(&self) -> Quantile {
        let Self { startup_trials, warmup_steps, interval_steps, least_trials } = *self;
        Quantile { percent: 50.0, startup_trials, warmup_steps, interval_steps, least_trials }
    }
}

impl Options for Median {
    fn validate(&self) -> Result<(), String> {
        self.quantile().validate()
    }
}

impl StoppingFunction for Median {
    fn decide(&self, course: &Course<'_>) -> Decision {
        self.quantile().decide(course)
    }
}
