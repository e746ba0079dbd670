use serde::{Deserialize, Serialize};

/// How good a model is at one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class.
    pub name: String,
    /// Rows that are of this class.
    pub rows: u64,
    /// Share of the rows taken for this class that are of it; none when no row was.
    pub precision: Option<f64>,
    /// Share of the rows of this class that were taken for it; none when there are none.
    pub recall: Option<f64>,
}

/// Rows by class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClassCount {
    rows: u64,
    taken: u64,
    right: u64,
}

/// Counts a row of class `truth`; it was taken for no class when its scores are no numbers.
pub(super) fn add(counts: &mut [ClassCount], truth: usize, predicted: Option<usize>) {
    counts[truth].rows += 1;
    if let Some(predicted) = predicted {
        counts[predicted].taken += 1;
        counts[truth].right += u64::from(predicted == truth);
    }
}

pub(super) fn scores(counts: &[ClassCount], classes: &[String]) -> Vec<ClassScore> {
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let score = |(name, ClassCount { rows, taken, right }): (&String, &ClassCount)| ClassScore {
        name: name.clone(),
        rows: *rows,
        precision: share(*right, *taken),
        recall: share(*right, *rows),
    };
    classes.iter().zip(counts).map(score).collect()
}
