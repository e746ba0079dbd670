use serde::Serialize;

/// A place that was looked at, and what was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The place in words, with its path.
    pub place: String,
    /// What was found.
    pub finding: String,
}
