use std::collections::BTreeMap;
use std::mem::take;
use std::path::PathBuf;
use std::time::Instant;

use millstream_compiler::Model;
use millstream_pipeline::Beside;
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::Patterns;
use millstream_schemas::{Recipe, count, shown_path};
use millstream_training::{Evaluation, FigureKind, PredictionSink, SetEvaluation};
use serde::Serialize;

use crate::choices::Choices;
use crate::imported::{NamedRows, import_rows, require_named};
use crate::kept_predictions::{KeptPredictions, require_kept};
use crate::measuring::{Measuring, ToMeasure};
use crate::replaced_inputs::{require_no_row, require_no_source};
use crate::run_folder::RunFolder;
use crate::{Catalogs, Events, RecipeError, Stop};

/// What to evaluate, where it is not what the recipe says.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// The model; `model.onnx` of the recipe's output folder when not given.
    pub model: Option<PathBuf>,
    /// Absolute paths or patterns of the rows; `data.evaluate` of the recipe when not given.
    pub data: Option<Patterns>,
    /// Reads numbers of tables in `data` whose decimals have a comma (`0,5`, `1.234,5`).
    pub decimal_comma: bool,
    /// Whether the recipe's `evaluation.sets` are measured too, where `data` is not given.
    pub other_sets: bool,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// So many views of each row, of which the mean is measured, in place of what the recipe says.
    pub views: Option<u64>,
    /// A Parquet file to write, with what the model gives for each row.
    pub predictions: Option<PathBuf>,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// How good a model is.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationReport {
    /// The model.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub model: PathBuf,
    /// The rows.
    pub data: Patterns,
    /// Class names in the order of the scores.
    pub classes: Vec<String>,
    /// The figures.
    pub evaluation: Evaluation,
    /// And on the other sets, in the same way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_evaluations: Vec<SetEvaluation>,
    /// What is known of these figures beside the loss, in order.
    pub figures: Vec<FigureKind>,
    /// Damaged rows that were left out; those of other sets are among `warnings`.
    pub skipped: u64,
    /// Where it ran: `cpu` or `cuda:N`.
    pub device: String,
    /// Why there.
    pub device_reason: String,
    /// How long it took.
    pub seconds: f64,
    /// What deserves a look: other preprocessing than the model was trained with, how its scores are read, rows left out, a
    /// model that is no better than naming the most frequent class.
    pub warnings: Vec<String>,
    /// Which files were taken, and whether they were trained on.
    pub notes: Vec<String>,
    /// Whether the model's file says with which preprocessing it was trained.
    pub preprocessing_known: bool,
    /// The file with what the model gave for each row, where one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
    pub predictions: Option<PathBuf>,
}

/// Measures a model on labelled rows, with the recipe's transforms for evaluation.
///
/// # Errors
/// The model or the rows cannot be opened or do not fit together. `Ok(None)` when it was asked to stop.
pub fn evaluate(
    recipe: &Recipe,
    options: &EvaluateOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<EvaluationReport>, RecipeError> {
    let path = options.model.clone().unwrap_or_else(|| RunFolder(recipe.output.folder.clone()).model());
    if options.model.is_none() && !path.exists() {
        let message = format!("there is no {} yet; `train` makes it, or name a model by `--model`", shown_path(&path));
        return Err(RecipeError::mismatch("output.folder", message));
    }
    require_named(options.data.as_ref(), options.decimal_comma)?;
    let data = options
        .data
        .clone()
        .or_else(|| recipe.data.evaluate.clone())
        .ok_or_else(|| RecipeError::mismatch("data.evaluate", "missing; name rows there or by `--data`"))?;
    let place = if options.data.is_some() { "--data" } else { "data.evaluate" };
    if let Some(file) = &options.predictions {
        require_no_source(file, recipe)?;
        options.data.iter().try_for_each(|data| require_no_row(file, data))?;
        let reads = Choices::of(&recipe.training, &options.catalogs)?.loss.reads();
        require_kept(reads, &path).map_err(|why| RecipeError::mismatch("training.loss", why))?;
    }
    let model = Model::read(&path)?;
    import_rows(recipe, &data, options.decimal_comma, events, stop).map_err(RecipeError::at(place))?;
    let sets = if options.other_sets && options.data.is_none() { &recipe.evaluation.sets } else { &BTreeMap::new() };
    for (name, patterns) in sets {
        import_rows(recipe, patterns, false, events, stop).map_err(RecipeError::at(place_of(name)))?;
    }
    // those that were trained on need not be there any more
    let _ = import_rows(recipe, &recipe.data.train, false, events, stop);
    if stop.is_requested() {
        return Ok(None);
    }
    let wanted = ToMeasure {
        recipe,
        model: &model,
        path: &path,
        data: &data,
        decimal_comma: options.decimal_comma,
        place,
        slices_may_lack: false,
        views: options.views,
        catalogs: &options.catalogs,
        shared: None,
        memory_check: Some(recipe.training.memory_check),
        beside: Beside::Nothing,
        session: None,
    };
    let mut on = None;
    let mut measuring = Measuring::open(&wanted, || {
        let runtime = millstream_runtime::ready(options.library.as_deref())?;
        let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
        Ok(on.insert(device).clone())
    })?;
    let device = on.expect("a device is asked for wherever a model is opened");
    let started = Instant::now();
    let mut kept = match &options.predictions {
        Some(path) => Some(KeptPredictions::in_file(path, &model, &measuring)?),
        None => None,
    };
    let evaluation = measuring.measure(kept.as_mut().map(|kept| kept as &mut dyn PredictionSink), events, stop)?;
    if let Some(kept) = kept.filter(|_| evaluation.is_some()) {
        kept.finish()?;
    }
    let Some(evaluation) = evaluation else { return Ok(None) };
    let figures = measuring.metrics().figures();
    let classes = measuring.classes().to_vec();
    let (skipped, preprocessing_known) = (measuring.skipped, measuring.preprocessing_known);
    let mut told = Told { warnings: take(&mut measuring.warnings), notes: take(&mut measuring.notes) };
    let of_import = measuring.source().notes.clone();
    // the run whose result it is has said how its rows became Parquet
    let is_known = |note: &String| options.data.is_none() && options.model.is_none() && of_import.contains(note);
    told.notes.retain(|note| !is_known(note));
    if options.data.is_some() {
        let rows = NamedRows::of(&recipe.data, &data, &recipe.output.folder).with_decimal_comma(options.decimal_comma);
        told.notes.extend(rows.part_in_words(measuring.source().dataset.rows()));
    }
    let session = measuring.session().clone();
    // rows of two sets at a time are not held
    drop(measuring);
    told.warnings.extend(evaluation.no_better_than_majority(&figures));
    let mut other_evaluations = Vec::new();
    for (name, data) in sets {
        let place = place_of(name);
        let (beside, session) = (Beside::Nothing, Some(&session));
        let wanted = ToMeasure { data, place: &place, slices_may_lack: true, beside, session, ..wanted };
        let mut measuring = Measuring::open(&wanted, || Ok(device.clone()))?;
        let Some(evaluation) = measuring.measure(None, events, stop)? else { return Ok(None) };
        told.of_set(&place, &measuring, &evaluation);
        other_evaluations.push(SetEvaluation { name: name.clone(), evaluation });
    }
    Ok(Some(EvaluationReport {
        model: path,
        data,
        classes,
        warnings: told.warnings,
        evaluation,
        other_evaluations,
        figures,
        skipped,
        device: device.kind.to_string(),
        device_reason: device.reason.clone(),
        seconds: started.elapsed().as_secs_f64(),
        notes: told.notes,
        preprocessing_known,
        predictions: options.predictions.clone(),
    }))
}

/// Where a recipe names a set.
fn place_of(set: &str) -> String {
    format!("evaluation.sets.{set}")
}

/// What is worth knowing of a measurement.
struct Told {
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl Told {
    /// Adds what is known of another set, with its place; what is true of the model was said once, and what is of rows is said of each.
    fn of_set(&mut self, place: &str, measuring: &Measuring, evaluation: &Evaluation) {
        let with_place = |said: String| if said.starts_with(place) { said } else { format!("{place}: {said}") };
        let rows = measuring.skipped;
        let was = if rows == 1 { "was" } else { "were" };
        let left_out = (rows > 0).then(|| format!("{} {was} left out", count(rows, "damaged row")));
        let new = |told: &[String], said: &[String]| -> Vec<String> {
            let is_new = |said: &&String| measuring.of_these_rows.contains(said) || !told.contains(said);
            said.iter().filter(is_new).cloned().collect()
        };
        let warnings = new(&self.warnings, &measuring.warnings).into_iter().chain(left_out);
        let warnings = warnings.chain(evaluation.no_better_than_majority(&measuring.metrics().figures()));
        self.warnings.extend(warnings.map(with_place));
        self.notes.extend(new(&self.notes, &measuring.notes).into_iter().map(with_place));
    }
}
