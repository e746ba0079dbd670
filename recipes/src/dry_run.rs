use std::fs;
use std::path::Path;

use millstream_compiler::Model;
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::Recipe;
use millstream_schemas::recipe::{BatchNormalization, DamagedPolicy, EvaluationInterval, EvaluationRecipe};
use millstream_training::Predictor;
use serde::Serialize;

use crate::choices::Choices;
use crate::evaluation_plan::EvaluationPlan;
use crate::log_choices::LogChoices;
use crate::preprocessing::Preprocessing;
use crate::run_folder::RunFolder;
use crate::temporary_folder::TemporaryFolder;
use crate::train::{TrainOptions, train_start_of};
use crate::{Event, Events, RecipeError, RunSummary, StartMode, Stop};

/// What a dry run found.
#[derive(Clone, Debug, Serialize)]
pub struct DryRunReport {
    /// Loss of the step, before it.
    pub loss: f32,
    /// Rows that were evaluated after it.
    pub evaluated: u64,
    /// Bytes of the model that was written and opened again.
    pub model_bytes: u64,
    /// Seconds until everything was opened and compiled.
    pub opening: f64,
    /// Seconds of the step: waiting for its rows, in the graph, in the update.
    pub step: [f64; 3],
    /// Most bytes that the process held at a time, where the system tells (Linux).
    pub peak_memory: Option<u64>,
}

/// Goes through all that a run does, once: a batch is read and transformed, a step is made, a batch of each evaluation set is
/// evaluated, a checkpoint, the model and the report are written, and the model is opened again. All of it is written into a
/// temporary folder that is deleted; the recipe's output folder is looked at and left as it is.
///
/// # Errors
/// As [`train`](crate::train()); or nothing can be written to the output folder or the temporary one, or ONNX Runtime does not open the
/// written model.
/// `Ok(None)` when it was asked to stop.
pub fn dry_run(
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<DryRunReport>, RecipeError> {
    RunFolder(recipe.output.folder.clone()).require_writable()?;
    LogChoices::of(&recipe.output, &options.catalogs)?;
    let folder = TemporaryFolder::make().map_err(RecipeError::io("make", std::env::temp_dir()))?;
    let small = small(recipe, &folder.path().join("run"));
    let options = TrainOptions { start: StartMode::New, ..options.clone() };
    let mut loss = None;
    let mut watching = |event: &Event| {
        match event {
            Event::Step { loss: of_step, .. } => loss = Some(*of_step),
            // of a temporary place
            Event::Started { .. } | Event::Saved { .. } => return,
            _ => {}
        }
        events.event(event);
    };
    let RunSummary { model, timing, opening, peak_memory, evaluation, other_evaluations, classes, .. } =
        match train_start_of(&recipe.training, &small, &options, &mut watching, stop) {
            Err(RecipeError::Stopped) => return Ok(None),
            trained => trained?,
        };
    let (Some(model), Some(loss)) = (model, loss) else { return Ok(None) };
    let model_bytes = fs::metadata(&model).map_err(RecipeError::io("read", &model))?.len();
    open_again(recipe, &options, &model, classes.len())?;
    let others = other_evaluations.iter().map(|set| &set.evaluation);
    Ok(Some(DryRunReport {
        loss,
        evaluated: evaluation.iter().chain(others).map(|evaluation| evaluation.rows).sum(),
        model_bytes,
        opening,
        step: [timing.waiting, timing.graph, timing.update],
        peak_memory,
    }))
}

/// Opens a written model as `evaluate` does.
fn open_again(recipe: &Recipe, options: &TrainOptions, path: &Path, classes: usize) -> Result<(), RecipeError> {
    let model = Model::read(path)?;
    let runtime = millstream_runtime::ready(options.library.as_deref())?;
    let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
    let loss = Choices::of(&recipe.training, &options.catalogs)?.loss;
    let plan = EvaluationPlan::of(recipe, loss.reads(), None, &options.catalogs)?;
    plan.check_classes(loss.reads(), classes)?;
    let output = recipe.model.as_ref().and_then(|model| model.output.as_deref());
    let classes = Some(classes).filter(|classes| *classes > 0);
    let axes = Preprocessing::read(&model)?.and_then(|own| own.prediction_axes(loss.reads()));
    let scoring = model.evaluated_for(output, loss.reads(), classes, axes, &options.catalogs.operators)?;
    Predictor::open_graph(&scoring.model, &device, recipe.training.threads, Some(&scoring.scores))?;
    Ok(())
}

/// The recipe of one step, with one batch of each set to evaluate on.
fn small(recipe: &Recipe, folder: &Path) -> Recipe {
    let mut small = recipe.clone();
    folder.clone_into(&mut small.output.folder);
    small.output.checkpoint.every_steps = 0;
    let training = &mut small.training;
    (training.max_steps, training.max_time) = (Some(1), None);
    // two batches go the way of many
    training.accumulate = training.accumulate.min(2);
    if recipe.data.evaluate.is_some() {
        // what is done when all steps are would go through all rows
        let EvaluationRecipe { sets, best_on, .. } = recipe.evaluation.clone();
        let (every, rows) = (EvaluationInterval::Epochs(1), Some(recipe.data.batch as u64));
        small.evaluation = EvaluationRecipe { every, rows, sets, best_on, ..EvaluationRecipe::default() };
    }
    if let Some(BatchNormalization::Reestimated { rows, .. }) =
        small.model.as_mut().map(|model| &mut model.batch_normalization)
    {
        *rows = Some(recipe.data.batch as u64);
    }
    // they may be written elsewhere
    small.output.logs.clear();
    if let DamagedPolicy::Quarantine(_) = small.data.damaged {
        small.data.damaged = DamagedPolicy::Quarantine(None);
    }
    small
}
