use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_normalization::BatchNormalization;
use super::{StochasticDepthRecipe, TrainSelection, short_forms};
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
    #[serde(default = "new_head")]
    #[schemars(schema_with = "head")]
    pub head: Choice,
    /// Layers that start from new weights instead of the model's own; the first entry that matches a layer counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initialize: Vec<LayerInitializerRecipe>,
    /// Which layers are trained, or which parameters within them; all others stay frozen.
    #[serde(default)]
    pub train: TrainSelection,
    /// What normalizations of trained layers normalize by.
    #[serde(default, deserialize_with = "short_forms::read")]
    pub batch_normalization: BatchNormalization,
    /// What the model's own `Dropout` nodes do in training.
    #[serde(default)]
    pub dropout: DropoutMode,
    /// How residual branches are left out in training; none is without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stochastic_depth: Option<StochasticDepthRecipe>,
    /// What is added to the model and trained, in order: `lora` and its like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "methods")]
    pub methods: Vec<Choice>,
}

fn initializer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Initializer" })
}

fn new_head() -> Choice {
    Choice::named("new")
}

fn head(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Head", "default": "new" })
}

fn methods(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "$ref": "#/$defs/Method" }, "default": [] })
}

/// How layers of some names are drawn anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerInitializerRecipe {
    /// Their names (`*` any run, `?` one character); `*` alone is the whole model.
    pub r#match: String,
    /// How their matrices, kernels and tables are drawn; biases and shifts become 0, scales 1.
    #[schemars(schema_with = "initializer")]
    pub with: Choice,
}

/// What the `Dropout` nodes of a model's file do in training; in evaluations and in the exported model they pass all on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DropoutMode {
    /// They pass all on, as in inference. Most files have none: exporters leave them out.
    #[default]
    Off,
    /// They set a share of the numbers to 0 and enlarge the others, anew at each step, by masks that follow from the seed and the
    /// step. Where they lie in front of frozen layers too.
    Live,
}
