//! The harmonic mean of precision and recall.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::figure_kind::{Better, Unit};
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "f1",
    summary: "The harmonic mean of precision and recall.",
    documentation: "Of a class 2·right / (taken for it + rows of it), the harmonic mean of precision and recall, \
        averaged as `average` says, as scikit-learn does. The figure is called `f1`, and after another average \
        `f1_micro`, `f1_weighted`, `f1_binary`. Of labels that may hold together each counts by itself, said \
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
            wanted: r#"{"f1": 0.26666666666666666}"#,
        },
        Worked {
            options: r#"{"average": "micro"}"#,
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            wanted: r#"{"f1_micro": 0.3333333333333333}"#,
        },
        Worked {
            options: r#"{"average": "weighted"}"#,
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            wanted: r#"{"f1_weighted": 0.26666666666666666}"#,
        },
        Worked {
            options: r#"{"average": "binary"}"#,
            shape: &[4, 2],
            prediction: &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
            targets: &[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
            wanted: r#"{"f1_binary": 0.5}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 4],
            prediction: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            wanted: r#"{"f1": 1.0}"#,
        },
    ],
    build: Build::of::<F1>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct F1 {
    /// How the figures of the classes become one.
    average: Average,
}

impl Options for F1 {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for F1 {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn reads_also(&self) -> &'static [PredictionKind] {
        &[PredictionKind::LabelScores]
    }

    fn figure_names(&self) -> Vec<String> {
        vec![self.average.figure_name("f1")]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        self.average.start(classes, |class| (2 * class.right, class.taken + class.rows))
    }
}
