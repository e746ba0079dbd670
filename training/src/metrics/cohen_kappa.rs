//! Agreement beyond what chance would bring.

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
    name: "cohen_kappa",
    summary: "How far answers agree with what is true beyond chance, 1 at best.",
    documentation: "1 − Σ w·observed / Σ w·expected over pairs of a true and a predicted class, expected as if both were drawn apart: \
        0 for guesses (Cohen, \"A coefficient of agreement for nominal scales\", 1960). `weights` says what a wrong answer \
        counts: 1 each, or for classes with an order how far it is off, or the square of that. That distance is counted in the \
        list of all classes, as scikit-learn's `cohen_kappa_score` with `labels` of all of them. There is none where truth and \
        answers are one and the same class throughout. Scores that are no numbers are as wrong as can be. The figure is called \
        `cohen_kappa`, and with weights `cohen_kappa_linear`, `cohen_kappa_quadratic`.",
    better: Better::Higher,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"cohen_kappa": 0.42857142857142855}"#,
        },
        Worked {
            options: r#"{"weights": "linear"}"#,
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"cohen_kappa_linear": 0.5}"#,
        },
        Worked {
            options: r#"{"weights": "quadratic"}"#,
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"cohen_kappa_quadratic": 0.5454545454545454}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 2],
            prediction: &[0.0, 1.0, 0.0, 1.0],
            targets: &[0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"cohen_kappa": null}"#,
        },
    ],
    build: Build::of::<CohenKappa>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CohenKappa {
    /// What a wrong answer counts.
    weights: Weights,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Weights {
    /// All the same.
    #[default]
    None,
    /// By the number of classes that it is off.
    Linear,
    /// By the square of that.
    Quadratic,
}

impl Options for CohenKappa {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for CohenKappa {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        let name = match self.weights {
            Weights::None => "cohen_kappa",
            Weights::Linear => "cohen_kappa_linear",
            Weights::Quadratic => "cohen_kappa_quadratic",
        };
        vec![name.into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        let distance: fn(u64) -> u64 = match self.weights {
            Weights::None => |apart| u64::from(apart > 0),
            Weights::Linear => |apart| apart,
            Weights::Quadratic => |apart| apart * apart,
        };
        Ok(Box::new(Kappa(Agreement::new(classes.len(), distance))))
    }
}

struct Kappa(Agreement);

impl Meter for Kappa {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.0.add(batch);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let (observed, expected) = (self.0.apart() * self.0.answers(), self.0.apart_by_chance());
        vec![(expected > 0).then(|| 1.0 - observed as f64 / expected as f64)]
    }
}
