use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    NewWith(Initializer),
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

/// How new weights are drawn. Biases start at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initializer {
    /// Normal, standard deviation √(2 / fan_in) (He et al. 2015): for layers followed by a ReLU.
    HeNormal,
    /// Uniform in ±√(6 / fan_in) (He et al. 2015).
    HeUniform,
    /// Normal, standard deviation √(2 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    XavierNormal,
    /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    #[default]
    XavierUniform,
    /// All zeros: the first loss is exactly ln(classes).
    Zeros,
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
}
