//! Half a cosine down, again and again.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "cosine_restarts",
    summary: "Half a cosine down to `end`, again and again, each time from the full rate.",
    documentation: "Loshchilov and Hutter, \"SGDR: Stochastic Gradient Descent with Warm Restarts\" (2017), as PyTorch's \
        `CosineAnnealingWarmRestarts` computes it at each step: `end` + ½·(1 − `end`)·(1 + cos(π·t/T)) at step t (from 0) of a \
        cycle of T steps. The first cycle, behind the warm-up, is `period` long, each later one `growth` times as long as the one \
        before it. A run that ends within a cycle ends above `end`.",
    samples: &["{}", r#"{"period": "3 steps", "growth": 2, "end": 0.1}"#, r#"{"period": 0.3, "warmup": 0.1}"#],
    build: Build::of::<CosineRestarts>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CosineRestarts {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// Length of the first cycle.
    period: Span,
    /// How many times as long as the one before it a cycle is, 1 or more.
    #[schemars(range(min = 1))]
    growth: u32,
    /// Share of the full rate that a cycle runs down to, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    end: f64,
}

impl Default for CosineRestarts {
    fn default() -> Self {
        Self { warmup: Span::default(), period: Span::Share(0.25), growth: 1, end: 0.0 }
    }
}

impl Options for CosineRestarts {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        self.period.validate_above_zero("period")?;
        if self.growth == 0 {
            return Err("growth is 1 or more, got 0".into());
        }
        between("end", self.end, 0.0, 1.0)
    }
}

impl Course for CosineRestarts {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        let behind = match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => return factor,
            Phase::Behind(behind) => behind,
        };
        let (mut step, mut cycle) = (behind.step, self.period.whole_steps(run).max(1));
        if self.growth == 1 {
            step %= cycle;
        }
        while step >= cycle {
            step -= cycle;
            cycle = cycle.saturating_mul(self.growth.into());
        }
        let progress = step as f64 / cycle as f64;
        self.end + (1.0 - self.end) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of `CosineAnnealingWarmRestarts(SGD([p], lr=1), T_0=3, T_mult=2, eta_min=0.1)` and of the same with `T_mult=1`.
    #[test]
    fn values_are_those_of_pytorch() {
        let course = CosineRestarts { period: Span::Steps(3), growth: 2, end: 0.1, ..CosineRestarts::default() };
        assert_course(
            &course,
            20,
            &[
                1.0,
                0.775,
                0.325,
                1.0,
                0.939711431703,
                0.775,
                0.55,
                0.325,
                0.160288568297,
                1.0,
                0.98466662183,
                0.939711431703,
            ],
        );
        assert_course(&CosineRestarts { growth: 1, ..course }, 20, &[1.0, 0.775, 0.325, 1.0, 0.775, 0.325, 1.0, 0.775]);
    }

    #[test]
    fn the_first_cycle_begins_behind_the_warm_up() {
        let course =
            CosineRestarts { warmup: Span::Epochs(0.5), period: Span::Share(0.25), ..CosineRestarts::default() };
        assert_course(&course, 8, &[0.5, 1.0, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5]);
    }
}
