//! Over the root of the steps.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "inverse_square_root",
    summary: "Linear up to the full rate over the warm-up, then over the root of the steps that are done.",
    documentation: "√(s/(s + t)) at step t (from 0) after the warm-up, where `timescale` is s steps, as transformers' `get_inverse_sqrt_schedule`. \
        With s the length of the warm-up it is that of Vaswani et al., \"Attention Is All You Need\" (2017). It does not depend on \
        how long the run is, where neither length is a share.",
    samples: &["{}", r#"{"warmup": 0.1}"#, r#"{"warmup": "2 steps", "timescale": "1 epoch"}"#],
    build: Build::of::<InverseSquareRoot>(),
};

/// Timescale where there is neither one nor a warm-up, as in transformers.
const USUAL_TIMESCALE: u64 = 10_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct InverseSquareRoot {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// How long it takes from the full rate to 0.71 of it; as long as the warm-up unless said, or 10,000 steps without one.
    timescale: Option<Span>,
}

impl Options for InverseSquareRoot {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        self.timescale.map_or(Ok(()), |timescale| timescale.validate_above_zero("timescale"))
    }
}

impl Course for InverseSquareRoot {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        let behind = match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => return factor,
            Phase::Behind(behind) => behind,
        };
        let timescale = match (self.timescale, self.warmup.whole_steps(run)) {
            (Some(timescale), _) => timescale.whole_steps(run).max(1),
            (None, 0) => USUAL_TIMESCALE,
            (None, warmup) => warmup,
        };
        (timescale as f64 / (timescale as f64 + behind.step as f64)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of transformers' `get_inverse_sqrt_schedule(SGD([p], lr=1), n)` from its step n on, for n of 0 and 3, and for 3
    /// and `timescale=5`; in front of them the warm-up, one step ahead of theirs.
    #[test]
    fn values_are_those_of_transformers() {
        assert_course(
            &InverseSquareRoot::default(),
            8,
            &[
                1.0,
                0.99995000375,
                0.999900014998,
                0.999850033742,
                0.99980005998,
                0.999750093711,
                0.999700134933,
                0.999650183643,
            ],
        );
        let course = InverseSquareRoot { warmup: Span::Steps(3), timescale: None };
        assert_course(
            &course,
            8,
            &[0.333333333333, 0.666666666667, 1.0, 1.0, 0.866025403784, 0.774596669241, 0.5_f64.sqrt(), 0.654653670708],
        );
        let course = InverseSquareRoot { timescale: Some(Span::Steps(5)), ..course };
        assert_course(
            &course,
            8,
            &[0.333333333333, 0.666666666667, 1.0, 1.0, 0.912870929175, 0.845154254729, 0.790569415042, 0.7453559925],
        );
    }
}
