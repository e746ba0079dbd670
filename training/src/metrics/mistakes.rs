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

    /// The worst first; of equals, the row that comes first. The other is a row and what the model gave its own class.
    fn order(&self, row: &RowId, probability_of_truth: f64) -> std::cmp::Ordering {
        self.probability_of_truth
            .total_cmp(&probability_of_truth)
            .then_with(|| (*self.file).cmp(&*row.file))
            .then_with(|| (self.row_group, self.row).cmp(&(row.row_group, row.row)))
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
            if !self.may_keep(least_of_truth(answer.scores, answer.truth)) {
                return;
            }
            softmax(answer.scores, &mut probabilities);
            let of = |class: usize| probabilities.get(class).copied().unwrap_or_default();
            let of_truth = of(answer.truth);
            let place = self.0.partition_point(|known| known.order(row, of_truth).is_lt());
            if place >= Self::MOST {
                return;
            }
            let mistake = Mistake {
                file: row.file.to_string(),
                row_group: row.row_group,
                row: row.row,
                truth: answer.truth,
                predicted,
                probability: of(predicted),
                probability_of_truth: of_truth,
            };
            self.0.insert(place, mistake);
            self.0.truncate(Self::MOST);
        });
    }

    /// Whether a row may be among the worst of whose own class the probability is this or more.
    fn may_keep(&self, least_of_truth: f64) -> bool {
        match self.0.get(Self::MOST - 1) {
            Some(last) => least_of_truth <= last.probability_of_truth,
            None => true,
        }
    }

    /// At most [`MOST`](Self::MOST), the worst first.
    pub(crate) fn finish(self) -> Vec<Mistake> {
        self.0
    }
}

/// What the softmax of scores gives a class at least, rounded or not: no class adds more to its sum than the highest, which
/// adds 1.
fn least_of_truth(scores: &[f32], truth: usize) -> f64 {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let own = scores.get(truth).copied().unwrap_or(f32::NEG_INFINITY);
    (f64::from(own) - f64::from(highest)).exp() / scores.len() as f64
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
        // the highest, 39, is row 7, which is right
        assert_eq!(whole[0].row * 17 % 40, 38);
    }

    #[test]
    fn rows_turned_down_before_their_softmax_are_none_of_the_worst() {
        const CLASSES: usize = 5;
        // some alike, some that leave nothing to their own class, some nearly right; the worst come last
        let score = |row: usize, class: usize| match (row % 7, class) {
            (0, 1) => 900.0,
            (1, 1) => 745.2,
            (2, 1) => 1.0,
            (2, _) => 0.0,
            (_, 0) => 1.0,
            (_, 1) => 1.0 + (row * 37 % 100) as f32 / 10.0,
            _ => (row * class % 11) as f32 / 11.0,
        };
        for rows in [10, 200, 1000] {
            let scores: Vec<f32> = (0..rows).flat_map(|row| (0..CLASSES).map(move |class| score(row, class))).collect();
            let mut all: Vec<(f64, u32)> = Vec::new();
            let mut probabilities = Vec::new();
            for (row, scores) in (0..).zip(scores.chunks(CLASSES)) {
                softmax(scores, &mut probabilities);
                assert!(least_of_truth(scores, 0) <= probabilities[0], "row {row}");
                if scores[1..].iter().any(|score| *score > scores[0]) {
                    all.push((probabilities[0], row));
                }
            }
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            all.truncate(Mistakes::MOST);
            let (targets, weights, shape) = (Tensor::i64([rows], vec![0; rows]), vec![1.0; rows], [rows, CLASSES]);
            let batch = MeasuredBatch::new((&shape, &scores), &targets, &weights, PredictionKind::ClassScores).unwrap();
            let ids: Vec<_> =
                (0..rows as u32).map(|row| Some(RowId { file: "a.parquet".into(), row_group: 0, row })).collect();
            let mut mistakes = Mistakes::default();
            mistakes.add(PredictionKind::ClassScores, &ids, &batch);
            let found: Vec<(f64, u32)> =
                mistakes.finish().iter().map(|mistake| (mistake.probability_of_truth, mistake.row)).collect();
            assert_eq!(found, all, "{rows} rows");
        }
    }
}
