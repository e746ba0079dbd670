//! Stops what leaves its bounds.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::quantiles::at_least_one;
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::{Build, StoppingKind};

pub(super) const RULE: StoppingKind = StoppingKind {
    name: "threshold",
    summary: "Stops a trial whose figure leaves its bounds, or is no number.",
    documentation: "The last report is held against `lower` and `upper`, every `interval_steps` from `warmup_steps` on: for losses \
        that explode, or an accuracy that is still that of guessing after some epochs. It looks at no other trial.",
    samples: &[r#"{"upper": 10}"#, r#"{"lower": 0.2, "upper": 1, "warmup_steps": 3, "interval_steps": 2}"#],
    build: Build::of::<Threshold>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Threshold {
    /// What the figure may not be below.
    lower: Option<f64>,
    /// What the figure may not be above.
    upper: Option<f64>,
    /// Steps before which nothing is stopped.
    warmup_steps: u64,
    /// Steps between two looks.
    #[schemars(range(min = 1))]
    interval_steps: u64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { lower: None, upper: None, warmup_steps: 0, interval_steps: 1 }
    }
}

impl Options for Threshold {
    fn validate(&self) -> Result<(), String> {
        match (self.lower, self.upper) {
            (None, None) => return Err("give `lower`, `upper` or both".into()),
            (Some(lower), Some(upper)) if lower > upper => {
                return Err(format!("lower is at most upper, got {lower} and {upper}"));
            }
            _ => {}
        }
        at_least_one("interval_steps", self.interval_steps)
    }
}

impl StoppingFunction for Threshold {
    fn decide(&self, course: &Course<'_>) -> Decision {
        if !course.is_due(self.warmup_steps, self.interval_steps) {
            return Decision::Continue;
        }
        let value = course.trial.reports.last_key_value().map_or(f64::NAN, |(_, value)| *value);
        let is_within = self.lower.is_none_or(|lower| value >= lower) && self.upper.is_none_or(|upper| value <= upper);
        if is_within && !value.is_nan() { Decision::Continue } else { Decision::Stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assignment, History, Objective, Trial};

    #[test]
    fn bounds_are_those_of_the_figure_whichever_way_is_better() {
        let rule = Threshold { lower: Some(0.2), upper: Some(1.0), warmup_steps: 2, interval_steps: 2 };
        for (reports, wanted) in [
            (&[(1, 0.1)][..], Decision::Continue),
            (&[(2, 0.1)], Decision::Stop),
            (&[(2, 0.2)], Decision::Continue),
            (&[(2, 1.1)], Decision::Stop),
            (&[(2, f64::NAN)], Decision::Stop),
            (&[(2, 0.5), (3, 0.0)], Decision::Continue),
            (&[(2, 0.5), (3, 0.0), (4, 0.0)], Decision::Stop),
        ] {
            for objective in [Objective::minimize("x"), Objective::maximize("x")] {
                let trial =
                    Trial { reports: reports.iter().copied().collect(), ..Trial::waiting(0, Assignment::default()) };
                let history = History { trials: &[], finished: &[], objectives: &[objective] };
                assert_eq!(rule.decide(&Course { history, trial: &trial, seed: 0 }), wanted, "{reports:?}");
            }
        }
    }
}
