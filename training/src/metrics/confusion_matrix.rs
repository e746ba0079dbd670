use serde::{Deserialize, Serialize};

/// How often a row of each class was taken for each class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfusionMatrix(Vec<Vec<u64>>);

impl ConfusionMatrix {
    pub(super) fn new(classes: usize) -> Self {
        Self(vec![vec![0; classes]; classes])
    }

    pub(super) fn add(&mut self, truth: usize, predicted: usize) {
        self.0[truth][predicted] += 1;
    }

    /// Counts by true class, then by predicted class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.0
    }
}
