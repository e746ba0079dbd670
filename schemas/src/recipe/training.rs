use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TimeSpan;
use super::around_steps::{GradientNoiseRecipe, LookaheadRecipe, SharpnessAwareRecipe};
use super::defaults;
use super::frozen_prefix::FrozenPrefixRecipe;
use super::limits::MOST_THREADS;
use super::memory_check::MemoryCheck;
use super::precision::Precision;
use super::short_forms;
use super::steering::{FreezingRecipe, ParameterGroupRecipe, StartSpan};
use crate::Choice;

/// Optimizer, schedule, length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct TrainingRecipe {
    /// Passes over the training rows.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// End after so many steps if the epochs are not done before; schedules count to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_steps: Option<u64>,
    /// End after so much time, that of interrupted parts and of evaluations included: what was learned by then is evaluated and
    /// exported. A resumed run may have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time: Option<TimeSpan>,
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
    /// What is measured on the evaluation rows beside the loss; what suits the loss unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metrics")]
    pub metrics: Option<Vec<Choice>>,
    /// The figure that decides which evaluation is the best, by its name in `metrics.json`, `loss` among them; the accuracy unless
    /// it is said, or the loss where none is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
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
    /// What the step computes with: `float32`, or on a CUDA device `tf32`, `bfloat16` or `float16`. Parameters, the optimizer's
    /// state and the exported model are 32-bit floats in each.
    #[serde(skip_serializing_if = "Precision::is_float32")]
    pub precision: Precision,
    /// Threads of ONNX Runtime; 0 takes one for each core.
    #[schemars(range(max = MOST_THREADS))]
    pub threads: usize,
    /// Batches whose gradients make one step, as if they were one batch; fewer at the end of an epoch.
    #[schemars(range(min = 1))]
    pub accumulate: u64,
    /// Scale all gradients down together when their joint Euclidean norm is above this; those of `penalties` are
    /// among them.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gradient_clip_norm: Option<f32>,
    /// Cut each number of a gradient to this, either side of 0, behind `gradient_clip_norm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gradient_clip_value: Option<f32>,
    /// Terms beside the loss, of what has weight decay: weights, not norms and biases, unless `decay_all` or a group says otherwise.
    /// Their gradients are added to that of the loss, once for each update, before `gradient_clip_norm` and `gradient_clip_value`
    /// cut the sum, as in PyTorch, where they are terms of the loss.
    #[serde(skip_serializing_if = "PenaltiesRecipe::is_none")]
    pub penalties: PenaltiesRecipe,
    /// λ of a decay by L1: behind each update w ← sign(w)·max(|w| − η·λ, 0), η the learning rate of the step, so that weights reach 0
    /// and stay there unless the gradient is stronger (soft thresholding, Donoho 1995; the proximal step of λ·Σ|w|, Duchi and Singer
    /// 2009). For what has weight decay: weights, not norms and biases, unless `decay_all` or a group says otherwise. No clipping
    /// touches it, nor does an optimizer divide it by the size of gradients, as both do with `penalties.l1`.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub l1_decay: f32,
    /// The average of the weights of many steps that is evaluated and exported in their place, or of a few states that is exported.
    #[serde(deserialize_with = "short_forms::read", skip_serializing_if = "Option::is_none")]
    pub average: Option<AverageRecipe>,
    /// Slow weights that are led after those that are trained, and these back to them, every few steps; they are evaluated and
    /// exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookahead: Option<LookaheadRecipe>,
    /// Gradients are those of weights a way uphill, so that flat minima are found (SAM, ASAM): each step takes twice as long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharpness_aware: Option<SharpnessAwareRecipe>,
    /// Noise that is added to gradients, less and less of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_noise: Option<GradientNoiseRecipe>,
    /// When the run ends before its epochs are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingRecipe>,
    /// Whether norms and biases have weight decay too; without it weights alone do. A group's own decay goes first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decay_all: bool,
    /// Parameters with a learning rate or a weight decay of their own; each is in the first group that it fits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<ParameterGroupRecipe>,
    /// How long the head is trained alone before all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_first: Option<StartSpan>,
    /// Parameters that are frozen at first, and from when on they are trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfreeze: Vec<FreezingRecipe>,
    /// Parameters that are trained no longer from some time on; an `unfreeze` behind it trains them again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<FreezingRecipe>,
    /// What is done about a loss or gradients that are infinite or not a number.
    #[serde(deserialize_with = "short_forms::read", skip_serializing_if = "NonFiniteRecipe::is_usual")]
    pub non_finite: NonFiniteRecipe,
    /// Whether the part of the model in front of all that is trained is run once for each row and what it gives is kept.
    #[serde(deserialize_with = "short_forms::read", skip_serializing_if = "FrozenPrefixRecipe::is_recomputed")]
    pub frozen_prefix: FrozenPrefixRecipe,
    /// What is done where a run on the CPU would hold far more memory than the machine has.
    #[serde(skip_serializing_if = "MemoryCheck::is_refuse")]
    pub memory_check: MemoryCheck,
}

/// What is done about a loss or gradients that are infinite or not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(transform = skip_alone)]
pub enum NonFiniteRecipe {
    /// End with an error that names the rows; the last checkpoint is as good as ever.
    #[default]
    Stop,
    /// Leave the update out and count it; weights and what the optimizer remembers stay as they are.
    Skip {
        /// So many one after the other; one more ends the run.
        #[serde(default = "ten")]
        #[schemars(range(min = 1))]
        most_in_a_row: u64,
    },
}

impl NonFiniteRecipe {
    /// Whether the run ends.
    pub fn is_usual(&self) -> bool {
        *self == Self::Stop
    }
}

fn ten() -> u64 {
    10
}

fn skip_alone(schema: &mut schemars::Schema) {
    short_forms::allow(schema, &["skip"]);
}

fn is_zero(number: &f32) -> bool {
    *number == 0.0
}

/// Terms beside the loss, each with its strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PenaltiesRecipe {
    /// λ of λ·Σ|w|, which pulls weights by the same step whatever their size, to around 0 and not to it.
    #[schemars(range(min = 0))]
    pub l1: f32,
    /// λ of λ/2·Σw².
    #[schemars(range(min = 0))]
    pub l2: f32,
    /// λ of λ/2·Σ(w − w₀)², w₀ the weights before the first step: what was pretrained stays near.
    #[schemars(range(min = 0))]
    pub l2_sp: f32,
}

impl PenaltiesRecipe {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// An average of the weights of many steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(transform = average_alone)]
pub enum AverageRecipe {
    /// Exponential: each step, with t before it, makes the average d·average + (1 − d)·weights, d = min(`decay`, (1 + t) / (10 + t)).
    /// The first step makes it the weights.
    Ema {
        /// Share that stays, 0 to below 1.
        #[serde(default = "usual_decay")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        decay: f64,
    },
    /// The mean of the weights at the end of each epoch behind a share of the run (stochastic weight averaging).
    Swa {
        /// Share of the epochs that come before, 0 to below 1.
        #[serde(default = "usual_start")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        from: f64,
    },
    /// The mean of the last so many states that were evaluated, for the export alone.
    Last(#[schemars(range(min = 1))] usize),
    /// The mean of the so many best states that were evaluated, by the figure that `best` names, for the export alone.
    Best(#[schemars(range(min = 1))] usize),
}

impl AverageRecipe {
    /// Whether it is of the weights of all steps, and what is evaluated in the course of a run.
    pub fn is_of_steps(self) -> bool {
        matches!(self, Self::Ema { .. } | Self::Swa { .. })
    }
}

fn usual_decay() -> f64 {
    0.999
}

fn usual_start() -> f64 {
    0.75
}

fn average_alone(schema: &mut schemars::Schema) {
    short_forms::allow(schema, &["ema", "swa"]);
}

/// When a run ends before its epochs are done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingRecipe {
    /// Evaluations in a row (epochs, unless `evaluation.every` says otherwise) without a gain in the figure that `best` names.
    #[schemars(range(min = 1))]
    pub patience: u64,
    /// How much better it must be than the best before to be a gain.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub least_gain: f64,
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self {
            epochs: 5,
            max_steps: None,
            max_time: None,
            optimizer: Choice::named("adamw"),
            loss: None,
            metrics: None,
            best: None,
            schedule: Choice::named("constant"),
            layer_decay: 1.0,
            learning_rate_multipliers: Vec::new(),
            label_smoothing: 0.0,
            device: "auto".into(),
            precision: Precision::Float32,
            threads: 0,
            accumulate: 1,
            gradient_clip_norm: None,
            gradient_clip_value: None,
            penalties: PenaltiesRecipe::default(),
            l1_decay: 0.0,
            average: None,
            lookahead: None,
            sharpness_aware: None,
            gradient_noise: None,
            early_stopping: None,
            decay_all: false,
            groups: Vec::new(),
            head_first: None,
            unfreeze: Vec::new(),
            freeze: Vec::new(),
            non_finite: NonFiniteRecipe::Stop,
            frozen_prefix: FrozenPrefixRecipe::Recomputed,
            memory_check: MemoryCheck::Refuse,
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

fn metrics(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let list = serde_json::json!({ "type": "array", "items": { "$ref": "#/$defs/Metric" } });
    schemars::json_schema!({ "anyOf": [list, { "type": "null" }], "default": null })
}

fn schedule(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Schedule", "default": "constant" })
}
