//! Up to the full rate and far below its beginning.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "one_cycle",
    summary: "From a small share up to the full rate, then down to next to nothing.",
    documentation: "Smith and Topin, \"Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates\" (2018), as \
        PyTorch's `OneCycleLR` in two phases: from `start` to 1 over the warm-up, then to `end` at the last step, each along half a \
        cosine or a line. PyTorch's `div_factor` is 1/`start`, its `final_div_factor` `start`/`end`, its `pct_start` the warm-up. \
        Momentum does not cycle.",
    samples: &[
        "{}",
        r#"{"annealing": "linear", "warmup": 0.5, "start": 0.1, "end": 0}"#,
        r#"{"warmup": "1 step"}"#,
        r#"{"warmup": 1}"#,
    ],
    build: Build::of::<OneCycle>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OneCycle {
    /// How long the rate rises from `start` to the full one.
    warmup: Span,
    /// Share of the full rate at the first step, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    start: f64,
    /// Share of the full rate at the last step, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    end: f64,
    /// The line that it follows.
    annealing: Annealing,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Annealing {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
}

impl Annealing {
    fn between(self, start: f64, end: f64, progress: f64) -> f64 {
        match self {
            Self::Cosine => end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Self::Linear => start + (end - start) * progress,
        }
    }
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { warmup: Span::Share(0.3), start: 0.04, end: 4e-6, annealing: Annealing::Cosine }
    }
}

impl Options for OneCycle {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        between("start", self.start, 0.0, 1.0)?;
        between("end", self.end, 0.0, 1.0)
    }
}

impl Course for OneCycle {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        let (step, last) = (step as f64, (run.steps - 1) as f64);
        // The step of the full rate, which may lie between two.
        let peak = (self.warmup.in_steps(run) - 1.0).max(0.0);
        if step > peak {
            self.annealing.between(1.0, self.end, (step - peak) / (last - peak))
        } else if peak > 0.0 {
            self.annealing.between(self.start, 1.0, step / peak)
        } else {
            1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of `OneCycleLR(SGD([p], lr=1), max_lr=1, total_steps=12, cycle_momentum=False)`, and with
    /// `pct_start=0.5, anneal_strategy="linear", div_factor=10, final_div_factor=20`.
    #[test]
    fn values_are_those_of_pytorch() {
        assert_course(
            &OneCycle::default(),
            12,
            &[
                0.04,
                0.34978965422,
                0.879285159122,
                0.994415435451,
                0.933012969841,
                0.81174565395,
                0.647378997695,
                0.462637102667,
                0.283060998209,
                0.133477530189,
                0.0345669874254,
                4e-06,
            ],
        );
        let course = OneCycle { warmup: Span::Share(0.5), start: 0.1, end: 0.005, annealing: Annealing::Linear };
        assert_course(
            &course,
            12,
            &[
                0.1,
                0.28,
                0.46,
                0.64,
                0.82,
                1.0,
                0.834166666667,
                0.668333333333,
                0.5025,
                0.336666666667,
                0.170833333333,
                0.005,
            ],
        );
    }

    #[test]
    fn a_cycle_without_a_rise_begins_at_the_full_rate() {
        let course =
            OneCycle { warmup: Span::default(), end: 0.0, annealing: Annealing::Linear, ..OneCycle::default() };
        assert_course(&course, 5, &[1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_course(&course, 1, &[1.0]);
    }
}
