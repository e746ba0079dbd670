//! Whether what is said with 80 % is right in 80 %.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::probabilities::softmax;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "expected_calibration_error",
    summary: "How far the share of right answers is from the probability that they were given with.",
    documentation: "Answers lie in `bins` of equal width by their probability, the highest of the softmax, each bin with its upper \
        edge: Σ |share of right answers − mean probability| over the bins, by their answers (Naeini et al. 2015; Guo et al., \"On \
        Calibration of Modern Neural Networks\", 2017). Of two classes too it is the probability of the class that was \
        chosen. An answer whose scores are no numbers is wrong with probability 1. The figure is called \
        `expected_calibration_error`, and with other than 15 bins `expected_calibration_error_10` and the like.",
    better: Better::Lower,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, 2.197_224_6, 2.197_224_6, 0.0, 1.386_294_4, 0.0, 0.0, 0.619_039_2],
            targets: &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"expected_calibration_error": 0.3375000010134382}"#,
        },
        Worked {
            options: r#"{"bins": 2}"#,
            shape: &[4, 2],
            prediction: &[0.0, 2.197_224_6, 2.197_224_6, 0.0, 1.386_294_4, 0.0, 0.0, 0.619_039_2],
            targets: &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"expected_calibration_error_2": 0.0625000020969706}"#,
        },
    ],
    build: Build::of::<ExpectedCalibrationError>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ExpectedCalibrationError {
    /// How many bins the probabilities from 0 to 1 lie in, 1 to 10,000.
    #[schemars(range(min = 1, max = 10_000))]
    bins: u64,
}

/// As in Guo et al.
const USUAL_BINS: u64 = 15;

impl Default for ExpectedCalibrationError {
    fn default() -> Self {
        Self { bins: USUAL_BINS }
    }
}

impl Options for ExpectedCalibrationError {
    fn validate(&self) -> Result<(), String> {
        between("bins", self.bins, 1, 10_000)
    }
}

impl MetricFunction for ExpectedCalibrationError {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        let name = "expected_calibration_error";
        vec![if self.bins == USUAL_BINS { name.into() } else { format!("{name}_{}", self.bins) }]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Bins(vec![Bin::default(); self.bins as usize])))
    }
}

struct Bins(Vec<Bin>);

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    answers: u64,
    right: u64,
    probability: f64,
}

impl Meter for Bins {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        let mut probabilities = Vec::new();
        let bins = self.0.len();
        batch.each_answer(|answer| {
            let probability = match answer.predicted {
                Some(predicted) => {
                    softmax(answer.scores, &mut probabilities);
                    probabilities[predicted]
                }
                None => 1.0,
            };
            let at = (probability * bins as f64).ceil() as usize;
            let bin = &mut self.0[at.clamp(1, bins) - 1];
            bin.answers += 1;
            bin.right += u64::from(answer.predicted == Some(answer.truth));
            bin.probability += probability;
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let answers: u64 = self.0.iter().map(|bin| bin.answers).sum();
        let apart: f64 = self.0.iter().map(|bin| (bin.right as f64 - bin.probability).abs()).sum();
        vec![(answers > 0).then(|| apart / answers as f64)]
    }
}
