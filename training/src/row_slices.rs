use millstream_schemas::RowId;

use crate::BoxError;
use crate::metrics::ColumnSlices;

/// Tells rows apart by the values of columns.
pub trait RowSlices {
    /// The columns, each with its slices.
    fn columns(&self) -> Vec<ColumnSlices>;

    /// Of each column the number of each row's slice; any number for a slot without a row.
    ///
    /// # Errors
    /// The values cannot be read.
    fn of_rows(&mut self, rows: &[Option<RowId>]) -> Result<Vec<Vec<usize>>, BoxError>;
}
