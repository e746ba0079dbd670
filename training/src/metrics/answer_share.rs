use super::class_counts::share;
use super::interval::wilson;

/// The share of answers that are right.
#[derive(Debug, Default)]
pub(super) struct AnswerShare {
    answers: u64,
    right: u64,
    /// The row of the newest answer of the batch.
    row: Option<usize>,
    /// Whether a row has several answers, which are not independent of each other.
    is_of_places: bool,
}

impl AnswerShare {
    /// Adds an answer to a place of a row.
    pub(super) fn add(&mut self, row: usize, is_right: bool) {
        self.answers += 1;
        self.right += u64::from(is_right);
        self.is_of_places |= self.row == Some(row);
        self.row = Some(row);
    }

    /// Ends a batch: its rows are others than those of the next.
    pub(super) fn end_batch(&mut self) {
        self.row = None;
    }

    pub(super) fn share(&self) -> Option<f64> {
        share(self.right, self.answers)
    }

    /// Whether no row has several answers.
    pub(super) fn is_of_rows(&self) -> bool {
        !self.is_of_places
    }

    /// None where a row has several answers: an interval of that many would be too narrow.
    pub(super) fn interval(&self, confidence: f64) -> Option<[f64; 2]> {
        wilson(self.right, self.answers, confidence).filter(|_| !self.is_of_places)
    }
}
