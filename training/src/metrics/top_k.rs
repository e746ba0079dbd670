//! How often the class is among the most likely ones.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer_share::AnswerShare;
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "top_k",
    summary: "The share of rows whose class is among the `k` highest scores.",
    documentation: "Of equal scores the first classes go first. It is not given where there are no more than `k` \
        classes.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[2, 7],
            prediction: &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            targets: &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            wanted: r#"{"top_5": 0.5}"#,
        },
        Worked {
            options: r#"{"k": 2}"#,
            shape: &[4, 3],
            prediction: &[0.5, 0.2, 0.2, 0.3, 0.4, 0.2, 0.2, 0.4, 0.3, 0.7, 0.2, 0.1],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            wanted: r#"{"top_2": 0.75}"#,
        },
        Worked {
            options: "{}",
            shape: &[1, 3],
            prediction: &[0.0, 1.0, 0.0],
            targets: &[0.0, 1.0, 0.0],
            wanted: r#"{"top_5": null}"#,
        },
    ],
    build: Build::of::<TopK>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TopK {
    /// How many of the highest scores count, 1 or more.
    #[schemars(range(min = 1))]
    k: u64,
}

impl Default for TopK {
    fn default() -> Self {
        Self { k: 5 }
    }
}

impl Options for TopK {
    fn validate(&self) -> Result<(), String> {
        if self.k >= 1 { Ok(()) } else { Err(format!("k is 1 or more, got {}", self.k)) }
    }
}

impl MetricFunction for TopK {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec![format!("top_{}", self.k)]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Among { k: self.k, applies: classes.len() as u64 > self.k, among: AnswerShare::default() }))
    }
}

struct Among {
    k: u64,
    applies: bool,
    among: AnswerShare,
}

impl Meter for Among {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            let own = answer.scores[answer.truth];
            let ahead = |(class, score): (usize, &f32)| *score > own || (*score == own && class < answer.truth);
            let ahead = answer.scores.iter().enumerate().filter(|entry| ahead(*entry)).count() as u64;
            self.among.add(answer.row, answer.predicted.is_some() && ahead < self.k);
        });
        self.among.end_batch();
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![self.among.share().filter(|_| self.applies)]
    }

    fn intervals(&self, confidence: f64) -> Vec<Option<[f64; 2]>> {
        vec![self.among.interval(confidence).filter(|_| self.applies)]
    }
}
