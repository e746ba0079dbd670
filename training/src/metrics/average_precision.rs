//! How precise it is to take what scores high.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::held_scores::HeldScores;
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::ranking::{RankedAverage, average_precision};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "average_precision",
    summary: "The mean of the precision over all thresholds, by the recall that each brings.",
    documentation: "Σ (recall − recall before) · precision over all probabilities of a class as thresholds, from the highest down, \
        without interpolation, as scikit-learn's `average_precision_score`: the share of a class among the rows for guesses. Of \
        two classes it is that of the second; of more, or of labels that may hold together, `average` says how each against all \
        others becomes one. Classes and labels without a row are left out, which scikit-learn counts as 0 in an average. Ranked by \
        log-odds, which tells apart what a softmax rounds to 1. A score that is no number ranks as wrong as it \
        can. The figure is called `average_precision`, with `average_precision_micro` and `average_precision_weighted` for \
        other averages. It holds the scores of all rows until the evaluation ends: 4 bytes for each score and each row, and while it is \
        computed 32 more for each row, \
        under `average: micro` 16 for each score.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, 0.1, 0.0, 0.4, 0.0, 0.35, 0.0, 0.8],
            targets: &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"average_precision": 0.8333333333333333}"#,
        },
        Worked {
            options: "{}",
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"average_precision": 0.8333333333333334}"#,
        },
        Worked {
            options: r#"{"average": "micro"}"#,
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"average_precision_micro": 0.737073112073112}"#,
        },
        Worked {
            options: r#"{"average": "weighted"}"#,
            shape: &[6, 3],
            prediction: &[2.0, 0.5, 0.0, 0.0, 1.0, 0.5, 1.5, 0.25, 1.0, 0.0, 0.5, 2.0, 0.75, 1.0, 0.0, 0.25, 0.0, 0.5],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"average_precision_weighted": 0.8333333333333334}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 2],
            prediction: &[0.0, 1.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 1.0, 0.0],
            wanted: r#"{"average_precision": null}"#,
        },
    ],
    build: Build::of::<AveragePrecision>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AveragePrecision {
    /// How the figures of the classes or labels become one.
    average: RankedAverage,
}

impl Options for AveragePrecision {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for AveragePrecision {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::LabelScores]
    }

    fn figure_names(&self) -> Vec<String> {
        vec![self.average.figure_name("average_precision")]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Precisions { average: self.average, held: HeldScores::default() }))
    }
}

struct Precisions {
    average: RankedAverage,
    held: HeldScores,
}

impl Meter for Precisions {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.held.add(batch);
    }

    fn bytes_held(&self) -> u64 {
        self.held.bytes()
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![self.average.of(self.held.one_vs_rest(), average_precision)]
    }
}
