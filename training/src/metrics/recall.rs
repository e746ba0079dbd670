//! How much of a class was found.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::figure_kind::{Better, Unit};
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "recall",
    summary: "The share of the rows of a class that were taken for it.",
    documentation: "Averaged over the classes as `average` says, as scikit-learn does; 0 for a class without rows \
        that some were taken for. The figure is called `recall`, and after another average `recall_micro`, \
        `recall_weighted`, `recall_binary`. Of labels that may hold together each counts by itself, said \
        to hold above a probability of ½; `binary` is for two classes alone.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            wanted: r#"{"recall": 0.3333333333333333}"#,
        },
        Worked {
            options: r#"{"average": "micro"}"#,
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            wanted: r#"{"recall_micro": 0.3333333333333333}"#,
        },
        Worked {
            options: r#"{"average": "weighted"}"#,
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            wanted: r#"{"recall_weighted": 0.3333333333333333}"#,
        },
        Worked {
            options: r#"{"average": "binary"}"#,
            shape: &[4, 2],
            prediction: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
            wanted: r#"{"recall_binary": 0.5}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 4],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            wanted: r#"{"recall": 1.0}"#,
        },
    ],
    build: Build::of::<Recall>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Recall {
    /// How the figures of the classes become one.
    average: Average,
}

impl Options for Recall {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Recall {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::LabelScores]
    }

    fn figure_names(&self) -> Vec<String> {
        vec![self.average.figure_name("recall")]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        self.average.start(classes, |class| (class.right, class.rows))
    }
}
