use std::fmt;

use serde::{Deserialize, Serialize};

use super::course::Course;
use crate::History;

/// What becomes of a trial after a report; of several rules' decisions the last in this order holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It goes on.
    #[default]
    Continue,
    /// It is set aside with what it has learned, and may be gone on with later.
    Pause,
    /// It ends.
    Stop,
}

/// A stopping rule as it is chosen in a recipe.
pub trait StoppingFunction: fmt::Debug + Send + Sync {
    /// What becomes of a trial, after its last report.
    fn decide(&self, course: &Course<'_>) -> Decision;

    /// A paused trial that is worth going on with, where the rule pauses at all.
    fn promoted(&self, history: &History<'_>) -> Option<u64> {
        let _ = history;
        None
    }
}
