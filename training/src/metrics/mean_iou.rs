//! How well the places of each class are covered.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_counts::{ClassCount, ClassCounts, share};
use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::table::Table;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "mean_iou",
    summary: "The mean over the classes of intersection over union.",
    documentation: "Of a class right / (places of it + places taken for it − right), the Jaccard index; the mean \
        over the classes that are among the targets or the answers (Everingham et al., \"The Pascal Visual Object \
        Classes Challenge\", 2010). Places are the pixels of masks; those without a class do not count. The table \
        `iou_by_class` has the places that are of each class and its figure, none of one that is in neither.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[1, 2, 2, 2],
            prediction: &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"mean_iou": 0.3333333333333333, "iou_by_class": [
                {"name": "0", "places": 2, "iou": 0.3333333333333333},
                {"name": "1", "places": 2, "iou": 0.3333333333333333}]}"#,
        },
        Worked {
            options: "{}",
            shape: &[1, 3, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            targets: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            wanted: r#"{"mean_iou": 0.25, "iou_by_class": [
                {"name": "0", "places": 1, "iou": 0.5},
                {"name": "1", "places": 1, "iou": 0.0},
                {"name": "2", "places": 0, "iou": null}]}"#,
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
        Ok(Box::new(Covered { classes: classes.to_vec(), counts: ClassCounts::new(classes) }))
    }
}

struct Covered {
    classes: Vec<String>,
    counts: ClassCounts,
}

/// Intersection over union; none of a class that is in neither targets nor answers.
fn of_class(class: &ClassCount) -> Option<f64> {
    share(class.right, class.rows + class.taken - class.right)
}

impl Meter for Covered {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.counts.add(batch);
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let there: Vec<f64> = self.counts.0.iter().filter_map(of_class).collect();
        vec![(!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)]
    }

    fn tables(&self) -> Vec<(String, Table)> {
        vec![self.counts.by_class("iou", (self.classes.as_slice(), 0), of_class)]
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Tensor;

    use super::super::table::{Cell, Record};
    use super::*;

    #[test]
    fn each_class_of_masks_has_a_figure_of_its_own_whose_mean_is_the_mean_iou() {
        let classes = ["sky", "sea", "sail"].map(String::from);
        let mut meter = MeanIou {}.start(&classes).unwrap();
        // three places of one row, taken for sky, sea and sea
        let prediction = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        let targets = Tensor::i64([1, 3], vec![0, 1, 0]);
        let batch = ([1, 3, 3].as_slice(), prediction.as_slice());
        meter.add(&MeasuredBatch::new(batch, &targets, &[1.0], PredictionKind::ClassScores).unwrap());
        let record = |name: &str, places: u64, iou: Option<f64>| {
            Record(vec![
                ("name".into(), Cell::Text(name.into())),
                ("places".into(), Cell::Count(places)),
                ("iou".into(), Cell::Share(iou)),
            ])
        };
        let wanted = vec![record("sky", 2, Some(0.5)), record("sea", 1, Some(0.5)), record("sail", 0, None)];
        assert_eq!(meter.tables(), [("iou_by_class".to_owned(), Table::Classes(wanted))]);
        assert_eq!(meter.figures(), [Some(0.5)]);
    }
}
