use millstream_schemas::ParameterEntry;

use super::bound::OwnedTensor;
use super::step_outcome::StepOutcome;
use crate::TrainingError;

/// Gradients of several batches, added up.
#[derive(Default)]
pub(super) struct Gathered {
    /// Batches that are in it.
    pub(super) batches: u64,
    sums: Vec<Vec<f32>>,
    loss: f64,
    weight: f64,
    rows: u64,
    /// Running statistics as they were before the first batch.
    pub(super) statistics: Vec<(usize, Vec<f32>)>,
}

impl Gathered {
    /// Adds the gradients of a batch, by the weight that its loss is a mean over. Running statistics, which follow each batch,
    /// are those of the last.
    pub(super) fn add(
        &mut self,
        outcome: &StepOutcome,
        gradients: &[OwnedTensor],
        entries: &[ParameterEntry],
    ) -> Result<(), TrainingError> {
        self.sums.resize(gradients.len(), Vec::new());
        let (is_first, weight) = (self.batches == 0, outcome.weight as f32);
        for ((sum, gradient), entry) in self.sums.iter_mut().zip(gradients).zip(entries) {
            gradient.read(|values| {
                if entry.is_statistic {
                    sum.clear();
                    sum.extend(values);
                } else if is_first {
                    sum.clear();
                    sum.extend(values.iter().map(|value| value * weight));
                } else {
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * weight);
                }
            })?;
        }
        self.batches += 1;
        self.loss += f64::from(outcome.loss) * outcome.weight;
        self.weight += outcome.weight;
        self.rows += outcome.rows;
        Ok(())
    }

    /// Writes the mean of what was added into the gradients and begins anew; nothing where no batch was added.
    pub(super) fn mean_into(
        &mut self,
        gradients: &mut [OwnedTensor],
        entries: &[ParameterEntry],
    ) -> Result<Option<StepOutcome>, TrainingError> {
        if self.batches == 0 {
            return Ok(None);
        }
        // batches without weight are not among them
        let part = (1.0 / self.weight) as f32;
        for ((sum, gradient), entry) in self.sums.iter_mut().zip(gradients).zip(entries) {
            if !entry.is_statistic {
                sum.iter_mut().for_each(|value| *value *= part);
            }
            gradient.upload(sum)?;
        }
        let (loss, rows, weight) = ((self.loss / self.weight) as f32, self.rows, self.weight);
        self.forget();
        Ok(Some(StepOutcome { loss, rows, weight, ..StepOutcome::default() }))
    }

    /// Begins anew; the memory stays.
    pub(super) fn forget(&mut self) {
        (self.batches, self.loss, self.weight, self.rows) = (0, 0.0, 0.0, 0);
        self.statistics.clear();
    }
}
