//! A rule that ends trials.

use millstream::schemas::choice::Options;
use millstream::search::Decision;
use millstream::search::stopping::{self, Course, StoppingFunction, StoppingKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const SHORT_TRIALS: StoppingKind = StoppingKind {
    name: "short_trials",
    summary: "Every trial ends after so many steps.",
    documentation: "Whatever it reported.",
    samples: &[r#"{"steps": 2}"#],
    build: stopping::Build::of::<ShortTrials>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShortTrials {
    steps: u64,
}

impl Options for ShortTrials {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl StoppingFunction for ShortTrials {
    fn decide(&self, course: &Course<'_>) -> Decision {
        let last = course.trial.reports.last_key_value().map_or(0, |(step, _)| *step);
        if last >= self.steps { Decision::Stop } else { Decision::Continue }
    }
}
