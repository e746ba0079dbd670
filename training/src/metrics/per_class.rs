//! Precision, recall and F1 of each class.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer_share::AnswerShare;
use super::class_counts::{ClassCount, ClassCounts, share};
use super::figure_kind::{Better, Unit};
use super::interval::wilson;
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::table::{Cell, Record, Table};

pub(super) const METRIC: MetricKind = MetricKind {
    name: "per_class",
    summary: "Rows, precision, recall and F1 of each class.",
    documentation: "Precision: the share of the rows taken for a class that are of it; none when no row was. \
        Recall: the share of the rows of a class that were taken for it; none when there are none. \
        F1: their harmonic mean, 2·right / (taken for it + rows of it); none for a class that is in neither. With \
        `evaluation.intervals: {bootstrap: …}` each has its interval.",
    better: Better::Higher,
    unit: Unit::Share,
    of_constant_answer: false,
    samples: &[Worked {
        options: "{}",
        shape: &[4, 3],
        prediction: &[2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 3.0, 9.0, 0.0, 0.0],
        targets: &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        wanted: r#"{"per_class": [
                {"name": "0", "rows": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0},
                {"name": "1", "rows": 0, "precision": 0.0, "recall": null, "f1": 0.0},
                {"name": "2", "rows": 2, "precision": 1.0, "recall": 0.5, "f1": 0.6666666666666666}]}"#,
    }],
    build: Build::of::<PerClass>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PerClass {}

impl Options for PerClass {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for PerClass {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        let answers = AnswerShare::default();
        Ok(Box::new(Counted { classes: classes.to_vec(), counts: ClassCounts::new(classes), answers }))
    }
}

struct Counted {
    classes: Vec<String>,
    counts: ClassCounts,
    /// Whether they are of rows.
    answers: AnswerShare,
}

impl Meter for Counted {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            self.counts.count(answer);
            self.answers.add(answer.row, answer.predicted == Some(answer.truth));
        });
        self.answers.end_batch();
    }

    fn figures(&self) -> Vec<Option<f64>> {
        Vec::new()
    }

    fn tables(&self) -> Vec<(String, Table)> {
        let record = |(name, count): (&String, &ClassCount)| {
            let ClassCount { rows, taken, right } = *count;
            Record(vec![
                ("name".into(), Cell::Text(name.clone())),
                ("rows".into(), Cell::Count(rows)),
                ("precision".into(), Cell::Share(share(right, taken))),
                ("recall".into(), Cell::Share(share(right, rows))),
                ("f1".into(), Cell::Share(share(2 * right, taken + rows))),
            ])
        };
        let records = self.classes.iter().zip(&self.counts.0).map(record);
        vec![("per_class".into(), Table::Classes(records.collect()))]
    }

    /// Precision and recall are shares of rows, unless a row has several places.
    fn tables_with_intervals(&self, confidence: f64) -> Vec<(String, Table)> {
        let mut tables = self.tables();
        for (_, table) in &mut tables {
            let Table::Classes(records) = table else { continue };
            for (record, count) in records.iter_mut().zip(&self.counts.0).filter(|_| self.answers.is_of_rows()) {
                for (column, whole) in [("precision", count.taken), ("recall", count.rows)] {
                    if let Some(ends) = wilson(count.right, whole, confidence) {
                        record.set_interval(column.to_owned(), ends);
                    }
                }
            }
        }
        tables
    }
}
