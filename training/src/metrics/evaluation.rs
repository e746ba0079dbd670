use millstream_schemas::shown;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::figure_kind::FigureKind;
use super::figures::Figures;
use super::interval::{USUAL_CONFIDENCE, by_name, intervals_of};
use super::mistaken_masks::{ClassMap, MistakenMask};
use super::mistaken_pictures::MistakenPicture;
use super::mistakes::Mistake;
use super::slices::SlicedColumn;
use super::table::{Cell, Record, Table};

/// The figure of places of classes.
const MEAN_IOU: &str = "mean_iou";

/// How good a model is on some labelled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Evaluation {
    /// Rows with a target.
    pub rows: u64,
    /// Of these, rows with a score that is infinite or not a number. They count as wrong, and are in no column of a
    /// confusion matrix.
    pub not_finite: u64,
    /// Mean loss as the training graph computes it, each batch by its weight; not a number when a score is not.
    #[serde(with = "crate::number_or_null")]
    pub loss: f64,
    /// What the metrics found, in their order. In JSON the figures stand beside `loss`, by their names.
    #[serde(flatten)]
    pub figures: Figures,
    /// Tables by name; in JSON beside the figures.
    #[serde(flatten, serialize_with = "by_name")]
    pub tables: Vec<(String, Table)>,
    /// The most frequent class, where the model is one of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub majority: Option<Majority>,
    /// How often an interval holds the figure of all rows that there could be; in JSON where it is not 0.95.
    #[serde(skip_serializing_if = "is_usual")]
    pub confidence: f64,
    /// Intervals of the figures that have one, by their names, `[low, high]`: what other rows from the same source
    /// would bring. That of a share of rows is Wilson's, any other one, that of the loss too, is from a [`Bootstrap`](super::Bootstrap).
    #[serde(serialize_with = "by_name", skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<(String, [f64; 2])>,
    /// The same figures by the values of columns, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SlicedColumn>,
    /// The rows that a model of classes was most wrong about, the worst first; a few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
    /// The pictures that a detector was most wrong about, the worst first; a few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistaken_pictures: Vec<MistakenPicture>,
    /// The pictures that a model of masks was most wrong about, the worst first; a few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistaken_masks: Vec<MistakenMask>,
}

/// The most frequent class among the targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Majority {
    /// Its name.
    pub class: String,
    /// Targets that are of it.
    pub of_class: u64,
    /// All targets: as many as rows, or more where a row has many places.
    pub targets: u64,
    /// Number of classes.
    pub classes: u64,
    /// Those of them that targets are of; 0 where an older build wrote it, which has not counted them.
    #[serde(default)]
    pub present: u64,
}

impl Majority {
    /// What one constant answer gets right, 0 to 1.
    pub fn share(&self) -> f64 {
        self.of_class as f64 / self.targets.max(1) as f64
    }
}

impl Evaluation {
    /// The figure of this name, the loss among them.
    pub fn figure(&self, name: &str) -> Option<f64> {
        if name == FigureKind::LOSS { Some(self.loss) } else { self.figures.get(name) }
    }

    /// The interval of the figure of this name.
    pub fn interval(&self, name: &str) -> Option<[f64; 2]> {
        self.intervals.iter().find(|(known, _)| known == name).map(|(_, interval)| *interval)
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|(known, _)| known == name).map(|(_, table)| table)
    }

    /// Leaves out the maps of [`Evaluation::mistaken_masks`], which take up to some hundred kilobytes; which pictures they are of stays.
    pub fn leave_out_maps(&mut self) {
        for MistakenMask { truth, told, .. } in &mut self.mistaken_masks {
            (*truth, *told) = (ClassMap::default(), ClassMap::default());
        }
    }

    /// Targets of a class, where a table counts them as `rows`.
    pub(crate) fn rows_of_class(&self, class: usize) -> Option<u64> {
        self.tables.iter().find_map(|(_, table)| match table {
            Table::Classes(classes) => classes.get(class).and_then(rows_of),
            Table::Matrix(_) => None,
        })
    }

    /// In words, that the figure which a constant answer has too is none that it would not have.
    pub fn no_better_than_majority(&self, kinds: &[FigureKind]) -> Option<String> {
        let majority = self.majority.as_ref().filter(|majority| majority.of_class > 0)?;
        if let Some(told) = self.mean_iou_of_constant_answer(majority) {
            return Some(told);
        }
        let (class, share) = (shown(&majority.class), majority.share());
        let what = if majority.targets == self.rows { "evaluation rows" } else { "targets of the evaluation rows" };
        let of_constant_answer = kinds.iter().find(|kind| kind.of_constant_answer);
        if majority.of_class == majority.targets {
            let own = of_constant_answer.filter(|kind| self.figures.get(&kind.name).is_some());
            let figure = match own {
                Some(kind) => format!("an {}", kind.name),
                None => self.figures.get(MEAN_IOU).map(|_| "a mean IoU".to_owned())?,
            };
            return Some(format!("all {what} are of class `{class}`, so {figure} on them says little"));
        }
        let kind = of_constant_answer?;
        let (figure, value) = (&kind.name, self.figures.get(&kind.name)?);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        (value <= share).then(|| {
            format!(
                "an {figure} of {} is no better than to answer `{class}` for all: {} of the {what} are of that class",
                percent(value),
                percent(share)
            )
        })
    }
}

impl Evaluation {
    /// The same of the mean IoU of classes of places: the constant answer has the share of its class for that class, and 0 for all others
    /// that targets are of.
    fn mean_iou_of_constant_answer(&self, majority: &Majority) -> Option<String> {
        let value = self.figures.get(MEAN_IOU).filter(|_| majority.of_class < majority.targets)?;
        let counted = if majority.present > 0 { majority.present } else { majority.classes };
        let constant = majority.share() / counted.max(1) as f64;
        (majority.classes > 1 && value <= constant + 1e-9).then(|| {
            format!(
                "a mean IoU of {:.1} % is no better than to answer `{}` for all, which has {:.1} %",
                100.0 * value,
                shown(&majority.class),
                100.0 * constant
            )
        })
    }
}

fn is_usual(confidence: &f64) -> bool {
    *confidence == USUAL_CONFIDENCE
}

fn usual_confidence() -> f64 {
    USUAL_CONFIDENCE
}

/// As it stands in a file. Older builds did not write the majority and the intervals.
#[derive(Deserialize)]
struct Written {
    rows: u64,
    #[serde(default)]
    not_finite: u64,
    #[serde(with = "crate::number_or_null")]
    loss: f64,
    majority: Option<Majority>,
    #[serde(default = "usual_confidence")]
    confidence: f64,
    #[serde(default)]
    intervals: Map<String, Value>,
    #[serde(default)]
    slices: Vec<SlicedColumn>,
    #[serde(default)]
    mistakes: Vec<Mistake>,
    #[serde(default)]
    mistaken_pictures: Vec<MistakenPicture>,
    #[serde(default)]
    mistaken_masks: Vec<MistakenMask>,
    #[serde(flatten)]
    found: Map<String, Value>,
}

impl TryFrom<Written> for Evaluation {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let intervals = intervals_of(written.intervals)?;
        let mut this = Self {
            rows: written.rows,
            not_finite: written.not_finite,
            loss: written.loss,
            figures: Figures::default(),
            tables: Vec::new(),
            majority: written.majority,
            confidence: written.confidence,
            intervals,
            slices: written.slices,
            mistakes: written.mistakes,
            mistaken_pictures: written.mistaken_pictures,
            mistaken_masks: written.mistaken_masks,
        };
        for (name, value) in written.found {
            match value {
                Value::Null | Value::Number(_) => this.figures.set(&name, value.as_f64()),
                value => {
                    let table = serde_json::from_value(value).map_err(|_| format!("`{name}` is no table"))?;
                    this.tables.push((name, table));
                }
            }
        }
        this.majority = this.majority.or_else(|| this.tables.iter().find_map(|(_, table)| majority_of(table)));
        Ok(this)
    }
}

fn rows_of(class: &Record) -> Option<u64> {
    match class.get("rows") {
        Some(Cell::Count(rows)) => Some(*rows),
        _ => None,
    }
}

/// The majority by the rows of each class.
fn majority_of(table: &Table) -> Option<Majority> {
    let Table::Classes(classes) = table else { return None };
    let rows = |class: &Record| rows_of(class).unwrap_or(0);
    // classes of things in rows are counted by the things
    classes.iter().find_map(rows_of)?;
    let class = classes.iter().max_by_key(|class| rows(class))?;
    let Some(Cell::Text(name)) = class.get("name") else { return None };
    Some(Majority {
        class: name.clone(),
        of_class: rows(class),
        targets: classes.iter().map(rows).sum(),
        classes: classes.len() as u64,
        present: classes.iter().filter(|class| rows(class) > 0).count() as u64,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_older_builds_wrote_is_read_and_stands_where_it_stood() {
        let old = json!({
            "rows": 5, "not_finite": 0, "loss": 0.25, "accuracy": 0.8, "top_5": null,
            "confusion_matrix": [[1, 0], [1, 3]],
            "per_class": [
                {"name": "a", "rows": 1, "precision": 0.5, "recall": 1.0},
                {"name": "b", "rows": 4, "precision": 1.0, "recall": null},
            ],
        });
        let read: Evaluation = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((read.figure("accuracy"), read.figure("top_5"), read.figure("loss")), (Some(0.8), None, Some(0.25)));
        assert_eq!(read.table("confusion_matrix"), Some(&Table::Matrix(vec![vec![1, 0], vec![1, 3]])));
        let majority = Majority { class: "b".into(), of_class: 4, targets: 5, classes: 2, present: 2 };
        assert_eq!(read.majority, Some(majority));
        let mut again = serde_json::to_value(&read).unwrap();
        again.as_object_mut().unwrap().shift_remove("majority").unwrap();
        assert_eq!(again.to_string(), old.to_string());
        assert_eq!(serde_json::from_value::<Evaluation>(again).unwrap(), read);
        let mut newer = read.clone();
        newer.intervals = vec![("accuracy".into(), [0.375, 0.96])];
        let written = serde_json::to_value(&newer).unwrap();
        assert_eq!(written["intervals"], json!({"accuracy": [0.375, 0.96]}));
        let again: Evaluation = serde_json::from_value(written).unwrap();
        assert_eq!((again.interval("accuracy"), again.interval("top_5"), &again), (Some([0.375, 0.96]), None, &newer));
        let odd = json!({"rows": 5, "loss": 0.25, "intervals": {"accuracy": [0.5]}});
        let message = serde_json::from_value::<Evaluation>(odd).unwrap_err().to_string();
        assert!(message.contains("the interval of `accuracy` is not two numbers"), "{message}");
        let odd = json!({"rows": 5, "loss": 0.25, "accuracy": "high"});
        assert!(serde_json::from_value::<Evaluation>(odd).unwrap_err().to_string().contains("`accuracy` is no table"));
    }

    #[test]
    fn what_was_found_of_boxes_is_read_as_it_was_written_and_has_no_majority() {
        let written = json!({
            "rows": 5, "not_finite": 0, "loss": 0.25, "mean_average_precision": 0.5,
            "average_precision_by_class": [
                {"name": "a", "boxes": 7, "average_precision": 0.5, "average_precision_50": 0.75},
                {"name": "b", "boxes": 0, "average_precision": null, "average_precision_50": null},
            ],
        });
        let read: Evaluation = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(read.majority, None);
        let again = serde_json::to_value(&read).unwrap();
        assert_eq!(again["average_precision_by_class"], written["average_precision_by_class"]);
        assert_eq!(serde_json::from_value::<Evaluation>(again).unwrap(), read);
    }

    #[test]
    fn maps_that_are_left_out_of_what_is_printed_leave_the_pictures_that_they_are_of() {
        let written = json!({
            "rows": 5, "not_finite": 0, "loss": 0.25,
            "mistaken_masks": [
                {"file": "a.parquet", "row_group": 0, "row": 3, "wrong": 0.5, "width": 2, "truth": "0*4", "told": "0*2 1*2"},
            ],
        });
        let mut read: Evaluation = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap()["mistaken_masks"], written["mistaken_masks"]);
        read.leave_out_maps();
        let printed = serde_json::to_value(&read).unwrap();
        let wanted = json!([{"file": "a.parquet", "row_group": 0, "row": 3, "wrong": 0.5, "width": 2}]);
        assert_eq!(printed["mistaken_masks"], wanted);
        assert_eq!(serde_json::from_value::<Evaluation>(printed).unwrap(), read);
    }

    #[test]
    fn an_accuracy_that_one_constant_answer_has_is_told() {
        for (accuracy, of_class, wanted) in [
            (0.81, 160, None),
            (0.8, 160, Some("an accuracy of 80.0 % is no better than to answer `b` for all: 80.0 % of the")),
            (1.0, 200, Some("all evaluation rows are of class `b`, so an accuracy on them says little")),
        ] {
            // of five classes no more are among the targets
            let present = if of_class == 200 { 1 } else { 2 };
            let evaluation = Evaluation {
                rows: 200,
                not_finite: 0,
                loss: 0.1,
                figures: [("accuracy", Some(accuracy))].into_iter().collect(),
                tables: Vec::new(),
                majority: Some(Majority { class: "b".into(), of_class, targets: 200, classes: 5, present }),
                confidence: USUAL_CONFIDENCE,
                intervals: Vec::new(),
                slices: Vec::new(),
                mistakes: Vec::new(),
                mistaken_pictures: Vec::new(),
                mistaken_masks: Vec::new(),
            };
            let said = evaluation.no_better_than_majority(&FigureKind::of_older_builds());
            assert_eq!(said.is_some(), wanted.is_some());
            assert!(said.unwrap_or_default().starts_with(wanted.unwrap_or_default()));
            assert_eq!(evaluation.no_better_than_majority(&[]), None);
            // the mean is over the classes that are there
            let constant = of_class as f64 / 200.0 / present as f64;
            for (mean_iou, is_told) in [(constant, of_class < 200), (constant + 0.01, false)] {
                let figures = [("mean_iou", Some(mean_iou))].into_iter().collect();
                let said = Evaluation { figures, ..evaluation.clone() }.no_better_than_majority(&[]);
                assert_eq!(said.is_some_and(|said| said.starts_with("a mean IoU of ")), is_told, "{mean_iou}");
            }
        }
    }

    #[test]
    fn a_mean_iou_of_rows_of_one_class_is_not_told_to_be_no_better_than_its_constant_answer() {
        for (targets, what) in [(200, "evaluation rows"), (51_200, "targets of the evaluation rows")] {
            for mean_iou in [0.4, 1.0] {
                let majority =
                    Majority { class: "background".into(), of_class: targets, targets, classes: 3, present: 1 };
                let evaluation = Evaluation {
                    rows: 200,
                    not_finite: 0,
                    loss: 0.1,
                    figures: [("mean_iou", Some(mean_iou))].into_iter().collect(),
                    tables: Vec::new(),
                    majority: Some(majority),
                    confidence: USUAL_CONFIDENCE,
                    intervals: Vec::new(),
                    slices: Vec::new(),
                    mistakes: Vec::new(),
                    mistaken_pictures: Vec::new(),
                    mistaken_masks: Vec::new(),
                };
                let said = evaluation.no_better_than_majority(&[]).unwrap();
                let wanted = format!("all {what} are of class `background`, so a mean IoU on them says little");
                assert_eq!(said, wanted);
            }
        }
    }
}
