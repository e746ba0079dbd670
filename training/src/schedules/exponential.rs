//! The same factor again and again.

use millstream_schemas::choice::{Options, above, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "exponential",
    summary: "Linear up to the full rate over the warm-up, then by the factor `gamma` down in each `every`.",
    documentation: "`gamma`^(t/e) at step t (from 0) after the warm-up, where `every` is e steps. PyTorch's `ExponentialLR`, stepped once an \
        epoch, is that with `staircase`, which rounds t/e down: the rate then changes once in `every`.",
    samples: &["{}", r#"{"gamma": 0.5, "every": "2 steps", "staircase": true}"#, r#"{"every": 0.1, "warmup": 0.1}"#],
    build: Build::of::<Exponential>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Exponential {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// The factor, above 0 and at most 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    gamma: f64,
    /// How long it takes to fall by the factor.
    every: Span,
    /// Fall at once at the end of each `every`, instead of at each step.
    staircase: bool,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { warmup: Span::default(), gamma: 0.9, every: Span::Epochs(1.0), staircase: false }
    }
}

impl Options for Exponential {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        above("gamma", self.gamma)?;
        between("gamma", self.gamma, 0.0, 1.0)?;
        self.every.validate_above_zero("every")
    }
}

impl Course for Exponential {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(behind) if self.staircase => {
                let falls = behind.step / self.every.whole_steps(run).max(1);
                self.gamma.powf(falls as f64)
            }
            Phase::Behind(behind) => self.gamma.powf(behind.step as f64 / self.every.in_steps(run)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of `ExponentialLR(SGD([p], lr=1), gamma=0.8)` at each step, and stepped every third step.
    #[test]
    fn values_are_those_of_pytorch() {
        let course = Exponential { gamma: 0.8, every: Span::Steps(1), ..Exponential::default() };
        assert_course(&course, 6, &[1.0, 0.8, 0.64, 0.512, 0.4096, 0.32768]);
        let epochs = Exponential { every: Span::Epochs(1.0), staircase: true, ..course };
        assert_course(&epochs, 6, &[1.0, 1.0, 1.0, 0.8, 0.8, 0.8]);
    }

    #[test]
    fn without_stairs_it_falls_all_the_time_and_by_the_factor_in_all() {
        let course = Exponential { gamma: 0.25, every: Span::Epochs(1.0), ..Exponential::default() };
        assert_course(&course, 8, &[1.0, 0.5_f64.sqrt(), 0.5, 0.5_f64.powf(1.5), 0.25]);
        let warmed = Exponential { warmup: Span::Steps(2), ..course };
        assert_course(&warmed, 8, &[0.5, 1.0, 1.0, 0.5_f64.sqrt(), 0.5]);
    }
}
