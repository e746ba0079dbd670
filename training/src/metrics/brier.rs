//! How far probabilities are from what is true.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::probabilities::{sigmoid, softmax};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "brier",
    summary: "The mean squared difference of the probabilities from what is true.",
    documentation: "Of two classes (p − y)² for the second, 0 to 1; of more Σ (p − y)² over the classes of a row, 0 to 2; the mean \
        over the rows, as scikit-learn's `brier_score_loss` (Brier, \"Verification of forecasts expressed in terms of probability\", \
        1950). A softmax makes the probabilities of the scores. Of labels that may hold together (σ(score) − target)², the \
        mean over all labels of all rows. Scores that are no numbers count as wholly wrong.",
    better: Better::Lower,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, -2.197_224_6, 0.0, 2.197_224_6, 0.0, 1.386_294_4, 0.0, -0.847_297_85],
            targets: &[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
            wanted: r#"{"brier": 0.0375}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 3],
            prediction: &[0.0, -1.0, 1.0, 0.5, 0.5, 0.5, 2.0, 0.0, -1.0],
            targets: &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
            wanted: r#"{"brier": 0.29531109573408626}"#,
        },
    ],
    build: Build::of::<Brier>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Brier {}

impl Options for Brier {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Brier {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::LabelScores]
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["brier".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Squares::default()))
    }
}

#[derive(Debug, Default)]
struct Squares {
    terms: u64,
    sum: f64,
}

impl Meter for Squares {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        if batch.reads() == PredictionKind::LabelScores {
            return batch.each_label(|answer| {
                self.terms += 1;
                let is_number = answer.score.is_finite();
                self.sum += if is_number { (sigmoid(answer.score) - f64::from(answer.target)).powi(2) } else { 1.0 };
            });
        }
        let mut probabilities = Vec::new();
        batch.each_answer(|answer| {
            self.terms += 1;
            // Of two classes both terms are the same, and one of them counts.
            let scale = if answer.scores.len() == 2 { 0.5 } else { 1.0 };
            if answer.predicted.is_none() {
                self.sum += 2.0 * scale;
                return;
            }
            softmax(answer.scores, &mut probabilities);
            probabilities[answer.truth] -= 1.0;
            self.sum += scale * probabilities.iter().map(|off| off * off).sum::<f64>();
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![(self.terms > 0).then(|| self.sum / self.terms as f64)]
    }
}
