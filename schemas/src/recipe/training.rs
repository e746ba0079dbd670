use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::limits::MOST_THREADS;
use crate::Choice;

/// Optimizer, schedule, length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct TrainingRecipe {
    /// Passes over the training rows.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Update rule.
    #[schemars(schema_with = "optimizer")]
    pub optimizer: Choice,
    /// What is minimized; the cross-entropy of the classes unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "loss")]
    pub loss: Option<Choice>,
    /// Learning rate over time.
    #[schemars(schema_with = "schedule")]
    pub schedule: Choice,
    /// Factor on the learning rate for each layer further from the head, for example 0.9; 1 trains all alike.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub layer_decay: f32,
    /// Factors on the learning rate by layer name; the first that matches wins over `layer_decay`.
    pub learning_rate_multipliers: Vec<LearningRateMultiplier>,
    /// Share of the target probability spread evenly over all classes, 0 to 1 (Szegedy et al. 2016): the option of this name
    /// of the loss, written short.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub label_smoothing: f32,
    /// Where the step runs: `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Threads of ONNX Runtime; 0 takes one for each core.
    #[schemars(range(max = MOST_THREADS))]
    pub threads: usize,
    /// Scale all gradients down together when their joint Euclidean norm is above this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gradient_clip_norm: Option<f32>,
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self {
            epochs: 5,
            optimizer: Choice::named("adamw"),
            loss: None,
            schedule: Choice::named("constant"),
            layer_decay: 1.0,
            learning_rate_multipliers: Vec::new(),
            label_smoothing: 0.0,
            device: "auto".into(),
            threads: 0,
            gradient_clip_norm: None,
        }
    }
}

/// A factor on the learning rate of some layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearningRateMultiplier {
    /// Pattern of layer names (`*` any run, `?` one character).
    pub r#match: String,
    /// The factor, 0 or more.
    #[schemars(range(min = 0))]
    pub multiplier: f32,
}

fn optimizer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Optimizer", "default": "adamw" })
}

fn loss(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "anyOf": [{ "$ref": "#/$defs/Loss" }, { "type": "null" }], "default": null })
}

fn schedule(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Schedule", "default": "constant" })
}
