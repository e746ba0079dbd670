//! How much of what differs is explained.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "r2",
    summary: "The share of the variance that is explained, 1 at best.",
    documentation: "1 − Σ(prediction − target)² / Σ(target − mean)², the coefficient of determination: 0 for \
        whoever always says the mean, below 0 for worse. Of rows of several numbers the mean over them, as \
        scikit-learn has it; a number that is the same in all rows is left out.",
    better: Better::Higher,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 1],
            prediction: &[2.5, 0.0, 2.0, 8.0],
            targets: &[3.0, -0.5, 2.0, 7.0],
            wanted: r#"{"r2": 0.9486081370449679}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 2],
            prediction: &[0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            targets: &[0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            wanted: r#"{"r2": 0.9368005266622779}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 1],
            prediction: &[1.0, 2.0],
            targets: &[3.0, 3.0],
            wanted: r#"{"r2": null}"#,
        },
    ],
    build: Build::of::<R2>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct R2 {}

impl Options for R2 {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for R2 {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["r2".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Sums::default()))
    }
}

#[derive(Debug, Default)]
struct Sums(Vec<Column>);

/// Sums of one number of the rows.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    rows: f64,
    mean: f64,
    /// Σ(target − mean)², by Welford's recurrence (1962), which loses no digits to a large mean.
    around_mean: f64,
    around_prediction: f64,
}

impl Meter for Sums {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        for (_, predicted, wanted) in batch.numbers() {
            self.0.resize(self.0.len().max(wanted.len()), Column::default());
            for (column, (predicted, wanted)) in self.0.iter_mut().zip(predicted.iter().zip(wanted)) {
                let (predicted, wanted) = (f64::from(*predicted), f64::from(*wanted));
                column.rows += 1.0;
                let off = wanted - column.mean;
                column.mean += off / column.rows;
                column.around_mean += off * (wanted - column.mean);
                column.around_prediction += (predicted - wanted).powi(2);
            }
        }
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let varied: Vec<&Column> = self.0.iter().filter(|column| column.around_mean > 0.0).collect();
        let sum: f64 = varied.iter().map(|column| 1.0 - column.around_prediction / column.around_mean).sum();
        vec![(!varied.is_empty()).then(|| sum / varied.len() as f64)]
    }
}
