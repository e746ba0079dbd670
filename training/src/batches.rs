use millstream_schemas::Batch;

use crate::BoxError;

/// Where batches come from. Every iterator over `Result<Batch, _>` is one.
pub trait BatchSource {
    /// The next batch, waiting for it; none at the end.
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>>;

    /// Batches that are ready, where that is known.
    fn waiting(&self) -> Option<usize> {
        None
    }
}

impl<I, E> BatchSource for I
where
    I: Iterator<Item = Result<Batch, E>>,
    E: Into<BoxError>,
{
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>> {
        self.next().map(|batch| batch.map_err(Into::into))
    }
}
