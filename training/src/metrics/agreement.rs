//! How often truth and answer fall together, by class.

use super::measured_batch::MeasuredBatch;

/// Counts of true and of predicted classes, and of how far both are apart. Answers whose scores are no numbers are a class of
/// their own, as far from each class as the outermost ones are from each other.
#[derive(Debug)]
pub(super) struct Agreement {
    distance: Distance,
    pub(super) of_class: Vec<u64>,
    /// One more than classes.
    pub(super) taken: Vec<u64>,
    apart: u128,
}

/// How much two classes differ that are so far from each other in the order of the classes.
type Distance = fn(apart: u64) -> u64;

impl Agreement {
    pub(super) fn new(classes: usize, distance: Distance) -> Self {
        Self { distance, of_class: vec![0; classes], taken: vec![0; classes + 1], apart: 0 }
    }

    pub(super) fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            let predicted = answer.predicted.unwrap_or(self.of_class.len());
            self.of_class[answer.truth] += 1;
            self.taken[predicted] += 1;
            self.apart += u128::from(self.between(answer.truth, predicted));
        });
    }

    fn between(&self, truth: usize, predicted: usize) -> u64 {
        let classes = self.of_class.len() as u64;
        let apart = if predicted as u64 == classes { classes - 1 } else { truth.abs_diff(predicted) as u64 };
        // One class and no answer differ as well.
        (self.distance)(apart.max(u64::from(predicted as u64 == classes)))
    }

    pub(super) fn answers(&self) -> u128 {
        self.of_class.iter().copied().map(u128::from).sum()
    }

    /// Σ distance over the answers.
    pub(super) fn apart(&self) -> u128 {
        self.apart
    }

    /// The same times the number of answers, were truth and answer drawn apart from each other.
    pub(super) fn apart_by_chance(&self) -> u128 {
        let classes = self.of_class.iter().enumerate().filter(|(_, count)| **count > 0);
        let pairs = classes.flat_map(|(truth, rows)| {
            let answers = self.taken.iter().enumerate().filter(|(_, count)| **count > 0);
            answers.map(move |(predicted, taken)| {
                u128::from(*rows) * u128::from(*taken) * u128::from(self.between(truth, predicted))
            })
        });
        pairs.sum()
    }
}
