use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Choice;

/// The pretrained model and what of it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// The ONNX file.
    pub path: PathBuf,
    /// The graph output that holds the class scores (logits), needed when there are several.
    #[serde(default)]
    pub output: Option<String>,
    /// Whether the last linear layer is kept or replaced.
    #[serde(default)]
    pub head: HeadRecipe,
    /// Which layers are trained; all others stay frozen.
    #[serde(default)]
    pub train: TrainSelection,
    /// What normalizations of trained layers normalize by.
    #[serde(default)]
    pub batch_normalization: BatchNormalization,
    /// What is added to the model and trained, in order: `lora` and its like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "methods")]
    pub methods: Vec<Choice>,
}

fn initializer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Initializer" })
}

fn methods(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "$ref": "#/$defs/Method" }, "default": [] })
}

/// The last linear layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadRecipe {
    /// Keep the pretrained one; the data must have as many classes as it has outputs.
    Keep,
    /// A new one with as many outputs as the data has classes, its weights drawn by `xavier_uniform`.
    #[default]
    New,
    /// A new one, its weights drawn as stated.
    NewWith(#[schemars(schema_with = "initializer")] Choice),
    /// A new one on an output `[batch, sequence, features]`, as encoders of text have it: the vectors of a sequence become
    /// one, and a linear layer reads that.
    Pooled(Pooling),
}

/// How the vectors of a sequence become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of the tokens, padding left out by the model's input `attention_mask`.
    #[default]
    Mean,
    /// The first token's.
    First,
}

/// What BatchNormalization of trained layers normalizes by. Of frozen layers it always keeps the statistics of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormalization {
    /// The running statistics of the pretrained model, which stay as they are. Scale and bias are trained. Right for small data
    /// and small batches, whose own statistics are noise.
    #[default]
    Frozen,
    /// Mean and variance of each batch, as PyTorch's training mode; the running statistics follow them, and are what the
    /// evaluation and the exported model use. For much data that looks otherwise than what the model was trained on, in
    /// batches of 16 rows or more.
    Training,
}

/// Which layers are trained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainSelection {
    /// The last linear layer only.
    #[default]
    Head,
    /// The last N layers that have weights, the head included.
    Last(usize),
    /// The layers whose name matches one of these patterns (`*` any run, `?` one character), and the head.
    Match(Vec<String>),
    /// Every layer.
    All,
    /// No layer: what `methods` add is trained, and nothing else.
    Nothing,
}
