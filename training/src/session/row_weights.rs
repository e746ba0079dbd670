use millstream_schemas::{Batch, Tensor};

/// How much each row of a batch counts in the loss; 0 for one without a target, and for an empty slot.
#[derive(Clone, Debug, PartialEq)]
pub struct RowWeights(Vec<f64>);

impl RowWeights {
    /// Those of the batch where the graph takes them as an input (`are_given`); otherwise a row of float targets sums to
    /// its weight.
    pub(super) fn of(batch: &Batch, are_given: bool) -> Self {
        match batch.targets().and_then(Tensor::as_f32).filter(|_| !are_given) {
            Some(targets) => {
                let in_a_row = (targets.len() / batch.capacity().max(1)).max(1);
                Self(targets.chunks(in_a_row).map(|row| row.iter().copied().map(f64::from).sum()).collect())
            }
            None => Self(batch.weights.iter().copied().map(f64::from).collect()),
        }
    }

    /// Rows that count.
    pub(super) fn rows(&self) -> u64 {
        self.0.iter().filter(|weight| **weight != 0.0).count() as u64
    }

    /// Of each row.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// That of one row alone.
    pub(super) fn of_row(&self, row: usize) -> Self {
        Self(vec![self.0[row]])
    }

    pub(super) fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    /// As an input of the graph, `[batch]`.
    pub(super) fn as_tensor(&self) -> Tensor {
        Tensor::f32([self.0.len()], self.0.iter().map(|weight| *weight as f32).collect::<Vec<_>>())
    }
}
