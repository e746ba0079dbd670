//! Running statistics of a mean of weights, which has none of its own: one pass over the training rows of a recipe.

use std::cell::{Cell, OnceCell, RefCell};
use std::path::Path;

use millstream_compiler::Model;
use millstream_compiler::fused::AveragedWeights;
use millstream_pipeline::Beside;
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::{
    AdaptersOutput, BatchNormalization, DropoutMode, FrozenPrefixRecipe, StatisticsTransforms, TrainSelection,
};
use millstream_schemas::{Choice, Recipe, Standardization, count};
use millstream_training::{RunningStatistics, StepRunner, StepSettings, running_statistics};

use crate::error::with_causes;
use crate::precision::in_precision;
use crate::preprocessing::Preprocessing;
use crate::step_settings::step_settings;
use crate::stream::{Stream, Watched};
use crate::{Catalogs, Opened, RecipeError, Stop};

/// What statistics are computed from.
pub(super) struct MeanStatistics<'a> {
    recipe: &'a Recipe,
    catalogs: &'a Catalogs,
    library: Option<&'a Path>,
    stop: &'a Stop,
    /// Opened when it is first needed.
    opened: OnceCell<Opened>,
}

impl<'a> MeanStatistics<'a> {
    pub(super) fn new(recipe: &'a Recipe, catalogs: &'a Catalogs, library: Option<&'a Path>, stop: &'a Stop) -> Self {
        Self { recipe, catalogs, library, stop, opened: OnceCell::new() }
    }

    /// The mean with statistics of its own where those of its members differ, or with their averages where these cannot be computed, and
    /// why; `member` is the file of one of them.
    ///
    /// # Errors
    /// The mean is no model, or somebody asked for an end.
    pub(super) fn computed(&self, mean: AveragedWeights, member: &Path) -> Result<AveragedWeights, RecipeError> {
        if mean.statistics.is_empty() {
            return Ok(mean);
        }
        let model = Model::from_bytes(mean.file.to_vec())?;
        if standardizes(&model)? {
            return Ok(left(mean, "the model standardizes its numbers itself, which the recipe's rows are too"));
        }
        let differing = mean.statistics.len();
        let found = match self.found(model, member) {
            Ok(found) => found,
            Err(error) if self.stop.is_requested() => return Err(error),
            Err(error) => {
                let reason = format!("they cannot be computed anew from training rows: {}", with_causes(&error));
                return Ok(left(mean, &reason));
            }
        };
        let mut mean = mean.with_statistics(&found.values, &self.catalogs.operators)?;
        let computed = differing - mean.statistics.len();
        if computed > 0 {
            mean.notes.push(format!(
                "running statistics of normalizations differ between the members; those of the mean ({}) are computed anew from {}",
                count(computed as u64, "tensor"),
                count(found.rows, "training row")
            ));
        }
        match mean.statistics.is_empty() {
            true => Ok(mean),
            false => Ok(left(mean, "several normalizations share them, or none that is trained has them")),
        }
    }

    fn found(&self, mean: Model, member: &Path) -> Result<RunningStatistics, RecipeError> {
        let opened = self.opened(member)?.with_weights(mean);
        let compiled = opened.compile()?;
        let runtime = millstream_runtime::ready(self.library)?;
        let device = Device::resolve(self.recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
        let device = in_precision(device, self.recipe.training.precision)?;
        let settings = step_settings(&opened.recipe, &opened.optimizer, opened.run_length());
        let settings = StepSettings { averaging: None, ..settings };
        let mut runner = StepRunner::open(compiled.program(), &device, &settings)?;
        let rows = opened.statistics.as_ref();
        let rows =
            rows.ok_or_else(|| RecipeError::mismatch("model.batch_normalization", "no rows are named for it"))?;
        let options = rows.stream(&opened.recipe, None, Beside::Nothing);
        let (skipped, boxes) = (RefCell::new(None), Cell::new(0));
        let stream = Stream::open(None, &rows.source().dataset, options, None)?;
        let mut batches = Watched { stream, left: rows.batches(), skipped: &skipped, boxes: &boxes };
        let found = running_statistics(&mut runner, &mut batches, &|| self.stop.is_requested())?;
        found.ok_or_else(|| RecipeError::mismatch("data.train", "it was asked to stop"))
    }

    /// The recipe with a member as it is, all of which follows the batches; what only says how weights are changed is left out.
    fn opened(&self, member: &Path) -> Result<&Opened, RecipeError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = Opened::open(&with_member(self.recipe, member), self.catalogs)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

/// A recipe with a member of a mean as it is, of which no weight is changed and no file is written.
fn with_member(recipe: &Recipe, member: &Path) -> Recipe {
    let mut recipe = recipe.clone();
    if let Some(model) = &mut recipe.model {
        model.path = member.to_owned();
        model.head = Choice::named("keep");
        model.initialize.clear();
        model.methods.clear();
        model.train = TrainSelection::All;
        (model.dropout, model.stochastic_depth) = (DropoutMode::default(), None);
        if !model.batch_normalization.is_reestimated() {
            let transforms = StatisticsTransforms::default();
            model.batch_normalization = BatchNormalization::Reestimated { rows: None, transforms };
        }
    }
    let training = &mut recipe.training;
    training.learning_rate_multipliers.clear();
    training.groups.clear();
    training.freeze.clear();
    training.unfreeze.clear();
    (training.head_first, training.average, training.lookahead) = (None, None, None);
    (training.sharpness_aware, training.gradient_noise) = (None, None);
    training.frozen_prefix = FrozenPrefixRecipe::Recomputed;
    // without methods there are no adapters to write
    recipe.output.adapters = AdaptersOutput::Merged;
    recipe.output.adapter_files.clear();
    recipe
}

/// The mean as it is, with why its statistics are those of its members.
pub(super) fn left(mut mean: AveragedWeights, reason: &str) -> AveragedWeights {
    mean.notes.push(format!(
        "running statistics of normalizations differ between the members ({}) and were averaged, which is not what the mean of the weights \
         would gather: {reason}",
        count(mean.statistics.len() as u64, "tensor")
    ));
    mean
}

/// Whether what the model reads is standardized within it: rows that are opened for training would be twice.
fn standardizes(model: &Model) -> Result<bool, RecipeError> {
    let Some(noted) = Preprocessing::read(model)? else { return Ok(false) };
    let learned = noted.inputs().values().map(|made| serde_json::from_value::<Standardization>(made.learned.clone()));
    Ok(learned.flatten().any(|standardization| standardization != Standardization::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_that_writes_files_of_adapters_is_not_refused_for_the_methods_that_a_mean_is_without() {
        let text = "version: 1\nmodel: {path: m.onnx, methods: [{lora: {rank: 2}}]}\ndata: {train: a.parquet}\n\
                    output: {adapters: unmerged, adapter_files: [peft]}\n";
        let recipe = Recipe::from_text(text, Path::new("r.yaml"), Path::new("/sets"), &[]).unwrap();
        assert_eq!(recipe.output.adapter_files.len(), 1);
        let opened = with_member(&recipe, Path::new("/runs/one/model.onnx"));
        let model = opened.model.unwrap();
        assert!(model.methods.is_empty() && model.batch_normalization.is_reestimated());
        assert_eq!(model.path, Path::new("/runs/one/model.onnx"));
        assert_eq!((opened.output.adapters, opened.output.adapter_files), (AdaptersOutput::Merged, Vec::new()));
    }
}
