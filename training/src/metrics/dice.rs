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
    name: "dice",
    summary: "The mean over the classes of twice the intersection over the sum of both.",
    documentation: "Of a class 2·right / (places of it + places taken for it) (Dice, \"Measures of the amount of ecologic association \
        between species\", 1945); the mean over the classes that are among the targets or the answers. Places are the pixels of \
        masks; those without a class do not count. All rows are counted together, which is the `f1` of all places, or with \
        `per_row` each by itself, and the mean over the rows is `dice_per_row`; a row without such a class is left out. \
        `background: false` leaves the first class out. The table `dice_by_class` has the places that are of each class and its \
        figure of all rows together, none of a class that is in neither; there is none with `per_row`.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[1, 2, 2, 2],
            prediction: &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"dice": 0.5, "dice_by_class": [
                {"name": "0", "places": 2, "dice": 0.5},
                {"name": "1", "places": 2, "dice": 0.5}]}"#,
        },
        Worked {
            options: "{}",
            shape: &[2, 2, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"dice": 0.8285714285714285, "dice_by_class": [
                {"name": "0", "places": 3, "dice": 0.8571428571428571},
                {"name": "1", "places": 3, "dice": 0.8}]}"#,
        },
        Worked {
            options: r#"{"background": false}"#,
            shape: &[2, 2, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"dice": 0.8, "dice_by_class": [{"name": "1", "places": 3, "dice": 0.8}]}"#,
        },
        Worked {
            options: r#"{"per_row": true}"#,
            shape: &[2, 2, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"dice_per_row": 0.7}"#,
        },
        Worked {
            options: r#"{"background": false, "per_row": true}"#,
            shape: &[2, 2, 3],
            prediction: &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            targets: &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            wanted: r#"{"dice_per_row": 0.5}"#,
        },
    ],
    build: Build::of::<Dice>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Dice {
    /// Whether the first class counts.
    background: bool,
    /// Whether each row has a figure of its own, whose mean it is.
    per_row: bool,
}

impl Default for Dice {
    fn default() -> Self {
        Self { background: true, per_row: false }
    }
}

impl Options for Dice {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Dice {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec![if self.per_row { "dice_per_row" } else { "dice" }.into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        let (classes, counts) = (classes.to_vec(), ClassCounts::new(classes));
        Ok(Box::new(Overlap { options: *self, classes, counts, row: None, rows: 0, sum: 0.0 }))
    }
}

struct Overlap {
    options: Dice,
    classes: Vec<String>,
    /// Of all rows, or of one.
    counts: ClassCounts,
    row: Option<usize>,
    rows: u64,
    sum: f64,
}

/// Twice the intersection over the sum of both; none of a class that is in neither targets nor answers.
fn of_class(class: &ClassCount) -> Option<f64> {
    share(2 * class.right, class.rows + class.taken)
}

impl Overlap {
    fn mean(&self) -> Option<f64> {
        let counted = self.counts.0.iter().skip(self.left_out());
        let classes: Vec<f64> = counted.filter_map(of_class).collect();
        (!classes.is_empty()).then(|| classes.iter().sum::<f64>() / classes.len() as f64)
    }

    /// How many of the first classes do not count.
    fn left_out(&self) -> usize {
        usize::from(!self.options.background)
    }

    /// Ends a row.
    fn close(&mut self) {
        if let Some(mean) = self.mean() {
            self.rows += 1;
            self.sum += mean;
        }
        self.counts.0.fill(ClassCount::default());
    }
}

impl Meter for Overlap {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        if !self.options.per_row {
            return self.counts.add(batch);
        }
        batch.each_answer(|answer| {
            if self.row.is_some_and(|row| row != answer.row) {
                self.close();
            }
            self.row = Some(answer.row);
            self.counts.count(answer);
        });
        if self.row.take().is_some() {
            self.close();
        }
    }

    fn figures(&self) -> Vec<Option<f64>> {
        if !self.options.per_row {
            return vec![self.mean()];
        }
        vec![(self.rows > 0).then(|| self.sum / self.rows as f64)]
    }

    fn tables(&self) -> Vec<(String, Table)> {
        // with `per_row` the counts are those of the last row
        let of_all = (!self.options.per_row)
            .then(|| self.counts.by_class("dice", (self.classes.as_slice(), self.left_out()), of_class));
        of_all.into_iter().collect()
    }
}
