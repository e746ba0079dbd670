//! What is trained: the layers of a model, its head, and the selection of both.

mod added_vectors;
mod angles;
mod applied;
mod asked_for;
pub mod attention;
pub(crate) mod batch_statistics;
mod chosen_output;
mod class_axis;
mod constant_kind;
mod constant_rules;
pub(crate) mod dropout;
mod einsum_layers;
mod ending;
mod feature_axis;
mod finite_weights;
mod fourier_table;
mod frozen_constant;
mod head;
pub mod heads;
mod initialize;
mod layers;
mod left_out;
mod method_report;
pub mod methods;
pub(crate) mod module_path;
mod moved_axes;
mod named_parameter;
mod nodes;
mod normalize;
mod one_score;
mod operator_settings;
mod parameter_selection;
mod parameters;
mod pattern;
mod replacement;
pub(crate) mod residual;
mod score_constants;
mod score_effects;
mod scores;
mod selection;
mod singular_values;
mod standardize;
mod state_rates;
pub(crate) mod stochastic_depth;
pub(crate) mod stored_form;
mod table_copies;
mod temperature;
mod ties;
mod trained_parts;
pub(crate) mod training_mode;
mod views;
mod weight;
mod weight_kind;

use std::collections::BTreeMap;

use crate::losses::Loss;
use millstream_schemas::recipe::{
    BatchNormalization, DropoutMode, LearningRateMultiplier, ParameterSelection, Precision, StochasticDepthRecipe,
    TrainSelection,
};
use millstream_schemas::{AxisLength, Standardization};

pub(crate) use applied::{Applied, Unadapted};
pub(crate) use asked_for::ask_for;
pub use attention::find_attentions;
pub(crate) use chosen_output::chosen_output;
pub(crate) use einsum_layers::write_einsum_layers;
pub(crate) use ending::ending;
pub(crate) use finite_weights::require_finite;
pub use frozen_constant::FrozenConstant;
pub(crate) use frozen_constant::frozen_constants;
pub use head::Head;
pub use heads::{FeatureHead, HeadChoice};
pub use initialize::LayerInitializer;
pub(crate) use initialize::initialize;
pub(crate) use layers::other_weights;
pub use layers::{Layer, layers};
pub use method_report::MethodReport;
pub use methods::Method;
pub(crate) use nodes::named;
pub(crate) use normalize::normalize;
pub(crate) use one_score::is_one_score;
pub(crate) use parameter_selection::{LayerFacts, ParameterFinder, places};
pub use pattern::matches as pattern_matches;
pub(crate) use score_effects::{ScoreEffect, score_effect};
pub(crate) use scores::{ScoreLayout, chances_behind, find_scores, rows_are_second};
pub(crate) use selection::{check_factors, layers_before, select, untie};
pub(crate) use standardize::{standardize_input, undo_output};
pub(crate) use state_rates::note_of_rates;
pub(crate) use table_copies::{table_copies, tie_copies};
pub(crate) use temperature::{divide_scores, maker_of_scores};
pub(crate) use ties::note as note_of_ties;
pub use trained_parts::SelectedPart;
pub(crate) use trained_parts::{Selected, TrainedLayer, select_parts};
pub use weight::Weight;
pub(crate) use weight_kind::is_matrix;

/// What to compile a model into.
#[derive(Clone, Debug)]
pub struct FineTuning {
    /// Rows in a batch: a number, or a name under which the training step takes any. With a number every axis of the
    /// inputs must have one, by the file or by `inputs`, unless `inputs` names it; with a name, those that nobody fixes
    /// keep the names that the file gives them.
    pub batch: AxisLength,
    /// Shapes of inputs by name, first axis the batch, where the data decides them. An axis that is named here is left
    /// open, and is as long as others of that name.
    pub inputs: BTreeMap<String, Vec<AxisLength>>,
    /// Inputs `[batch, sequence]` that hold 1 for what is a row's and 0 for padding, by their names; where there are none, these
    /// tell it.
    pub masks: Vec<String>,
    /// The output that is trained; needed when the model has several.
    pub output: Option<String>,
    /// Whether the last linear layer is kept or replaced.
    pub head: HeadChoice,
    /// Number of classes of the data; where the targets are numbers, how many there are in a row.
    pub classes: usize,
    /// How many axes a prediction has that the targets are held against, where it is known. Where it is 2, a model that gives
    /// `[batch, classes, 1, 1]` is read as one that gives `[batch, classes]`.
    pub prediction_axes: Option<usize>,
    /// What was learned of columns of numbers, by the inputs that they go to: it becomes a part of the model.
    pub standardize: BTreeMap<String, Standardization>,
    /// What was learned of the targets: it is undone in the model's answer.
    pub undo: Option<Standardization>,
    /// Which layers start from new weights, and how those are drawn; the first that matches counts.
    pub initialize: Vec<LayerInitializer>,
    /// Which layers are trained, or which parameters within them.
    pub train: TrainSelection,
    /// What BatchNormalization of trained layers normalizes by.
    pub batch_normalization: BatchNormalization,
    /// What the model's own `Dropout` nodes do in training.
    pub dropout: DropoutMode,
    /// How residual branches are left out in training; none is without it.
    pub stochastic_depth: Option<StochasticDepthRecipe>,
    /// What is added to the model and trained, in order.
    pub methods: Vec<Method>,
    /// Factor on the learning rate for each layer further from the head.
    pub layer_decay: f32,
    /// Factors on the learning rate by layer name.
    pub learning_rate_multipliers: Vec<LearningRateMultiplier>,
    /// Of which selections the program is to say which of its parameters they mean.
    pub selections: Vec<ParameterSelection>,
    /// What is minimized.
    pub loss: Loss,
    /// Seed of new weights.
    pub seed: u64,
    /// What the training step and the evaluation compute with; the exported model stays as it is.
    pub precision: Precision,
}

impl FineTuning {
    /// A new head for `classes` classes, all else frozen.
    pub fn head(batch: impl Into<AxisLength>, classes: usize) -> Self {
        Self {
            batch: batch.into(),
            inputs: BTreeMap::new(),
            masks: Vec::new(),
            output: None,
            head: HeadChoice::default(),
            classes,
            prediction_axes: None,
            standardize: BTreeMap::new(),
            undo: None,
            initialize: Vec::new(),
            train: TrainSelection::Head,
            batch_normalization: BatchNormalization::default(),
            dropout: DropoutMode::default(),
            stochastic_depth: None,
            methods: Vec::new(),
            layer_decay: 1.0,
            learning_rate_multipliers: Vec::new(),
            selections: Vec::new(),
            loss: Loss::default(),
            seed: 0,
            precision: Precision::default(),
        }
    }
}
