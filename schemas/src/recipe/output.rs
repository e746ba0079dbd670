use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where results go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputRecipe {
    /// Folder for the tuned model, metrics, report and checkpoints; made when missing.
    pub folder: PathBuf,
    /// When checkpoints are written and how many are kept.
    pub checkpoint: CheckpointRecipe,
}

impl Default for OutputRecipe {
    fn default() -> Self {
        Self { folder: "runs/run".into(), checkpoint: CheckpointRecipe::default() }
    }
}

/// When checkpoints are written. One is always written at the end of each epoch and when the run is interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointRecipe {
    /// Also every so many steps; 0 for never.
    pub every_steps: u64,
    /// How many are kept; older ones are deleted.
    #[schemars(range(min = 1))]
    pub keep: usize,
}

impl Default for CheckpointRecipe {
    fn default() -> Self {
        Self { every_steps: 0, keep: 2 }
    }
}
