//! How often the most likely class is right.

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
    name: "accuracy",
    summary: "The share of rows whose highest score is that of their class.",
    documentation: "Of equal scores the first counts. A row with a score that is no number is wrong. Of rows with \
        many places, as in a mask, it is the share of the places that have a class.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: true,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 3],
            prediction: &[2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 3.0, 9.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
            wanted: r#"{"accuracy": 0.6666666666666666}"#,
        },
        Worked {
            options: "{}",
            shape: &[1, 2, 3],
            prediction: &[1.0, 0.0, 2.0, 0.0, 1.0, 5.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            wanted: r#"{"accuracy": 0.5}"#,
        },
    ],
    build: Build::of::<Accuracy>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Accuracy {}

impl Options for Accuracy {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Accuracy {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["accuracy".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Counted::default()))
    }
}

#[derive(Debug, Default)]
struct Counted(AnswerShare);

impl Meter for Counted {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| self.0.add(answer.row, answer.predicted == Some(answer.truth)));
        self.0.end_batch();
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![self.0.share()]
    }

    fn intervals(&self, confidence: f64) -> Vec<Option<[f64; 2]>> {
        vec![self.0.interval(confidence)]
    }
}
