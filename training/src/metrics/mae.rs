//! The mean of the absolute differences.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::number_mean::NumberMean;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "mae",
    summary: "The mean of the absolute differences.",
    documentation: "Σ|prediction − target| over all numbers of all rows with a target, by their number.",
    better: Better::Lower,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 1],
            prediction: &[2.5, 0.0, 2.0, 8.0],
            targets: &[3.0, -0.5, 2.0, 7.0],
            wanted: r#"{"mae": 0.5}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 2],
            prediction: &[0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            targets: &[0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            wanted: r#"{"mae": 0.75}"#,
        },
        Worked {
            options: "{}",
            shape: &[4],
            prediction: &[2.5, 0.0, 2.0, 8.0],
            targets: &[3.0, -0.5, 2.0, 7.0],
            wanted: r#"{"mae": 0.5}"#,
        },
    ],
    build: Build::of::<Mae>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mae {}

impl Options for Mae {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Mae {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["mae".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(NumberMean::of(|x, y| (x - y).abs())))
    }
}
