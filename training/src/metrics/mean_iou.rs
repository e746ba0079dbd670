//! How well the places of each class are covered.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::figure_kind::{Better, Unit};
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "mean_iou",
    summary: "The mean over the classes of intersection over union.",
    documentation: "Of a class right / (places of it + places taken for it − right), the Jaccard index; the mean \
        over the classes that are among the targets or the answers (Everingham et al., \"The Pascal Visual Object \
        Classes Challenge\", 2010). Places are the pixels of masks; those without a class do not count.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[1, 2, 2, 2],
            prediction: &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"mean_iou": 0.3333333333333333}"#,
        },
        Worked {
            options: "{}",
            shape: &[1, 3, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            wanted: r#"{"mean_iou": 0.25}"#,
        },
    ],
    build: Build::of::<MeanIou>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MeanIou {}

impl Options for MeanIou {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for MeanIou {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["mean_iou".into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Average::Macro.start(classes, |class| (class.right, class.rows + class.taken - class.right))
    }
}
