//! Rows of like lengths together in a batch, so that little of it is padding.
//!
//! The rows of some batches that follow each other in the order are sorted by length and dealt out anew to these batches,
//! which come in a random order: a function of the seed, the epoch and the lengths, so that a resume point still says all.

use std::ops::Range;
use std::sync::Arc;

use millstream_transforms::random::DrawKey;

use crate::permutation::Permutation;
use crate::place::Place;

/// Batches whose rows are dealt out anew together.
const BATCHES: u64 = 50;

/// How long the rows are, and how many make a batch.
#[derive(Clone, Debug)]
pub(crate) struct LengthGroups {
    batch: u64,
    /// By row group in file order, then by row.
    lengths: Arc<Vec<Vec<u32>>>,
}

impl LengthGroups {
    pub(crate) fn new(batch: usize, lengths: Arc<Vec<Vec<u32>>>) -> Self {
        Self { batch: batch as u64, lengths }
    }

    /// The positions that are dealt out together with `position`, of a run of positions that stay together.
    pub(crate) fn around(&self, position: u64, together: &Range<u64>) -> Range<u64> {
        let many = self.batch.saturating_mul(BATCHES);
        let from = position / many * many;
        from.max(together.start)..from.saturating_add(many).min(together.end)
    }

    /// Deals out the rows of such a range of positions.
    pub(crate) fn deal(&self, range: &Range<u64>, mut places: Vec<Place>, key: &DrawKey) -> Vec<Place> {
        // Rows of one length stay in their order.
        places.sort_by_key(|place| self.lengths[place.group][place.row as usize]);
        // The first and the last batch may be shared with what comes before and after.
        let mut runs = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let until = ((from / self.batch + 1) * self.batch).min(range.end);
            runs.push((until - from) as usize);
            from = until;
        }
        let key = DrawKey { row: range.start, ..*key };
        let permutation = Permutation::new(runs.len() as u64, &key, "order of batches by length");
        let order: Vec<usize> = (0..runs.len() as u64).map(|index| permutation.at(index) as usize).collect();
        // Where the rows of each run begin among the sorted ones.
        let mut starts = vec![0; runs.len()];
        let mut next = 0;
        for run in order {
            starts[run] = next;
            next += runs[run];
        }
        runs.iter().zip(starts).flat_map(|(rows, start)| places[start..start + rows].iter().copied()).collect()
    }
}
