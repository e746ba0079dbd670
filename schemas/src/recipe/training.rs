use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::MOST_THREADS;
use super::{defaults, short_forms};

/// Optimizer, schedule, length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct TrainingRecipe {
    /// Passes over the training rows.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Update rule.
    #[serde(deserialize_with = "short_forms::read")]
    pub optimizer: OptimizerRecipe,
    /// Learning rate over time.
    #[serde(deserialize_with = "short_forms::read")]
    pub schedule: Schedule,
    /// Factor on the learning rate for each layer further from the head, for example 0.9; 1 trains all alike.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub layer_decay: f32,
    /// Factors on the learning rate by layer name; the first that matches wins over `layer_decay`.
    pub learning_rate_multipliers: Vec<LearningRateMultiplier>,
    /// Share of the target probability spread evenly over all classes, 0 to 1 (Szegedy et al. 2016).
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
            optimizer: OptimizerRecipe::default(),
            schedule: Schedule::default(),
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

/// The update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = optimizers_alone)]
pub enum OptimizerRecipe {
    /// Adam with decoupled weight decay.
    Adamw(AdamW),
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
}

fn optimizers_alone(schema: &mut schemars::Schema) {
    short_forms::allow(schema, &["adamw", "sgd"]);
}

fn cosine_alone(schema: &mut schemars::Schema) {
    short_forms::allow(schema, &["cosine"]);
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        Self::Adamw(AdamW::default())
    }
}

impl OptimizerRecipe {
    /// The base learning rate.
    pub fn learning_rate(&self) -> f32 {
        match self {
            Self::Adamw(options) => options.learning_rate,
            Self::Sgd(options) => options.learning_rate,
        }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct AdamW {
    /// Step size, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f32,
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f32,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f32,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f32,
    /// Pull towards zero, times the learning rate, on weights of two axes or more.
    #[schemars(range(min = 0))]
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// Stochastic gradient descent with momentum, as PyTorch's `SGD` defines it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct Sgd {
    /// Step size, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f32,
    /// Share of the last step that is kept, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub momentum: f32,
    /// Look ahead by the momentum (Nesterov).
    pub nesterov: bool,
    /// Added to the gradient, times the weight, on weights of two axes or more.
    #[schemars(range(min = 0))]
    pub weight_decay: f32,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 1e-2, momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

/// The learning rate over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = cosine_alone)]
pub enum Schedule {
    /// The same at every step.
    #[default]
    Constant,
    /// Linear from zero over the warm-up, then half a cosine down to zero (Loshchilov and Hutter 2017).
    Cosine {
        /// Share of all steps spent warming up, 0 to 1.
        #[serde(default)]
        #[schemars(range(min = 0, max = 1))]
        warmup: f32,
    },
}
