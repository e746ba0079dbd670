//! Down by a factor in equal steps.

use millstream_schemas::choice::{Options, above, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "step",
    summary: "Linear up to the full rate over the warm-up, then down by the factor `gamma` at the end of each `every`.",
    documentation: "`gamma`^⌊t/e⌋ at step t (from 0) after the warm-up, where `every` is e steps, as PyTorch's `StepLR`. `multi_step` falls at \
        places of its own.",
    samples: &["{}", r#"{"every": "2 steps", "gamma": 0.5}"#, r#"{"every": "0.5 epochs", "warmup": 0.1}"#],
    build: Build::of::<Step>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// How long the rate stays the same.
    every: Span,
    /// The factor, above 0 and at most 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    gamma: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self { warmup: Span::default(), every: Span::Share(0.3), gamma: 0.1 }
    }
}

impl Options for Step {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        self.every.validate_above_zero("every")?;
        above("gamma", self.gamma)?;
        between("gamma", self.gamma, 0.0, 1.0)
    }
}

impl Course for Step {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(behind) => {
                let falls = behind.step / self.every.whole_steps(run).max(1);
                self.gamma.powf(falls as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of `StepLR(SGD([p], lr=1), step_size=3, gamma=0.5)`.
    #[test]
    fn values_are_those_of_pytorch() {
        let wanted = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125];
        let course = Step { every: Span::Steps(3), gamma: 0.5, ..Step::default() };
        assert_course(&course, 10, &wanted);
        assert_course(&Step { every: Span::Share(0.3), ..course }, 10, &wanted);
        assert_course(&Step { every: Span::Epochs(0.6), ..course }, 10, &wanted);
        let warmed = Step { warmup: Span::Steps(2), ..course };
        assert_course(&warmed, 10, &[&[0.5, 1.0], &wanted[..8]].concat());
    }
}
