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
    /// Layers that start from new weights instead of the model's own; the first entry that matches a layer counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initialize: Vec<LayerInitializerRecipe>,
    /// Which layers are trained; all others stay frozen.
    #[serde(default)]
    pub train: TrainSelection,
    /// What normalizations of trained layers normalize by.
    #[serde(default)]
    pub batch_normalization: BatchNormalization,
    /// What the model's own `Dropout` nodes do in training.
    #[serde(default)]
    pub dropout: DropoutMode,
    /// What is added to the model and trained, in order: `lora` and its like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "methods")]
    pub methods: Vec<Choice>,
}

fn initializer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Initializer" })
}

fn optional_initializer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "anyOf": [{ "$ref": "#/$defs/Initializer" }, { "type": "null" }] })
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
    /// A new one of one or more layers on what a model gives, with a class for each row, token or pixel.
    OnFeatures(FeatureHeadRecipe),
}

/// A new head on features: vectors `[batch, features]`, sequences of them `[batch, sequence, features]`, or maps
/// `[batch, features, height, width]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureHeadRecipe {
    /// Which features it reads.
    pub reads: HeadInput,
    /// How those of a row become one vector; without it each token of a sequence, or pixel of a map, has an answer of its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Widths of the layers before the last, in order; none for a single layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 1)))]
    pub hidden: Vec<usize>,
    /// What stands behind each of those.
    pub activation: Activation,
    /// Share of the numbers in front of each of its layers that training leaves out at random, 0 to below 1.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f32,
    /// How its weights are drawn; `xavier_uniform` by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_initializer")]
    pub new_with: Option<Choice>,
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

/// Which features a new head reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadInput {
    /// What the model gives.
    #[default]
    Output,
    /// What the model's last linear layer reads, which it takes the place of.
    BeforeHead,
}

/// What stands between two layers of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x).
    #[default]
    Relu,
    /// x·Φ(x), Φ the normal distribution function.
    Gelu,
    /// x·σ(x), σ the logistic function.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
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
    /// The largest of each feature, padding left out as for the mean.
    Max,
    /// A mean by a share that a new layer gives each token, softmax(x·w), padding left out as for the mean.
    Attention,
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
