//! The same rate at every step.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "constant",
    summary: "The same at every step, after a linear warm-up if one is asked for.",
    documentation: "The factor is t/w at step t (from 1) of the w steps of the warm-up, and 1 from there to the last step.",
    samples: &["{}", r#"{"warmup": "3 steps"}"#],
    build: Build::of::<Constant>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Constant {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
}

impl Options for Constant {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")
    }
}

impl Course for Constant {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// The warm-up is that of transformers' `get_constant_schedule_with_warmup`, one step ahead.
    #[test]
    fn values_are_those_of_the_formula() {
        assert_course(&Constant::default(), 4, &[1.0, 1.0, 1.0, 1.0]);
        assert_course(&Constant { warmup: Span::Steps(2) }, 4, &[0.5, 1.0, 1.0, 1.0]);
        assert_course(&Constant { warmup: Span::Steps(8) }, 4, &[0.125, 0.25, 0.375, 0.5]);
        // Tests have two epochs.
        assert_course(&Constant { warmup: Span::Epochs(1.0) }, 8, &[0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }
}
