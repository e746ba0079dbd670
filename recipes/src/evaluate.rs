use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_compiler::Model;
use millstream_pipeline::{Dataset, SplitRole};
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::{OrderStrength, Patterns};
use millstream_schemas::{Recipe, count, shown_path};
use millstream_training::{Evaluation, FigureKind, LossRunner, Predictor, TrainingError};
use millstream_transforms::Chain;
use serde::Serialize;

use crate::check::label_findings;
use crate::choices::Choices;
use crate::classes::align;
use crate::data_report::data_report;
use crate::model_inputs::{input_names, require_inputs, takes_grey};
use crate::opened::{refuse_random, require_targets, stream_options};
use crate::preprocessing::{self, Preprocessing};
use crate::row_source::{RowSource, Wanted};
use crate::run_folder::{RunFolder, make_place_for};
use crate::stream::{Stream, no_usable_row};
use crate::{Catalogs, Event, Events, RecipeError, Stop, labels_file, overlap};

/// What to evaluate, where it is not what the recipe says.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// The model; `model.onnx` of the recipe's output folder when not given.
    pub model: Option<PathBuf>,
    /// Absolute paths or patterns of the rows; `data.evaluate` of the recipe when not given.
    pub data: Option<Patterns>,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// How good a model is.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationReport {
    /// The model.
    pub model: PathBuf,
    /// The rows.
    pub data: Patterns,
    /// Class names in the order of the scores.
    pub classes: Vec<String>,
    /// The figures.
    pub evaluation: Evaluation,
    /// What is known of these figures beside the loss, in order.
    pub figures: Vec<FigureKind>,
    /// Damaged rows that were left out.
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
    let data = options
        .data
        .clone()
        .or_else(|| recipe.data.evaluate.clone())
        .ok_or_else(|| RecipeError::mismatch("data.evaluate", "missing; name rows there or by `--data`"))?;
    let chain = Chain::parse_from(&options.catalogs.transforms, "transforms.evaluate", &recipe.transforms.evaluate)?;
    refuse_random(&recipe.transforms.evaluate, &options.catalogs)?;
    let model = Model::read(&path)?;
    let place = if options.data.is_some() { "--data" } else { "data.evaluate" };
    let inputs = input_names(&model, !recipe.data.inputs.is_empty())?;
    let wanted = Wanted {
        data: &recipe.data,
        catalogs: &options.catalogs,
        place,
        patterns: &data,
        role: SplitRole::Evaluate,
        inputs: &inputs,
        grey: takes_grey(&model),
    };
    let mut source = RowSource::open(&wanted, chain)?;
    if let Some(learned) = Preprocessing::learned(&model) {
        source.encoders = source.encoders.relearned(&source.dataset, &learned)?;
    }
    let mut notes = source.dataset.notes().to_vec();
    notes.extend(overlap::copies(&source.dataset)?);
    // Rows to train on need not be there any more; where they are, measuring them is told.
    if let Ok(train) = Dataset::open_split(&recipe.data.train, Path::new("/"), SplitRole::Train) {
        notes.extend(overlap::of_files(&train, &source.dataset, "data.evaluate", true)?);
    }
    require_inputs(&model, &source.spec("transforms.evaluate", recipe.seed, 1)?, "transforms.evaluate")?;
    let mut warnings = Preprocessing::differences(&model, &recipe.data, &recipe.transforms.evaluate);
    let preprocessing_known = !preprocessing::is_unknown(&model);
    let Choices { loss, metrics, .. } = Choices::of(&recipe.training, &options.catalogs)?;
    let runtime = millstream_runtime::ready(options.library.as_deref())?;
    let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
    let output = recipe.model.as_ref().and_then(|model| model.output.as_deref());
    let classes = Some(source.classes().len()).filter(|classes| *classes > 0);
    let scoring = model.evaluated(output, loss.reads(), classes, &options.catalogs.operators)?;
    warnings.extend(scoring.note);
    let mut predictor = Predictor::open_graph(&scoring.model, &device, recipe.training.threads, Some(&scoring.scores))?;
    if let Some(labels) = labels_file::of_model(&model, &path)? {
        align(&mut source, &labels, "the model", place)?;
    }
    metrics.check(source.classes()).map_err(RecipeError::at("training.metrics"))?;
    require_targets(&loss, &source, &source.spec("transforms.evaluate", recipe.seed, recipe.data.batch)?)?;
    let of_classes = source.encoders.class_tensor().is_some();
    let differ = |classes: &usize| of_classes && *classes != source.classes().len();
    if let Some(classes) = predictor.classes().filter(differ) {
        let message =
            format!("{}, and the model {} has {classes}", count(source.classes().len(), "class"), shown_path(&path));
        return Err(RecipeError::mismatch(place, message));
    }
    let report = data_report(&data, &source)?;
    let (of_labels, problem) = label_findings("evaluation", &report, &recipe.data.damaged);
    if let Some(problem) = problem {
        return Err(RecipeError::mismatch(place, problem));
    }
    warnings.extend(of_labels);
    let mut recipe = recipe.clone();
    // A graph made for one batch size takes no other.
    let fixed = predictor.inputs().first().and_then(|(_, shape)| usize::try_from(*shape.first()?).ok());
    recipe.data.batch = fixed.filter(|batch| *batch > 0).unwrap_or(recipe.data.batch);
    let stream = stream_options(&recipe, &source, OrderStrength::Sequential);
    make_place_for(&recipe)?;
    let started = Instant::now();
    let mut batches = Stream::open(&source.dataset, stream, None)?;
    let total = source.dataset.rows();
    let mut progress = |rows| {
        let samples_per_second = rows as f64 / started.elapsed().as_secs_f64().max(1e-9);
        events.event(&Event::Evaluating {
            epoch: None,
            epochs: None,
            rows,
            total,
            samples_per_second,
            seconds_left: total.saturating_sub(rows) as f64 / samples_per_second.max(1e-9),
        });
        !stop.is_requested()
    };
    let classes = source.classes().to_vec();
    let mut loss = LossRunner::new(&loss, &options.catalogs.operators, &device);
    let evaluation =
        millstream_training::evaluate(&mut predictor, &mut loss, &metrics, &mut batches, &classes, &mut progress);
    let evaluation = evaluation.map_err(|error| match error {
        TrainingError::NothingLabelled => no_usable_row(place, &report, batches.skipped().as_ref()),
        error => error.into(),
    })?;
    let figures = metrics.figures();
    Ok(evaluation.map(|evaluation| EvaluationReport {
        model: path,
        data,
        classes,
        warnings: warnings.into_iter().chain(evaluation.no_better_than_majority(&figures)).collect(),
        evaluation,
        figures,
        skipped: batches.0.counters().skipped,
        device: device.kind.to_string(),
        device_reason: device.reason.clone(),
        seconds: started.elapsed().as_secs_f64(),
        notes,
        preprocessing_known,
    }))
}
