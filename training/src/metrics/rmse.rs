//! The root of the mean of the squared differences.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "rmse",
    summary: "The square root of the mean of the squared differences.",
    documentation: "√(Σ(prediction − target)² / rows), in the unit of the target. Of rows of several numbers the mean over them, as \
        scikit-learn's `root_mean_squared_error`.",
    better: Better::Lower,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 1],
            prediction: &[2.5, 0.0, 2.0, 8.0],
            targets: &[3.0, -0.5, 2.0, 7.0],
            wanted: r#"{"rmse": 0.6123724356957945}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 2],
            prediction: &[0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            targets: &[0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            wanted: r#"{"rmse": 0.8227486121839513}"#,
        },
    ],
    build: Build::of::<Rmse>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rmse {}

impl Options for Rmse {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Rmse {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["rmse".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Squares::default()))
    }
}

/// Of each number of a row, how many and the sum of the squared differences.
#[derive(Debug, Default)]
struct Squares(Vec<(u64, f64)>);

impl Meter for Squares {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        for (_, predicted, wanted) in batch.numbers() {
            self.0.resize(self.0.len().max(wanted.len()), (0, 0.0));
            for ((rows, sum), (predicted, wanted)) in self.0.iter_mut().zip(predicted.iter().zip(wanted)) {
                *rows += 1;
                *sum += (f64::from(*predicted) - f64::from(*wanted)).powi(2);
            }
        }
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let roots: f64 = self.0.iter().map(|(rows, sum)| (sum / *rows as f64).sqrt()).sum();
        vec![(!self.0.is_empty()).then(|| roots / self.0.len() as f64)]
    }
}
