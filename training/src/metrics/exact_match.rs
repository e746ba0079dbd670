//! How often all of a row is right.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_counts::share;
use super::figure_kind::{Better, Unit};
use super::interval::wilson;
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "exact_match",
    summary: "The share of rows of which all labels, or the classes of all places, are right.",
    documentation: "Of labels that may hold together, each said to hold above a probability of ½, as scikit-learn's \
        `accuracy_score` of several labels. Of classes, those of all places of a row that have one, as all tokens or all pixels; \
        of one class a row it is the accuracy. A row with a score that is no number is wrong.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[2, 2, 3],
            prediction: &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"exact_match": 0.5}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 2],
            prediction: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
            wanted: r#"{"exact_match": 0.5}"#,
        },
    ],
    build: Build::of::<ExactMatch>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExactMatch {}

impl Options for ExactMatch {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for ExactMatch {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::LabelScores]
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["exact_match".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Rows::default()))
    }
}

#[derive(Debug, Default)]
struct Rows {
    /// The row of the batch that is under way, and whether all of it was right so far.
    row: Option<(usize, bool)>,
    rows: u64,
    right: u64,
}

impl Rows {
    fn answer(&mut self, row: usize, is_right: bool) {
        match &mut self.row {
            Some((open, all)) if *open == row => *all &= is_right,
            _ => {
                self.close();
                self.row = Some((row, is_right));
            }
        }
    }

    fn close(&mut self) {
        if let Some((_, all)) = self.row.take() {
            self.rows += 1;
            self.right += u64::from(all);
        }
    }
}

impl Meter for Rows {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        match batch.reads() {
            PredictionKind::LabelScores => {
                batch.each_label(|answer| self.answer(answer.row, answer.holds() == answer.is_said()));
            }
            _ => batch.each_answer(|answer| self.answer(answer.row, answer.predicted == Some(answer.truth))),
        }
        self.close();
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![share(self.right, self.rows)]
    }

    fn intervals(&self, confidence: f64) -> Vec<Option<[f64; 2]>> {
        vec![wilson(self.right, self.rows, confidence)]
    }
}
