//! Down by a factor whenever evaluations get no better.

use millstream_schemas::choice::{Options, above, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plateau::Plateau;
use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "reduce_on_plateau",
    summary: "Linear up to the full rate over the warm-up, then down by a factor whenever evaluations get no better.",
    documentation: "As PyTorch's `ReduceLROnPlateau`: the figure that `training.best` names is looked at after each evaluation. It is a gain \
        where it is better than the best before by more than `threshold`, which is a share of that best or, with `threshold_mode: \
        absolute`, a distance. After more than `patience` evaluations in a row without a gain the rate is multiplied by `factor`, not \
        below `min_learning_rate`; the `cooldown` evaluations behind that do not count. PyTorch's own patience is 10. What it \
        remembers is in the checkpoints. It needs `data.evaluate`.",
    samples: &[
        "{}",
        r#"{"factor": 0.5, "patience": 1, "cooldown": 1, "min_learning_rate": 1e-6}"#,
        r#"{"threshold": 0.01, "threshold_mode": "absolute", "warmup": "10 steps"}"#,
    ],
    build: Build::of::<ReduceOnPlateau>(),
};

/// What a threshold is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ThresholdMode {
    /// A share of the best before.
    #[default]
    Relative,
    /// A distance from the best before.
    Absolute,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ReduceOnPlateau {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// What the rate is multiplied by, above 0 and below 1.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    factor: f64,
    /// Evaluations in a row without a gain that are waited for.
    patience: u64,
    /// How much better than the best before an evaluation must be to be a gain.
    #[schemars(range(min = 0))]
    threshold: f64,
    /// Whether the threshold is a share of the best before or a distance from it.
    threshold_mode: ThresholdMode,
    /// Evaluations behind a reduction that do not count.
    cooldown: u64,
    /// The learning rate that no reduction leads below.
    #[schemars(range(min = 0))]
    min_learning_rate: f64,
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        Self {
            warmup: Span::default(),
            factor: 0.1,
            patience: 2,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::default(),
            cooldown: 0,
            min_learning_rate: 0.0,
        }
    }
}

impl Options for ReduceOnPlateau {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        above("factor", self.factor)?;
        if self.factor >= 1.0 {
            return Err(format!("factor is below 1, got {}", self.factor));
        }
        at_least("threshold", self.threshold)?;
        at_least("min_learning_rate", self.min_learning_rate)
    }
}

impl Course for ReduceOnPlateau {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => factor,
            Phase::Behind(_) => 1.0,
        }
    }

    fn plateau(&self) -> Option<Plateau> {
        let Self { factor, patience, threshold, threshold_mode, cooldown, min_learning_rate, .. } = *self;
        let is_relative = threshold_mode == ThresholdMode::Relative;
        Some(Plateau { factor, patience, threshold, is_relative, cooldown, min_learning_rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    #[test]
    fn the_rate_is_the_full_one_behind_the_warmup_until_evaluations_say_otherwise() {
        let course = ReduceOnPlateau { warmup: Span::Steps(2), ..ReduceOnPlateau::default() };
        assert_course(&course, 4, &[0.5, 1.0, 1.0, 1.0]);
        let plateau = course.plateau().unwrap();
        assert_eq!((plateau.factor, plateau.patience, plateau.is_relative), (0.1, 2, true));
    }
}
