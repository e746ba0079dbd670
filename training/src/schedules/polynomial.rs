//! A power of the share of steps that is left.

use millstream_schemas::choice::{Options, above, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "polynomial",
    summary: "Linear up to the full rate over the warm-up, then down towards `end` as a power of what is left.",
    documentation: "`end` + (1 − `end`)·(1 − t/T)^`power` at step t (from 0) of the T steps after the warm-up, as PyTorch's `PolynomialLR` for \
        `end` 0, and transformers' `get_polynomial_decay_schedule_with_warmup`. With power 1 it is `linear`.",
    samples: &["{}", r#"{"power": 2, "warmup": 0.06}"#, r#"{"power": 0.9, "end": 0.1, "warmup": "2 steps"}"#],
    build: Build::of::<Polynomial>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Polynomial {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// Exponent of the share of steps that is left, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    power: f64,
    /// Share of the full rate that it runs down to, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    end: f64,
}

impl Default for Polynomial {
    fn default() -> Self {
        Self { warmup: Span::default(), power: 1.0, end: 0.0 }
    }
}

impl Options for Polynomial {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        above("power", self.power)?;
        between("end", self.end, 0.0, 1.0)
    }
}

impl Course for Polynomial {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(behind) => self.end + (1.0 - self.end) * (1.0 - behind.progress()).powf(self.power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of `PolynomialLR(SGD([p], lr=1), total_iters=8, power=0.9)`, and of
    /// `get_polynomial_decay_schedule_with_warmup(SGD([p], lr=1), 2, 8, lr_end=0.1, power=2)` from its step 2 on.
    #[test]
    fn values_are_those_of_pytorch_and_transformers() {
        let course = Polynomial { power: 0.9, ..Polynomial::default() };
        assert_course(
            &course,
            8,
            &[
                1.0,
                0.886762354257,
                0.771889506724,
                0.655076493418,
                0.535886731268,
                0.413645344658,
                0.287174588749,
                0.153893051668,
            ],
        );
        let course = Polynomial { warmup: Span::Share(0.25), power: 2.0, end: 0.1 };
        assert_course(&course, 8, &[0.5, 1.0, 1.0, 0.725, 0.5, 0.325, 0.2, 0.125]);
    }
}
