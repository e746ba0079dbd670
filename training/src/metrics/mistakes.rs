//! The rows that a model of classes was most wrong about.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::RowId;
use serde::{Deserialize, Serialize};

use super::measured_batch::MeasuredBatch;
use super::probabilities::softmax;

/// A row whose class a model took for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// The row's file, by its path within the dataset.
    pub file: String,
    /// Row group within the file, from 0.
    pub row_group: u32,
    /// Row within the row group, from 0.
    pub row: u32,
    /// Its class, by its place among the classes.
    pub truth: usize,
    /// The class that it was taken for.
    pub predicted: usize,
    /// What the model gave that class, 0 to 1: the softmax of the scores.
    pub probability: f64,
    /// What it gave the row's own class.
    pub probability_of_truth: f64,
}

impl Mistake {
    /// Which row.
    pub fn row_id(&self) -> RowId {
        RowId { file: self.file.as_str().into(), row_group: self.row_group, row: self.row }
    }

    /// The worst first; of equals, the row that comes first.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let place = |one: &Self| (one.row_group, one.row);
        self.probability_of_truth
            .total_cmp(&other.probability_of_truth)
            .then_with(|| self.file.cmp(&other.file))
            .then_with(|| place(self).cmp(&place(other)))
    }
}

/// The worst mistakes so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The most that are kept.
    pub(crate) const MOST: usize = 24;

    /// Adds those of a batch of rows that have one class each.
    pub(crate) fn add(&mut self, reads: PredictionKind, rows: &[Option<RowId>], batch: &MeasuredBatch<'_>) {
        if reads != PredictionKind::ClassScores || batch.shape().len() != 2 {
            return;
        }
        let mut probabilities = Vec::new();
        batch.each_answer(|answer| {
            let Some(predicted) = answer.predicted.filter(|predicted| *predicted != answer.truth) else { return };
            let Some(Some(row)) = rows.get(answer.row) else { return };
            softmax(answer.scores, &mut probabilities);
            let of = |class: usize| probabilities.get(class).copied().unwrap_or_default();
            let mistake = Mistake {
                file: row.file.to_string(),
                row_group: row.row_group,
                row: row.row,
                truth: answer.truth,
                predicted,
                probability: of(predicted),
                probability_of_truth: of(answer.truth),
            };
            let place = self.0.partition_point(|known| known.order(&mistake).is_lt());
            if place < Self::MOST {
                self.0.insert(place, mistake);
                self.0.truncate(Self::MOST);
            }
        });
    }

    /// At most [`MOST`](Self::MOST), the worst first.
    pub(crate) fn finish(self) -> Vec<Mistake> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Tensor;

    use super::*;

    #[test]
    fn the_worst_are_kept_in_order_whatever_the_batches_are() {
        // rows of class 0: the higher the second score, the worse; a row without a place, and one that is right
        let scores: Vec<f32> =
            (0..40).flat_map(|row| [0.0, if row == 7 { -1.0 } else { (row * 17 % 40) as f32 / 10.0 + 0.1 }]).collect();
        let row_id = |row: u32| (row != 9).then(|| RowId { file: "a.parquet".into(), row_group: 0, row });
        let found = |in_a_batch: usize| {
            let mut mistakes = Mistakes::default();
            for (first, scores) in (0..).step_by(in_a_batch).zip(scores.chunks(2 * in_a_batch)) {
                let rows = scores.len() / 2;
                let targets = Tensor::i64([rows], vec![0; rows]);
                let weights = vec![1.0; rows];
                let shape = [rows, 2];
                let batch =
                    MeasuredBatch::new((&shape, scores), &targets, &weights, PredictionKind::ClassScores).unwrap();
                let rows: Vec<_> = (first..).take(rows).map(row_id).collect();
                mistakes.add(PredictionKind::ClassScores, &rows, &batch);
            }
            mistakes.finish()
        };
        let whole = found(40);
        assert_eq!((whole.len(), found(7)), (Mistakes::MOST, whole.clone()));
        assert!(whole.is_sorted_by(|a, b| a.probability_of_truth <= b.probability_of_truth));
        assert!(whole.iter().all(|mistake| mistake.row != 7 && mistake.row != 9 && mistake.predicted == 1));
        assert!((whole[0].probability + whole[0].probability_of_truth - 1.0).abs() < 1e-12);
        assert_eq!(whole[0].row * 17 % 40, 39);
    }
}
