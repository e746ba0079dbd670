//! How good a classifier is: computed from its scores, the same way wherever they come from.

mod accuracy;
mod confusion_matrix;
mod cross_entropy;
mod per_class;
mod top_k;

use millstream_schemas::{Batch, shown};
use serde::{Deserialize, Serialize};

pub use confusion_matrix::ConfusionMatrix;
pub use per_class::ClassScore;

use per_class::ClassCount;

use crate::TrainingError;

/// How good a model is on some labelled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows with a label.
    pub rows: u64,
    /// Of these, rows with a score that is infinite or not a number. They count as wrong, and are in no column of the
    /// confusion matrix.
    #[serde(default)]
    pub not_finite: u64,
    /// Mean cross-entropy, natural logarithm, without label smoothing; not a number when a score is not.
    #[serde(with = "crate::number_or_null")]
    pub loss: f64,
    /// Share of rows whose highest score is their class's.
    pub accuracy: f64,
    /// Share of rows whose class is among the five highest scores; none with five classes or fewer.
    pub top_5: Option<f64>,
    /// Counts of predictions by true class; empty with very many classes.
    pub confusion_matrix: ConfusionMatrix,
    /// Precision and recall by class.
    pub per_class: Vec<ClassScore>,
}

impl Evaluation {
    /// The most frequent class among the rows and its share of them: the accuracy that one constant answer has.
    pub fn majority(&self) -> Option<(&str, f64)> {
        let class = self.per_class.iter().max_by_key(|class| class.rows).filter(|class| class.rows > 0)?;
        Some((&class.name, class.rows as f64 / self.rows.max(class.rows) as f64))
    }

    /// In words, that the accuracy is none that a constant answer would not have.
    pub fn no_better_than_majority(&self) -> Option<String> {
        let (class, share) = self.majority()?;
        let (name, percent) = (shown(class), |share: f64| format!("{:.1} %", 100.0 * share));
        if share == 1.0 {
            return Some(format!("all evaluation rows are of class `{name}`, so an accuracy on them says little"));
        }
        (self.accuracy <= share).then(|| {
            let (accuracy, share) = (percent(self.accuracy), percent(share));
            format!(
                "an accuracy of {accuracy} is no better than to answer `{name}` for all: {share} of the evaluation rows \
                 are of that class"
            )
        })
    }
}

/// Gathers scores batch by batch.
#[derive(Clone, Debug)]
pub struct Meter {
    classes: Vec<String>,
    rows: u64,
    not_finite: u64,
    loss: f64,
    correct: u64,
    among_5: u64,
    confusion_matrix: ConfusionMatrix,
    per_class: Vec<ClassCount>,
}

impl Meter {
    /// For these classes, in the order of the scores.
    pub fn new(classes: &[String]) -> Self {
        Self {
            classes: classes.to_vec(),
            rows: 0,
            not_finite: 0,
            loss: 0.0,
            correct: 0,
            among_5: 0,
            confusion_matrix: ConfusionMatrix::new(classes.len()),
            per_class: vec![ClassCount::default(); classes.len()],
        }
    }

    /// Adds the rows of a batch that have a label; `logits` is `[batch, classes]` row-major.
    ///
    /// # Errors
    /// The scores are not as many as rows and classes say, or a label is out of range.
    pub fn add(&mut self, batch: &Batch, logits: &[f32]) -> Result<(), TrainingError> {
        let classes = self.classes.len();
        if logits.len() != batch.capacity() * classes {
            return Err(TrainingError::Input {
                name: "scores".into(),
                wanted: format!("[{}, {classes}], one score for each class of the data", batch.capacity()),
                got: format!("{} scores", logits.len()),
            });
        }
        if classes == 0 {
            return Ok(());
        }
        for (slot, scores) in logits.chunks_exact(classes).enumerate() {
            let Some(label) = batch.class("targets", slot) else { continue };
            self.rows += 1;
            self.loss += cross_entropy::of_row(scores, label);
            // Comparisons with what is no number are false, so such a row would pass for a good one.
            if scores.iter().any(|score| !score.is_finite()) {
                self.not_finite += 1;
                per_class::add(&mut self.per_class, label, None);
                continue;
            }
            let predicted = accuracy::highest(scores);
            self.correct += u64::from(predicted == label);
            self.among_5 += u64::from(top_k::is_among(scores, label, 5));
            self.confusion_matrix.add(label, predicted);
            per_class::add(&mut self.per_class, label, Some(predicted));
        }
        Ok(())
    }

    /// The figures so far; none when no row had a label.
    pub fn finish(&self) -> Option<Evaluation> {
        (self.rows > 0).then(|| Evaluation {
            rows: self.rows,
            not_finite: self.not_finite,
            loss: self.loss / self.rows as f64,
            accuracy: self.correct as f64 / self.rows as f64,
            top_5: (self.classes.len() > 5).then(|| self.among_5 as f64 / self.rows as f64),
            per_class: per_class::scores(&self.per_class, &self.classes),
            confusion_matrix: self.confusion_matrix.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::{Fingerprint, ResumePoint, RowId, Tensor};

    use super::*;

    fn batch(labels: &[i64], empty: &[usize], classes: usize) -> Batch {
        let row = |index: usize| RowId { file: "a.parquet".into(), row_group: 0, row: index as u32 };
        let mut targets = vec![0.0; labels.len() * classes];
        let known = |slot: usize| labels[slot] >= 0 && !empty.contains(&slot);
        for slot in (0..labels.len()).filter(|slot| known(*slot)) {
            targets[slot * classes + labels[slot] as usize] = 1.0;
        }
        Batch {
            tensors: [("targets".to_owned(), Tensor::f32([labels.len(), classes], targets))].into(),
            weights: (0..labels.len()).map(|slot| if known(slot) { 1.0 } else { 0.0 }).collect(),
            rows: (0..labels.len()).map(|index| (!empty.contains(&index)).then(|| row(index))).collect(),
            resume: ResumePoint {
                version: 1,
                seed: 0,
                epoch: 0,
                position: 0,
                dataset: Fingerprint::default(),
                recipe: Fingerprint::default(),
            },
        }
    }

    #[test]
    fn figures_are_those_counted_by_hand_and_leave_out_empty_slots_and_unknown_labels() {
        let classes: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let mut meter = Meter::new(&classes);
        let scores = [
            2.0, 0.0, 0.0, // a, right
            0.0, 1.0, 0.0, // c, taken for b
            0.0, 0.0, 3.0, // c, right
            9.0, 0.0, 0.0, // no label
            9.0, 0.0, 0.0, // empty slot
        ];
        meter.add(&batch(&[0, 2, 2, -1, 1], &[4], 3), &scores).unwrap();
        let found = meter.finish().unwrap();
        assert_eq!((found.rows, found.top_5), (3, None));
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-12);
        let e = std::f64::consts::E;
        let wanted = ((1.0 + 2.0 / e.powi(2)).ln() + (e + 2.0).ln() + (1.0 + 2.0 / e.powi(3)).ln()) / 3.0;
        assert!((found.loss - wanted).abs() < 1e-9, "{}, wanted {wanted}", found.loss);
        assert_eq!(found.confusion_matrix.rows(), [[1, 0, 0], [0, 0, 0], [0, 1, 1]]);
        let c = &found.per_class[2];
        assert_eq!((c.rows, c.precision, c.recall), (2, Some(1.0), Some(0.5)));
        assert_eq!((found.per_class[1].precision, found.per_class[1].recall), (Some(0.0), None));
    }

    #[test]
    fn nothing_labelled_is_no_evaluation() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let mut meter = Meter::new(&classes);
        meter.add(&batch(&[-1], &[], 2), &[0.0, 1.0]).unwrap();
        assert_eq!(meter.finish(), None);
    }

    #[test]
    fn top_5_is_given_for_more_than_five_classes() {
        let classes: Vec<String> = (0..7).map(|class| class.to_string()).collect();
        let mut meter = Meter::new(&classes);
        let ascending: Vec<f32> = (0..7).map(|class| class as f32).collect();
        meter.add(&batch(&[2, 1], &[], 7), &[ascending.clone(), ascending].concat()).unwrap();
        assert_eq!(meter.finish().unwrap().top_5, Some(0.5));
    }

    #[test]
    fn scores_that_are_no_numbers_are_wrong_and_counted() {
        let classes: Vec<String> = (0..7).map(|class| class.to_string()).collect();
        let good = [1.0_f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // Of class 0, which all of its comparisons would favour.
            let mut meter = Meter::new(&classes);
            meter.add(&batch(&[0, 0], &[], 7), &[[broken; 7], good].concat()).unwrap();
            let found = meter.finish().unwrap();
            assert_eq!((found.rows, found.not_finite), (2, 1), "{broken}");
            assert_eq!((found.accuracy, found.top_5), (0.5, Some(0.5)), "{broken}");
            assert_eq!((found.confusion_matrix.rows()[0][0], found.per_class[0].recall), (1, Some(0.5)), "{broken}");
            assert!(!found.loss.is_finite(), "{broken}");
        }
    }

    #[test]
    fn very_many_classes_have_scores_but_no_matrix() {
        let count = ConfusionMatrix::MOST_CLASSES + 1;
        let classes: Vec<String> = (0..count).map(|class| class.to_string()).collect();
        let mut scores = vec![0.0; count];
        scores[count - 1] = 1.0;
        let mut meter = Meter::new(&classes);
        meter.add(&batch(&[count as i64 - 1], &[], count), &scores).unwrap();
        let found = meter.finish().unwrap();
        assert_eq!((found.accuracy, found.per_class[count - 1].recall), (1.0, Some(1.0)));
        assert!(found.confusion_matrix.rows().is_empty());
    }
}
