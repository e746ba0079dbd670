use serde::{Deserialize, Serialize};

/// How often a row of each class was taken for each class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfusionMatrix(Vec<Vec<u64>>);

impl ConfusionMatrix {
    /// With more classes there is no matrix: it would take gigabytes, and nobody could read it.
    pub const MOST_CLASSES: usize = 2000;

    pub(crate) fn new(classes: usize) -> Self {
        let classes = if classes <= Self::MOST_CLASSES { classes } else { 0 };
        Self(vec![vec![0; classes]; classes])
    }

    pub(super) fn add(&mut self, truth: usize, predicted: usize) {
        if let Some(count) = self.0.get_mut(truth).and_then(|row| row.get_mut(predicted)) {
            *count += 1;
        }
    }

    /// Counts by true class, then by predicted class; none with more than [`ConfusionMatrix::MOST_CLASSES`] classes.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.0
    }
}
