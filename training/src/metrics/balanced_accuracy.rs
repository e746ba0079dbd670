//! The mean recall of the classes.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_counts::{ClassCounts, share};
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "balanced_accuracy",
    summary: "The mean over the classes of the share of their rows that is found.",
    documentation: "Of a class right / rows of it, the recall; the mean over the classes that have rows, each alike, as \
        scikit-learn's `balanced_accuracy_score`. With `adjusted`, (mean − 1/n) / (1 − 1/n) for n such classes, which is 0 \
        for guesses; the figure is then called `balanced_accuracy_adjusted`, and there is none where all rows are of one class.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[6, 2],
            prediction: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            wanted: r#"{"balanced_accuracy": 0.625}"#,
        },
        Worked {
            options: r#"{"adjusted": true}"#,
            shape: &[6, 2],
            prediction: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            wanted: r#"{"balanced_accuracy_adjusted": 0.25}"#,
        },
        Worked {
            options: r#"{"adjusted": true}"#,
            shape: &[2, 2],
            prediction: &[1.0, 0.0, 0.0, 1.0],
            targets: &[0.0, 1.0, 0.0, 1.0],
            wanted: r#"{"balanced_accuracy_adjusted": null}"#,
        },
    ],
    build: Build::of::<BalancedAccuracy>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BalancedAccuracy {
    /// Whether guesses bring 0 instead of one by the number of classes.
    adjusted: bool,
}

impl Options for BalancedAccuracy {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for BalancedAccuracy {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec![if self.adjusted { "balanced_accuracy_adjusted" } else { "balanced_accuracy" }.into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Recalls { counts: ClassCounts::new(classes), adjusted: self.adjusted }))
    }
}

struct Recalls {
    counts: ClassCounts,
    adjusted: bool,
}

impl Meter for Recalls {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.counts.add(batch);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let recalls: Vec<f64> = self.counts.0.iter().filter_map(|class| share(class.right, class.rows)).collect();
        let classes = recalls.len() as f64;
        let mean = recalls.iter().sum::<f64>() / classes;
        let chance = 1.0 / classes;
        vec![match recalls.len() {
            0 => None,
            1 if self.adjusted => None,
            _ if self.adjusted => Some((mean - chance) / (1.0 - chance)),
            _ => Some(mean),
        }]
    }
}
