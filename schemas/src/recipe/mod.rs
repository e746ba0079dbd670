//! One YAML or JSON file that says what to do: model, data, transforms, training, evaluation, output.

#[cfg(feature = "yaml")]
mod advice;
mod around_steps;
mod batch_normalization;
mod bytes;
mod data;
mod defaults;
mod definitions;
mod evaluation;
mod fault;
mod flow;
#[cfg(feature = "yaml")]
mod foreign_words;
mod frozen_prefix;
#[cfg(feature = "yaml")]
mod kind;
mod limits;
#[cfg(feature = "yaml")]
mod load;
mod local_path;
mod memory_check;
mod model;
mod open_values;
mod output;
#[cfg(feature = "yaml")]
mod paths;
mod patterns;
mod placed_fault;
#[cfg(feature = "yaml")]
mod places;
mod precision;
#[cfg(feature = "yaml")]
mod ranges;
mod search;
mod setting;
#[cfg(feature = "yaml")]
mod shape;
mod short_forms;
mod steering;
mod stochastic_depth;
#[cfg(feature = "yaml")]
mod syntax;
#[cfg(feature = "yaml")]
mod text;
mod time_span;
mod train_selection;
mod training;
mod transforms;
mod warnings;
#[cfg(feature = "yaml")]
mod written_path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SchemaError;

pub use around_steps::{GradientNoiseRecipe, LookaheadRecipe, SharpnessAwareRecipe};
pub use batch_normalization::{BatchNormalization, StatisticsTransforms};
pub use bytes::ByteSize;
pub use data::{DamagedPolicy, DataRecipe, OrderStrength, SamplingRecipe, TransparencyPolicy};
pub use definitions::Definitions;
pub use evaluation::{
    CalibrateRecipe, EvaluationInterval, EvaluationRecipe, IntervalsRecipe, ThresholdRecipe, ViewAverage, ViewsRecipe,
};
pub use fault::Fault;
pub use flow::{flow, got};
pub use frozen_prefix::FrozenPrefixRecipe;
pub use limits::{LARGEST_BATCH, MOST_THREADS};
pub use local_path::local_path;
pub use memory_check::MemoryCheck;
pub use model::{DropoutMode, LayerInitializerRecipe, ModelRecipe};
pub use output::{AdapterFormat, AdaptersOutput, CheckpointRecipe, OutputRecipe};
pub use patterns::Patterns;
pub use placed_fault::{Excerpt, PlacedFault, WrittenAt};
pub use precision::Precision;
pub use search::{ConstraintRecipe, FoldsRecipe, SearchRecipe};
pub use setting::Setting;
pub use steering::{
    FreezingRecipe, GroupRate, LayerRole, Moment, ParameterGroupRecipe, ParameterKind, ParameterSelection, StartSpan,
};
pub use stochastic_depth::{DepthMode, DepthSchedule, StochasticDepthRecipe};
#[cfg(feature = "yaml")]
pub use text::RecipeText;
pub use time_span::TimeSpan;
pub use train_selection::{TrainPart, TrainSelection, TrainWord};
pub use training::{
    AverageRecipe, EarlyStoppingRecipe, LearningRateMultiplier, NonFiniteRecipe, PenaltiesRecipe, TrainingRecipe,
};
pub use transforms::TransformsRecipe;
#[cfg(feature = "yaml")]
pub use written_path::relative_path;

/// A whole recipe.
///
/// Relative paths are taken from the folder of the recipe file; `~` is the home folder, and `$NAME` or `${NAME}` in a path
/// is replaced by that environment variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = defaults::short)]
pub struct Recipe {
    /// Version of the recipe format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Seed of everything that is random: order, augmentation, new weights.
    #[serde(default)]
    pub seed: u64,
    /// The pretrained model and what of it is trained; all commands but `preview` need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRecipe>,
    /// Where the rows come from and how they are read.
    pub data: DataRecipe,
    /// What happens to each row before the model sees it.
    #[serde(default)]
    pub transforms: TransformsRecipe,
    /// Optimizer, schedule, length.
    #[serde(default)]
    pub training: TrainingRecipe,
    /// When and on what else the run is measured, how the tuned model is at the end, and what is fitted to it.
    #[serde(default, skip_serializing_if = "EvaluationRecipe::is_usual")]
    pub evaluation: EvaluationRecipe,
    /// Where results go.
    #[serde(default)]
    pub output: OutputRecipe,
    /// What `millstream search` does with the values that the recipe leaves open; other commands pass it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchRecipe>,
}

impl Recipe {
    /// The version that this build reads.
    pub const VERSION: u32 = 1;

    /// The model, for a `command` that cannot do without.
    ///
    /// # Errors
    /// The recipe names none.
    pub fn require_model(&self, command: &str) -> Result<&ModelRecipe, SchemaError> {
        self.model.as_ref().ok_or_else(|| SchemaError::Value {
            place: "model".into(),
            message: format!(
                "missing; `{command}` needs a model, for example `model: {{path: model.onnx}}`; `millstream init DATA MODEL` fills in what \
                 follows from one"
            ),
        })
    }
}
