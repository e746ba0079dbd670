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
    /// Targets of a wrong type count, so that the graph's own check tells what was wanted.
    pub(crate) fn of(batch: &Batch) -> Self {
        let Some(targets) = batch.targets.as_f32() else {
            return Self { rows: batch.len().max(1) as u64, sum: batch.len() as f64 };
        };
        let classes = batch.targets.shape.last().copied().unwrap_or(1).max(1);
        let rows = targets.chunks(classes).filter(|row| row.iter().any(|target| *target != 0.0)).count() as u64;
        Self { rows, sum: targets.iter().copied().map(f64::from).sum() }
    }
}
