//! The cross-entropy of the classes, whatever the loss is.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::probabilities::negative_log_likelihood;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "log_loss",
    summary: "The mean of −log of the probability of the class.",
    documentation: "A softmax makes the probabilities of the scores. It is the loss `cross_entropy` without label \
        smoothing, in doubles, and like scikit-learn's `log_loss`, but of the scores themselves: scikit-learn takes no probability \
        for smaller than the precision of its type (1.2·10⁻⁷ of 32-bit floats, so that no row counts more than 16; 2.2·10⁻¹⁶ of 64-bit \
        ones, 36), and here one that is wholly wrong counts as much as it is. It is comparable between runs of different losses.",
    better: Better::Lower,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, 2.197_224_6, 2.197_224_6, 0.0, 1.386_294_4, 0.0, 0.0, 0.619_039_2],
            targets: &[0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            wanted: r#"{"log_loss": 0.216161875}"#,
        },
        Worked {
            options: "{}",
            shape: &[4, 3],
            prediction: &[2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 3.0, 9.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
            wanted: r#"{"log_loss": 0.6286374788582988}"#,
        },
    ],
    build: Build::of::<LogLoss>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogLoss {}

impl Options for LogLoss {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for LogLoss {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["log_loss".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Sum::default()))
    }
}

#[derive(Debug, Default)]
struct Sum {
    answers: u64,
    sum: f64,
}

impl Meter for Sum {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            self.answers += 1;
            self.sum += negative_log_likelihood(answer.scores, answer.truth);
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![(self.answers > 0).then(|| self.sum / self.answers as f64)]
    }
}
