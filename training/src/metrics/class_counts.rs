use super::measured_batch::MeasuredBatch;

/// Targets and answers of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassCount {
    /// Targets of this class.
    pub(super) rows: u64,
    /// Taken for this class.
    pub(super) taken: u64,
    /// Of this class, and taken for it.
    pub(super) right: u64,
}

/// Targets and answers by class.
#[derive(Clone, Debug)]
pub(super) struct ClassCounts(pub(super) Vec<ClassCount>);

impl ClassCounts {
    pub(super) fn new(classes: &[String]) -> Self {
        Self(vec![ClassCount::default(); classes.len()])
    }

    /// What has scores that are no numbers was taken for no class.
    pub(super) fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            self.0[answer.truth].rows += 1;
            if let Some(predicted) = answer.predicted {
                self.0[predicted].taken += 1;
                self.0[answer.truth].right += u64::from(predicted == answer.truth);
            }
        });
    }

    /// Classes that are there, among the targets or the answers.
    pub(super) fn present(&self) -> impl Iterator<Item = &ClassCount> {
        self.0.iter().filter(|class| class.rows > 0 || class.taken > 0)
    }
}

/// A share of something; none of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
