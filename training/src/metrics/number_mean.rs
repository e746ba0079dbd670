use super::measured_batch::MeasuredBatch;
use super::metric_function::Meter;

/// The mean of a term over all numbers of all rows that count.
pub(super) struct NumberMean {
    term: fn(f64, f64) -> f64,
    numbers: u64,
    sum: f64,
}

impl NumberMean {
    /// Of a term of prediction and target.
    pub(super) fn of(term: fn(f64, f64) -> f64) -> Self {
        Self { term, numbers: 0, sum: 0.0 }
    }
}

impl Meter for NumberMean {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        for (_, predicted, wanted) in batch.numbers() {
            for (predicted, wanted) in predicted.iter().zip(wanted) {
                self.numbers += 1;
                self.sum += (self.term)(f64::from(*predicted), f64::from(*wanted));
            }
        }
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![(self.numbers > 0).then(|| self.sum / self.numbers as f64)]
    }
}
