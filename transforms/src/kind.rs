use std::fmt;

use serde::{Deserialize, Serialize};

/// What a transform works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Whole batches.
    Batch,
    /// Chooses among other transforms.
    Combine,
    /// Images.
    Image,
    /// Text.
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batches",
            Self::Combine => "nothing by itself",
            Self::Image => "images",
            Self::Text => "text",
        })
    }
}
