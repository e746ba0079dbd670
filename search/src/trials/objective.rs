use serde::{Deserialize, Serialize};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The lower, the better.
    Minimize,
    /// The higher, the better.
    Maximize,
}

impl Direction {
    /// A figure as a loss: the lower, the better.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

/// A figure that is looked for, and which way it is better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The figure's name, such as `accuracy`.
    pub figure: String,
    /// Which way it is better.
    pub direction: Direction,
}

impl Objective {
    /// The lower, the better.
    pub fn minimize(figure: impl Into<String>) -> Self {
        Self { figure: figure.into(), direction: Direction::Minimize }
    }

    /// The higher, the better.
    pub fn maximize(figure: impl Into<String>) -> Self {
        Self { figure: figure.into(), direction: Direction::Maximize }
    }
}
