//! The correlation of truth and answers.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "matthews",
    summary: "The correlation of the true with the predicted class, 1 at best.",
    documentation: "(right·rows − Σ tₖ·pₖ) / √((rows² − Σ pₖ²)·(rows² − Σ tₖ²)) for tₖ rows of a class and pₖ rows taken for it, the \
        coefficient of Matthews (1975) for any number of classes (Gorodkin, \"Comparing two K-category assignments by a \
        K-category correlation coefficient\", 2004): 0 for guesses. It is 0 where all rows are of one class or taken for one, \
        as scikit-learn's `matthews_corrcoef`. Scores that are no numbers are a class of their own.",
    better: Better::Higher,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 2],
            prediction: &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            targets: &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
            wanted: r#"{"matthews": -0.3333333333333333}"#,
        },
        Worked {
            options: "{}",
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"matthews": 0.45226701686664544}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 2],
            prediction: &[0.0, 1.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 1.0],
            wanted: r#"{"matthews": 0.0}"#,
        },
    ],
    build: Build::of::<Matthews>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Matthews {}

impl Options for Matthews {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Matthews {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["matthews".into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Correlation(Agreement::new(classes.len(), |apart| u64::from(apart > 0)))))
    }
}

struct Correlation(Agreement);

impl Meter for Correlation {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.0.add(batch);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let rows = self.0.answers();
        let unlike = |counts: &[u64]| rows * rows - counts.iter().map(|count| u128::from(*count).pow(2)).sum::<u128>();
        // right·rows − Σ tₖ·pₖ is (rows² − Σ tₖ·pₖ) − wrong·rows.
        let covariance = self.0.apart_by_chance() as f64 - (self.0.apart() * rows) as f64;
        let variances = (unlike(&self.0.of_class) as f64).sqrt() * (unlike(&self.0.taken) as f64).sqrt();
        vec![(rows > 0).then(|| if variances > 0.0 { covariance / variances } else { 0.0 })]
    }
}
