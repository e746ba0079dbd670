//! What is written along time, and what should be.

use super::edit_distance::edit_distance;
use super::highest::highest;
use super::measured_batch::MeasuredBatch;

/// Edits and symbols or words of all rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transcripts {
    edits: u64,
    wanted: u64,
}

impl Transcripts {
    /// Adds the rows of a batch; `parts` makes of symbols what is compared.
    pub(super) fn add<T: PartialEq>(
        &mut self,
        batch: &MeasuredBatch<'_>,
        blank: usize,
        parts: impl Fn(&[i64]) -> Vec<T>,
    ) {
        for (_, scores, targets) in batch.transcripts() {
            let end = targets.iter().position(|symbol| *symbol < 0).unwrap_or(targets.len());
            let wanted = parts(&targets[..end]);
            self.edits += edit_distance(&parts(&written(scores, batch.shape()[2], blank)), &wanted);
            self.wanted += wanted.len() as u64;
        }
    }

    /// None of nothing.
    pub(super) fn rate(self) -> Option<f64> {
        (self.wanted > 0).then(|| self.edits as f64 / self.wanted as f64)
    }
}

/// The most likely symbol at each time, each run of one once, without blanks: the best path of Graves et al., "Connectionist Temporal
/// Classification", 2006. Nothing where a score is no number.
fn written(scores: &[f32], symbols: usize, blank: usize) -> Vec<i64> {
    if scores.iter().any(|score| !score.is_finite()) {
        return Vec::new();
    }
    let mut best: Vec<usize> = scores.chunks(symbols.max(1)).map(highest).collect();
    best.dedup();
    best.into_iter().filter(|symbol| *symbol != blank).map(|symbol| symbol as i64).collect()
}
