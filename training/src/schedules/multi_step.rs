//! Down by a factor at some places.

use millstream_schemas::choice::{Options, above, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "multi_step",
    summary: "Linear up to the full rate over the warm-up, then down by the factor `gamma` at each of `milestones`.",
    documentation: "`gamma`^n where n `milestones` are behind, as PyTorch's `MultiStepLR`. Milestones are counted from the beginning of the run, \
        the warm-up included.",
    samples: &[
        "{}",
        r#"{"milestones": ["1 epoch", 0.75], "gamma": 0.5}"#,
        r#"{"milestones": ["4 steps"], "warmup": 0.1}"#,
    ],
    build: Build::of::<MultiStep>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MultiStep {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// Where the rate falls, one or more, in any order.
    #[schemars(length(min = 1))]
    milestones: Vec<Span>,
    /// The factor, above 0 and at most 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    gamma: f64,
}

impl Default for MultiStep {
    fn default() -> Self {
        Self { warmup: Span::default(), milestones: vec![Span::Share(0.5), Span::Share(0.75)], gamma: 0.1 }
    }
}

impl Options for MultiStep {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        if self.milestones.is_empty() {
            return Err("milestones has one or more, got none".into());
        }
        self.milestones.iter().try_for_each(|milestone| milestone.validate("milestones"))?;
        above("gamma", self.gamma)?;
        between("gamma", self.gamma, 0.0, 1.0)
    }
}

impl Course for MultiStep {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        if let Phase::WarmUp(factor) = Phase::of(self.warmup, step, run) {
            return factor;
        }
        let falls = self.milestones.iter().filter(|milestone| step >= milestone.whole_steps(run)).count();
        self.gamma.powf(falls as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of `MultiStepLR(SGD([p], lr=1), milestones=[5, 8], gamma=0.5)`.
    #[test]
    fn values_are_those_of_pytorch() {
        let wanted = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25];
        for milestones in [
            [Span::Steps(5), Span::Steps(8)],
            [Span::Epochs(1.6), Span::Epochs(1.0)],
            [Span::Share(0.5), Span::Share(0.8)],
        ] {
            let course = MultiStep { milestones: milestones.to_vec(), gamma: 0.5, ..MultiStep::default() };
            assert_course(&course, 10, &wanted);
            let warmed = MultiStep { warmup: Span::Steps(4), ..course };
            assert_course(&warmed, 10, &[&[0.25, 0.5, 0.75], &wanted[3..]].concat());
        }
    }
}
