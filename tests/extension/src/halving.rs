//! A schedule.

use millstream::schemas::choice::Options;
use millstream::training::schedules::{self, Course, RunLength, ScheduleKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const HALVING: ScheduleKind = ScheduleKind {
    name: "halving",
    summary: "Half the rate after half of the steps.",
    documentation: "1 in the first half of the steps, ½ in the second.",
    samples: &["{}"],
    build: schedules::Build::of::<Halving>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Halving {}

impl Options for Halving {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Course for Halving {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        if 2 * step < run.steps { 1.0 } else { 0.5 }
    }
}
