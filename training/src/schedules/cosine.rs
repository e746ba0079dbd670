//! Half a cosine down to zero.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "cosine",
    summary: "Linear up to the full rate over the warm-up, then half a cosine down towards zero.",
    documentation: "Loshchilov and Hutter, \"SGDR: Stochastic Gradient Descent with Warm Restarts\" (2017), without restarts: \
        ½·(1 + cos(π·t/T)) at step t (from 0) of the T steps after the warm-up.",
    samples: &["{}", r#"{"warmup": 0.1}"#, r#"{"warmup": 1}"#, r#"{"warmup": "0.5 epochs"}"#],
    build: Build::of::<Cosine>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Cosine {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
}

impl Options for Cosine {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")
    }
}

impl Course for Cosine {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(behind) => 0.5 * (1.0 + (std::f64::consts::PI * behind.progress()).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cosine, Course, Span};
    use crate::schedules::course_tests::two_epochs;

    #[test]
    fn values_are_those_of_the_formula() {
        let rows = [
            (0.0, 0, 100, 1.0),
            (0.0, 50, 100, 0.5),
            (0.0, 99, 100, 0.5 * (1.0 + (std::f64::consts::PI * 0.99).cos())),
            (f64::from(0.1_f32), 0, 100, 0.1),
            (0.001, 0, 1000, 1.0),
            (0.001, 0, 1500, 0.5),
            (0.001, 2, 1500, 1.0),
            (0.1, 9, 100, 1.0),
            (0.1, 10, 100, 1.0),
            (0.1, 55, 100, 0.5),
            (1.0, 9, 10, 1.0),
        ];
        for (warmup, step, total, wanted) in rows {
            let got = Cosine { warmup: Span::Share(warmup) }.factor(step, two_epochs(total));
            assert!((got - wanted).abs() < 1e-12, "warm-up {warmup}, step {step} of {total}: {got}, wanted {wanted}");
        }
    }
}
