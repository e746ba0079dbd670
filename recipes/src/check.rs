use std::path::Path;

use millstream_compiler::{CompilerError, ModelReport, compile, describe};
use millstream_pipeline::InputKind;
use millstream_schemas::recipe::{DamagedPolicy, DataRecipe, OptimizerRecipe, Patterns};
use millstream_schemas::{Recipe, shown_path};
use millstream_training::{Device, DeviceRequest, runtime};
use serde::Serialize;

use crate::inspect::ClassCount;
use crate::plan::RowSource;
use crate::run_folder::RunFolder;
use crate::{ModelInput, Plan, RecipeError, plan};

/// What a recipe would do.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Rows to train on.
    pub train: DataReport,
    /// Rows to evaluate on.
    pub evaluate: Option<DataReport>,
    /// The model's input; the transforms end at its size.
    pub input: ModelInput,
    /// Layers with what is trained, operators with their coverage.
    pub model: ModelReport,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// What will be held in memory.
    pub memory: MemoryEstimate,
    /// Where steps would run.
    pub device: DeviceReport,
    /// What deserves a look and stops nothing.
    pub warnings: Vec<String>,
    /// What stops training from starting.
    pub problems: Vec<String>,
}

/// One split of the data.
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// As the recipe names it.
    pub path: Patterns,
    /// Parquet files.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Column with the model's input.
    pub input: String,
    /// `image` or `text`.
    pub kind: String,
    /// Column with the class.
    pub label: Option<String>,
    /// Rows of each class.
    pub classes: Vec<ClassCount>,
    /// Rows with the label −1; they have no weight.
    pub unlabelled: u64,
    /// Rows whose label is null or none of the classes.
    pub bad_labels: u64,
    /// The transforms, as captions.
    pub transforms: Vec<String>,
}

/// Bytes that a run holds, as far as they can be told before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemoryEstimate {
    /// Weights of the model, trained and frozen.
    pub weights: u64,
    /// Gradients and what the optimizer remembers.
    pub training_state: u64,
    /// Computed values at the fullest moment of a step.
    pub activations: u64,
    /// Ceiling of the stream of batches.
    pub stream: u64,
    /// All of them.
    pub total: u64,
}

/// Where steps would run.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// As the recipe asks.
    pub asked: String,
    /// What it would be; `None` if it cannot be had.
    pub device: Option<String>,
    /// Why, or why not.
    pub reason: String,
}

/// Says what a recipe would do, without a training step. `library` names an ONNX Runtime library, as a flag does.
///
/// # Errors
/// The data, the transforms or the model cannot be opened or do not fit together. What is found wrong after that, such
/// as an operator without gradient or a device that cannot be had, are [problems](CheckReport::problems) of the report.
pub fn check(recipe: &Recipe, library: Option<&Path>) -> Result<CheckReport, RecipeError> {
    let plan = plan(recipe)?;
    let wanted = plan.fine_tuning();
    let model = describe(&plan.model, Some(&wanted))?;
    let mut problems = Vec::new();
    let activations = match compile(&plan.model, &wanted) {
        Ok(program) => program.activation_bytes,
        Err(error @ CompilerError::Selection(_)) => return Err(error.into()),
        Err(error) => {
            problems.push(error.to_string());
            0
        }
    };
    let device = device(&recipe.training.device, library);
    if device.device.is_none() {
        problems.push(device.reason.clone());
    }
    let train = data_report(&recipe.data.train, &plan.train)?;
    let evaluate = match (&recipe.data.evaluate, &plan.evaluate) {
        (Some(path), Some(source)) => Some(data_report(path, source)?),
        _ => None,
    };
    let mut warnings = warnings(&plan, &train, evaluate.as_ref())?;
    match plan.train_stream().and_then(|options| options.warnings(&plan.train.dataset)) {
        Ok(of_stream) => warnings.extend(of_stream),
        Err(error) => problems.push(error.to_string()),
    }
    for (split, data) in [("training", Some(&train)), ("evaluation", evaluate.as_ref())] {
        let Some(data) = data else { continue };
        if data.unlabelled == data.rows {
            problems.push(format!("no row of the {split} data has a class: the labels are all −1"));
        }
        if data.bad_labels > 0 {
            let message = format!("{} rows of the {split} data have no usable label", data.bad_labels);
            match recipe.data.damaged {
                DamagedPolicy::Fail => problems.push(format!("{message}, and `data.damaged: fail` stops at the first")),
                _ => warnings.push(format!("{message}; they are left out")),
            }
        }
    }
    Ok(CheckReport {
        input: plan.input.clone(),
        steps_per_epoch: plan.steps_per_epoch(),
        total_steps: plan.total_steps(),
        memory: memory(&recipe.data, &recipe.training.optimizer, &model, activations),
        train,
        evaluate,
        model,
        device,
        warnings,
        problems,
    })
}

fn device(asked: &str, library: Option<&Path>) -> DeviceReport {
    let resolved = asked
        .parse::<DeviceRequest>()
        .and_then(|request| Ok((request, runtime::ready(library)?)))
        .and_then(|(request, runtime)| Device::resolve(request, runtime));
    match resolved {
        Ok(device) => {
            DeviceReport { asked: asked.into(), device: Some(device.kind.to_string()), reason: device.reason }
        }
        Err(error) => DeviceReport { asked: asked.into(), device: None, reason: error.to_string() },
    }
}

fn data_report(path: &Patterns, source: &RowSource) -> Result<DataReport, RecipeError> {
    let histogram = source.dataset.class_histogram(&source.columns)?;
    let classes = source.columns.classes.iter().zip(&histogram.counts);
    let files = source.dataset.files();
    Ok(DataReport {
        path: path.clone(),
        files: files.len(),
        rows: source.dataset.rows(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        input: source.columns.input.clone(),
        kind: if source.columns.kind == InputKind::Text { "text".into() } else { "image".into() },
        label: source.columns.label.clone(),
        classes: classes.map(|(name, rows)| ClassCount { name: name.clone(), rows: *rows }).collect(),
        unlabelled: histogram.unlabelled,
        bad_labels: histogram.null + histogram.out_of_range,
        transforms: source.chain.specs().iter().map(|spec| caption(&spec.name, &spec.options)).collect(),
    })
}

/// `rotate {"degrees":15}`.
fn caption(name: &str, options: &serde_json::Value) -> String {
    if options.as_object().is_some_and(serde_json::Map::is_empty) { name.into() } else { format!("{name} {options}") }
}

fn warnings(plan: &Plan, train: &DataReport, evaluate: Option<&DataReport>) -> Result<Vec<String>, RecipeError> {
    let mut warnings = plan.train.chain.label_warnings();
    if evaluate.is_none() {
        warnings.push("no `data.evaluate`: no accuracy is measured, and the last weights are exported".into());
    }
    for (split, data) in [("training", Some(train)), ("evaluation", evaluate)] {
        let Some(data) = data else { continue };
        for class in data.classes.iter().filter(|class| class.rows == 0) {
            warnings.push(format!("class `{}` has no rows in the {split} data", class.name));
        }
    }
    if plan.train.dataset.rows() < plan.recipe.data.batch as u64 {
        let (rows, batch) = (plan.train.dataset.rows(), plan.recipe.data.batch);
        warnings.push(format!("{rows} rows do not fill one batch of {batch}"));
    }
    if let Some(found) = RunFolder(plan.recipe.output.folder.clone()).holds()? {
        let folder = shown_path(&plan.recipe.output.folder);
        warnings.push(format!("{folder} holds a run already ({found}): `train` wants `--resume` or `--overwrite`"));
    }
    Ok(warnings)
}

fn memory(data: &DataRecipe, optimizer: &OptimizerRecipe, model: &ModelReport, activations: u64) -> MemoryEstimate {
    let remembered = match optimizer {
        OptimizerRecipe::Adamw(_) => 2,
        OptimizerRecipe::Sgd(_) => 1,
    };
    let weights = (model.parameters + model.other_weights) as u64 * 4;
    let training_state = model.trained as u64 * 4 * (1 + remembered);
    let stream = data.memory.0;
    MemoryEstimate {
        weights,
        training_state,
        activations,
        stream,
        total: weights + training_state + activations + stream,
    }
}
