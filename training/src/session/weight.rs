use millstream_schemas::Batch;

/// How much of a batch counts in the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weight {
    /// Rows that count.
    pub(crate) rows: u64,
    /// Sum of their weights.
    pub(crate) sum: f64,
}

impl Weight {
    pub(crate) fn of(batch: &Batch) -> Self {
        let rows = batch.weights.iter().filter(|weight| **weight != 0.0).count() as u64;
        Self { rows, sum: batch.weights.iter().copied().map(f64::from).sum() }
    }
}
