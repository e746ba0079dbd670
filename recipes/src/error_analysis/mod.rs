//! Why a model errs: its answers joined with columns of the data and with what transforms drew.

mod analysis;
mod columns;
mod drawn;
mod factor;
mod markdown;
mod numbers;
mod picture;
mod report;

use std::path::PathBuf;

use millstream_compiler::Model;
use millstream_pipeline::Beside;
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::{ByteSize, Patterns, RecipeText};
use millstream_schemas::{Choice, PredictionTargets, Predictions, Recipe, RowId, shown_path};
use millstream_training::ensembles::MemberScores;
use millstream_transforms::{Chain, Kind};

pub use report::{Bin, ErrorPart, ErrorReport, FactorOf, FactorReport, Rate, Seen, Split};

use crate::calibrated::thresholds_of;
use crate::choices::Choices;
use crate::imported::{import_rows, require_named};
use crate::kept_predictions::{KeptPredictions, require_kept};
use crate::measuring::{Measuring, ToMeasure};
use crate::pages::page;
use crate::right_answers::is_right;
use crate::run_folder::{RunFolder, folder_name};
use crate::{Catalogs, Events, RecipeError, Stop, load, run_predictions};

use analysis::Answers;

/// What to look into.
#[derive(Clone, Debug)]
pub struct ErrorOptions {
    /// The run.
    pub run: PathBuf,
    /// Changes of the recipe as the run used it: where things lie now, or other `transforms.train` to draw with.
    pub overrides: Vec<String>,
    /// Absolute paths or patterns of rows; `data.evaluate` of the recipe when not given.
    pub data: Option<Patterns>,
    /// Reads numbers of tables in `data` whose decimals have a comma (`0,5`, `1.234,5`).
    pub decimal_comma: bool,
    /// Draws of each row with the transforms of training; 0 for none.
    pub draws: u64,
    /// Of the draws, and of the halves that rows fall into; that of the recipe when not given.
    pub seed: Option<u64>,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// Of numbers, the share of rows with the largest distances that is said to err.
const WORST: f64 = 0.25;

/// Looks for what the errors of a run's model depend on. Of each factor the best division is found on one half of the rows and tested on
/// the other, and chances are corrected for the number of factors.
///
/// # Errors
/// The folder holds no run with a model, its recipe does not parse, model or rows cannot be opened, or no answers can be kept of it. None
/// when it was asked to stop.
pub fn errors(
    options: &ErrorOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<ErrorReport>, RecipeError> {
    let folder = RunFolder(options.run.clone());
    let mut recipe = load(&RecipeText::read(&folder.recipe(), &options.overrides)?, &options.catalogs)?;
    recipe.seed = options.seed.unwrap_or(recipe.seed);
    // rows are told apart here in ways of its own, and other rows need not have these columns
    recipe.evaluation.slices.clear();
    recipe.evaluation.intervals = None;
    let (path, seed) = (folder.model(), recipe.seed);
    if !path.exists() {
        let message = format!("{} has exported no model", shown_path(&folder.0));
        return Err(RecipeError::mismatch("run", message));
    }
    let reads = Choices::of(&recipe.training, &options.catalogs)?.loss.reads();
    require_kept(reads, &path).map_err(|why| RecipeError::mismatch("training.loss", why))?;
    let place = if options.data.is_some() { "--data" } else { "data.evaluate" };
    require_named(options.data.as_ref(), options.decimal_comma)?;
    let data = options.data.clone().or_else(|| recipe.data.evaluate.clone());
    let data = data.ok_or_else(|| RecipeError::mismatch(place, "missing; name rows by `--data`"))?;
    let model = Model::read(&path)?;
    import_rows(&recipe, &data, options.decimal_comma, events, stop).map_err(RecipeError::at(place))?;
    // those that were trained on need not be there any more
    let _ = import_rows(&recipe, &recipe.data.train, false, events, stop);
    if stop.is_requested() {
        return Ok(None);
    }
    let wanted = ToMeasure {
        recipe: &recipe,
        model: &model,
        path: &path,
        data: &data,
        decimal_comma: options.decimal_comma,
        place,
        slices_may_lack: false,
        views: None,
        catalogs: &options.catalogs,
        shared: None,
        memory_check: Some(recipe.training.memory_check),
        beside: Beside::Nothing,
        session: None,
    };
    let library = options.library.as_deref();
    let mut measuring = Measuring::open(&wanted, || {
        let runtime = millstream_runtime::ready(library)?;
        Ok(Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?)
    })?;
    let kept = match options.data {
        Some(_) => None,
        None => run_predictions::kept(&folder, ByteSize(recipe.data.memory.0 / 2))?.ok(),
    };
    let kept = match kept.filter(|kept| measuring.data().is_ok_and(|data| data == kept.header.data)) {
        Some(kept) => kept,
        None => {
            let mut sink = KeptPredictions::in_memory(&model, &measuring, recipe.data.memory)?;
            if measuring.measure(Some(&mut sink), events, stop)?.is_none() {
                return Ok(None);
            }
            no_row(sink.finish()?)?
        }
    };
    let thresholds = thresholds_of(&model)?;
    let (errs, erring) = erring(kept.clone(), &thresholds)?;
    let factors = columns::factors(measuring.source(), &kept.rows)?;
    let mut parts = vec![part(Seen::AsTheyAre, 1, errs, &kept.rows, &factors, seed)];
    let mut notes = Vec::new();
    if options.draws > 0 {
        let Some(drawn) = as_drawn(&recipe, options, (&model, &mut measuring), &thresholds, &mut notes, events, stop)?
        else {
            return Ok(None);
        };
        parts.extend(drawn);
    }
    notes.extend(std::mem::take(&mut measuring.warnings));
    Ok(Some(ErrorReport { version: 1, run: folder.0, erring, parts, notes }))
}

/// The report as one HTML page that stands by itself.
pub fn page(report: &ErrorReport) -> String {
    let name = folder_name(&report.run);
    page::of_parts(&format!("{name}: why it errs"), &markdown::parts(report))
}

/// Passes over the rows with the transforms of training, and what they drew; none in it where they draw nothing.
fn as_drawn(
    recipe: &Recipe,
    options: &ErrorOptions,
    (model, measuring): (&Model, &mut Measuring),
    thresholds: &[f64],
    notes: &mut Vec<String>,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<Option<ErrorPart>>, RecipeError> {
    let catalog = &options.catalogs.transforms;
    let is_of_batches = |spec: &&Choice| catalog.get(&spec.name).is_some_and(|row| row.kind() == Kind::Batch);
    let (batches, specs): (Vec<&Choice>, Vec<&Choice>) = recipe.transforms.train.iter().partition(is_of_batches);
    for spec in batches {
        notes.push(format!("`{}` acts on whole batches and is left out of the draws", spec.name));
    }
    let specs: Vec<Choice> = specs.into_iter().cloned().collect();
    let chain = Chain::parse_from(catalog, "transforms.train", &specs)?;
    if !chain.is_random() {
        notes.push("the transforms of training draw nothing, so there is nothing drawn to look into".into());
        return Ok(Some(None));
    }
    let (mut errs, mut rows, mut draws) = (Vec::new(), Vec::new(), drawn::Draws::new());
    let mut varying = drawn::Varying::default();
    for draw in 0..options.draws {
        let mut sink = KeptPredictions::in_memory(model, measuring, recipe.data.memory)?;
        let Some(seed) = measuring.measure_drawn(model, (draw, &chain), &mut sink, events, stop)? else {
            return Ok(None);
        };
        let kept = no_row(sink.finish()?)?;
        draws.add(measuring.source(), &chain, seed, &kept.rows)?;
        if draw == 0 {
            // another draw of the same rows, without the model, tells what is drawn from what is the row's own
            let (mut one, mut other) = (drawn::Draws::new(), drawn::Draws::new());
            one.add(measuring.source(), &chain, seed, &kept.rows)?;
            other.add(measuring.source(), &chain, !seed, &kept.rows)?;
            varying = drawn::Varying::between(&one, &other);
        }
        rows.extend(kept.rows.iter().cloned());
        errs.extend(erring(kept, thresholds)?.0);
    }
    let factors = draws.factors(&varying);
    Ok(Some(Some(part(Seen::AsDrawn, options.draws, errs, &rows, &factors, recipe.seed))))
}

fn no_row(kept: Option<Predictions>) -> Result<Predictions, RecipeError> {
    kept.ok_or_else(|| RecipeError::mismatch("data.evaluate", "no row has a target"))
}

fn part(seen: Seen, draws: u64, errs: Vec<bool>, rows: &[RowId], factors: &[factor::Factor], seed: u64) -> ErrorPart {
    let errors = errs.iter().filter(|errs| **errs).count() as u64;
    let answers = Answers { errs, rows: rows.iter().map(RowId::key).collect() };
    ErrorPart {
        seen,
        draws,
        answers: answers.errs.len() as u64,
        errors,
        rate: Rate::of(errors, answers.errs.len() as u64),
        factors: answers.factors(factors, seed),
    }
}

/// Which answers err, and when they are said to.
fn erring(predictions: Predictions, thresholds: &[f64]) -> Result<(Vec<bool>, String), RecipeError> {
    let scores = MemberScores::align(vec![("the model".into(), predictions)])?;
    if let Some(right) = is_right(&scores, 0, thresholds) {
        let errs = right.into_iter().map(|right| !right).collect();
        let words = match scores.targets() {
            PredictionTargets::Classes(_) => {
                "a row errs where the class with the highest score is another than its own"
            }
            PredictionTargets::Numbers(_) => {
                "a row errs where any label is said that does not hold, or the other way round"
            }
        };
        return Ok((errs, words.into()));
    }
    let PredictionTargets::Numbers(targets) = scores.targets() else { return Ok((Vec::new(), String::new())) };
    let columns = scores.columns();
    let distance = |(score, target): (&[f32], &[f32])| {
        score.iter().zip(target).map(|(score, target)| f64::from(score - target).powi(2)).sum::<f64>().sqrt()
    };
    let distances: Vec<f64> = scores.scores(0).chunks(columns).zip(targets.chunks(columns)).map(distance).collect();
    let mut ordered = distances.clone();
    ordered.sort_by(f64::total_cmp);
    let from = ordered[((ordered.len() as f64 * (1.0 - WORST)) as usize).min(ordered.len() - 1)];
    let words = format!(
        "numbers are predicted: a row is said to err where its distance from what is true is among the largest {} % ({} or more)",
        100.0 * WORST,
        numbers::shown(from)
    );
    Ok((distances.into_iter().map(|distance| distance >= from).collect(), words))
}
