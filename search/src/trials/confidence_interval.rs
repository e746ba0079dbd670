use serde::{Deserialize, Serialize};

/// Where the first figure of a trial lies in 95 of 100 cases, as far as it was noted when the trial ended. In a journal it is `[low, high]`,
/// or `[]` where it is known that nobody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<f64>", into = "Vec<f64>")]
pub enum ConfidenceInterval {
    /// Nothing was noted.
    #[default]
    NotNoted,
    /// Nobody can tell: it is of a figure that has none.
    Unknown,
    /// Its two ends, the lower one first.
    Between([f64; 2]),
}

impl ConfidenceInterval {
    /// What is noted of an interval; one without ends is unknown.
    pub fn noted(ends: Option<[f64; 2]>) -> Self {
        ends.filter(|ends| ends.iter().all(|end| end.is_finite())).map_or(Self::Unknown, Self::Between)
    }

    /// Whether nothing was noted.
    pub fn is_not_noted(&self) -> bool {
        *self == Self::NotNoted
    }
}

impl From<Vec<f64>> for ConfidenceInterval {
    fn from(ends: Vec<f64>) -> Self {
        Self::noted(ends.try_into().ok())
    }
}

impl From<ConfidenceInterval> for Vec<f64> {
    fn from(interval: ConfidenceInterval) -> Self {
        match interval {
            ConfidenceInterval::Between(ends) => ends.to_vec(),
            ConfidenceInterval::NotNoted | ConfidenceInterval::Unknown => Vec::new(),
        }
    }
}
