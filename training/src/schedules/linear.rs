//! A straight line down to zero.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "linear",
    summary: "Linear up to the full rate over the warm-up, then linear down towards `end`.",
    documentation: "1 − (1 − `end`)·t/T at step t (from 0) of the T steps after the warm-up, as transformers' \
        `get_linear_schedule_with_warmup` for `end` 0.",
    samples: &["{}", r#"{"warmup": 0.06}"#, r#"{"end": 0.1, "warmup": "2 steps"}"#],
    build: Build::of::<Linear>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Linear {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// Share of the full rate that the line runs down to, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    end: f64,
}

impl Options for Linear {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        between("end", self.end, 0.0, 1.0)
    }
}

impl Course for Linear {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(behind) => 1.0 - (1.0 - self.end) * behind.progress(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Course, Linear, Span};
    use crate::schedules::course_tests::two_epochs;

    #[test]
    fn values_are_those_of_the_formula() {
        for (warmup, end, step, total, wanted) in [
            (0.0, 0.0, 0, 4, 1.0),
            (0.0, 0.0, 1, 4, 0.75),
            (0.0, 0.0, 3, 4, 0.25),
            (0.0, 0.5, 2, 4, 0.75),
            (0.5, 0.0, 0, 4, 0.5),
            (0.5, 0.0, 1, 4, 1.0),
            (0.5, 0.0, 2, 4, 1.0),
            (0.5, 0.0, 3, 4, 0.5),
        ] {
            let got = Linear { warmup: Span::Share(warmup), end }.factor(step, two_epochs(total));
            assert!((got - wanted).abs() < 1e-12, "warm-up {warmup}, end {end}, step {step} of {total}: {got}");
        }
    }
}
