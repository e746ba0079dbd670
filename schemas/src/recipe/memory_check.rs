use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done where a run on the CPU would hold far more memory than there is: half as much again as the machine has, or as the
/// process may take of it. What is told before is off by some tens of percent, so less than that is a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryCheck {
    /// It is not begun.
    #[default]
    Refuse,
    /// It is begun all the same, with a warning.
    Warn,
}

impl MemoryCheck {
    /// Whether such runs are not begun.
    pub fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}
