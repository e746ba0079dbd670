//! Predicted and true numbers of all rows, for figures that are of their order.

use super::measured_batch::MeasuredBatch;

/// Each number of the rows with all its values, 8 bytes a value.
#[derive(Debug, Default)]
pub(super) struct NumberColumns(Vec<Vec<(f32, f32)>>);

impl NumberColumns {
    pub(super) fn add(&mut self, batch: &MeasuredBatch<'_>) {
        for (_, predicted, wanted) in batch.numbers() {
            self.0.resize(self.0.len().max(wanted.len()), Vec::new());
            for (column, (predicted, wanted)) in self.0.iter_mut().zip(predicted.iter().zip(wanted)) {
                column.push((*predicted, *wanted));
            }
        }
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|column| 8 * column.len() as u64).sum()
    }

    /// The mean over the numbers of a row of what each of them gives; those that give nothing are left out.
    pub(super) fn mean(&self, of_column: fn(&[(f32, f32)]) -> Option<f64>) -> Option<f64> {
        let given: Vec<f64> = self.0.iter().filter_map(|column| of_column(column)).collect();
        (!given.is_empty()).then(|| given.iter().sum::<f64>() / given.len() as f64)
    }
}
