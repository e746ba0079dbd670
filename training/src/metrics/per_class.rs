use serde::{Deserialize, Serialize};

use super::ConfusionMatrix;

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

pub(super) fn scores(matrix: &ConfusionMatrix, classes: &[String]) -> Vec<ClassScore> {
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let score = |(index, name): (usize, &String)| {
        let right = matrix.rows()[index][index];
        let rows = matrix.rows()[index].iter().sum();
        let taken = matrix.rows().iter().map(|row| row[index]).sum();
        ClassScore { name: name.clone(), rows, precision: share(right, taken), recall: share(right, rows) }
    };
    classes.iter().enumerate().map(score).collect()
}
