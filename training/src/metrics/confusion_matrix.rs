//! How often each class was taken for each.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::table::Table;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "confusion_matrix",
    summary: "How often a row of each class was taken for each class.",
    documentation: "Counts by true class, then by predicted class. Rows with scores that are no numbers are in no \
        column; with more than 2000 classes there is no matrix.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[6, 3],
            prediction: &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            targets: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            wanted: r#"{"confusion_matrix": [[2, 0, 0], [0, 0, 1], [1, 0, 2]]}"#,
        },
        Worked {
            options: "{}",
            shape: &[4, 3],
            prediction: &[2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 3.0, 9.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
            wanted: r#"{"confusion_matrix": [[1, 0, 0], [0, 0, 0], [0, 1, 1]]}"#,
        },
    ],
    build: Build::of::<ConfusionMatrix>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfusionMatrix {}

impl Options for ConfusionMatrix {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// With more classes there is no matrix: it would take gigabytes, and nobody could read it.
const MOST_CLASSES: usize = 2000;

impl MetricFunction for ConfusionMatrix {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        let classes = if classes.len() <= MOST_CLASSES { classes.len() } else { 0 };
        Ok(Box::new(Counts(vec![vec![0; classes]; classes])))
    }
}

struct Counts(Vec<Vec<u64>>);

impl Meter for Counts {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            let row = self.0.get_mut(answer.truth);
            if let Some(count) = row.zip(answer.predicted).and_then(|(row, predicted)| row.get_mut(predicted)) {
                *count += 1;
            }
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        Vec::new()
    }

    fn tables(&self) -> Vec<(String, Table)> {
        vec![("confusion_matrix".into(), Table::Matrix(self.0.clone()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_classes_have_no_matrix() {
        let classes = vec!["x".to_owned(); MOST_CLASSES + 1];
        let tables = ConfusionMatrix {}.start(&classes).unwrap().tables();
        assert_eq!(tables, [("confusion_matrix".to_owned(), Table::Matrix(Vec::new()))]);
    }
}
