//! Up, on, and down at the end.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_length::RunLength;
use super::schedule_kind::{Build, Course, ScheduleKind};
use super::span::Span;
use super::warmup::Phase;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "warmup_stable_decay",
    summary: "Linear up to the full rate over the warm-up, the same until the decay, then down towards `end`.",
    documentation: "Hu et al., \"MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies\" (2024), as \
        transformers' `get_wsd_schedule`. The last `decay` of the run, or what the warm-up leaves of it, goes down along a line, \
        half a cosine, or 1 − √ (Hägele et al., \"Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations\", \
        2024) of the share of it that is done.",
    samples: &[
        "{}",
        r#"{"warmup": "1 step", "decay": 0.5, "shape": "linear", "end": 0.1}"#,
        r#"{"decay": "1 epoch", "shape": "one_minus_square_root"}"#,
        r#"{"warmup": 0.7, "decay": 0.7}"#,
    ],
    build: Build::of::<WarmupStableDecay>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WarmupStableDecay {
    /// How long the rate rises from zero to the full one.
    warmup: Span,
    /// How long before the run's end the rate begins to fall.
    decay: Span,
    /// The line along which it falls.
    shape: Decay,
    /// Share of the full rate that it falls to, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    end: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decay {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
    /// 1 − √.
    OneMinusSquareRoot,
}

impl Default for WarmupStableDecay {
    fn default() -> Self {
        Self { warmup: Span::Share(0.05), decay: Span::Share(0.2), shape: Decay::Cosine, end: 0.0 }
    }
}

impl Options for WarmupStableDecay {
    fn validate(&self) -> Result<(), String> {
        self.warmup.validate("warmup")?;
        self.decay.validate("decay")?;
        between("end", self.end, 0.0, 1.0)
    }
}

impl Course for WarmupStableDecay {
    fn factor(&self, step: u64, run: RunLength) -> f64 {
        let behind = match Phase::of(self.warmup, step, run) {
            Phase::WarmUp(factor) => return factor,
            Phase::Behind(behind) => behind,
        };
        let decay = self.decay.whole_steps(run).min(behind.steps);
        let stable = behind.steps - decay;
        if behind.step < stable {
            return 1.0;
        }
        let progress = (behind.step - stable) as f64 / decay as f64;
        let left = match self.shape {
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Decay::Linear => 1.0 - progress,
            Decay::OneMinusSquareRoot => 1.0 - progress.sqrt(),
        };
        self.end + (1.0 - self.end) * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::course_tests::assert_course;

    /// Rates of transformers' `get_wsd_schedule(SGD([p], lr=1), 2, 4, num_training_steps=10, min_lr_ratio=0.1,
    /// decay_type=…)` from its step 2 on; in front of them the warm-up, one step ahead of theirs.
    #[test]
    fn values_are_those_of_transformers() {
        for (shape, wanted) in [
            (Decay::Cosine, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.868198051534, 0.55, 0.231801948466]),
            (Decay::Linear, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.775, 0.55, 0.325]),
            (Decay::OneMinusSquareRoot, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.55, 0.363603896932, 0.220577136594]),
        ] {
            let course = WarmupStableDecay { warmup: Span::Share(0.2), decay: Span::Steps(4), shape, end: 0.1 };
            assert_course(&course, 10, &wanted);
        }
    }

    #[test]
    fn a_warm_up_leaves_the_decay_what_it_can() {
        let course =
            WarmupStableDecay { warmup: Span::Share(0.5), decay: Span::Share(1.0), shape: Decay::Linear, end: 0.0 };
        assert_course(&course, 4, &[0.5, 1.0, 1.0, 0.5]);
        let never = WarmupStableDecay { decay: Span::default(), ..course };
        assert_course(&never, 4, &[0.5, 1.0, 1.0, 1.0]);
    }
}
