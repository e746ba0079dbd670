use millstream_schemas::RowId;

use crate::BoxError;
use crate::metrics::MeasuredBatch;

/// Takes what a model gave for labelled rows while it is evaluated.
pub trait PredictionSink {
    /// Takes a batch, and where each of its slots came from.
    ///
    /// # Errors
    /// It cannot be kept.
    fn take(&mut self, rows: &[Option<RowId>], batch: &MeasuredBatch<'_>) -> Result<(), BoxError>;
}
