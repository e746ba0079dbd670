use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Choice;

/// Where results go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputRecipe {
    /// Folder for the tuned model, metrics, report and checkpoints; made when missing.
    pub folder: PathBuf,
    /// When checkpoints are written and how many are kept.
    pub checkpoint: CheckpointRecipe,
    /// Where what `model.methods` add stands in the tuned model.
    pub adapters: AdaptersOutput,
    /// What `model.methods` add as files of their own, beside the tuned model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapter_files: Vec<AdapterFormat>,
    /// Logs that are written while the run goes on, for other programs to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "logs")]
    pub logs: Vec<Choice>,
    /// Write the weights of the last step too, as `last.onnx`, beside those that were best.
    pub last_model: bool,
}

impl Default for OutputRecipe {
    fn default() -> Self {
        Self {
            folder: "runs/run".into(),
            checkpoint: CheckpointRecipe::default(),
            adapters: AdaptersOutput::default(),
            adapter_files: Vec::new(),
            logs: Vec::new(),
            last_model: false,
        }
    }
}

fn logs(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "$ref": "#/$defs/Log" }, "default": [] })
}

/// Where what methods have added stands in a tuned model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdaptersOutput {
    /// In the model's own weights, which are as many as before; what cannot be written into them stands beside them.
    #[default]
    Merged,
    /// Beside the model's own weights, which are as they were.
    Unmerged,
}

/// A form of files that hold what methods have added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterFormat {
    /// A folder `adapter` as Hugging Face's PEFT reads it: `adapter_config.json` and `adapter_model.safetensors`; of several
    /// methods `adapter-2` and so on beside it.
    Peft,
    /// `adapter.onnx_adapter` for ONNX Runtime, and `base.onnx`, a model that takes it and others: without one it is the model
    /// as it was, with the new head. Of one method.
    OnnxAdapter,
}

/// When checkpoints are written, beside the steps. One is always written at each evaluation, at the end of each epoch and
/// when the run is interrupted.
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
