//! Runs held against each other: what was set otherwise, what came out, and whether the difference could be chance.

mod markdown;
mod paired;
mod report;
mod settings;

use std::collections::HashSet;
use std::path::PathBuf;

use millstream_compiler::Model;
use millstream_schemas::recipe::{ByteSize, RecipeText};
use millstream_schemas::{PredictionTargets, Predictions, Recipe, RowId, shown, shown_path};
use millstream_training::RunRecord;
use millstream_training::ensembles::MemberScores;
use millstream_training::metrics::{FigureKind, MetricSet};
use serde_json::{Value, json};

pub use report::{ComparedRun, ComparisonReport, PairedComparison, PairedFigure, RightOrWrong, SettingDifference};

use crate::calibrated::thresholds_of;
use crate::choices::Choices;
use crate::ensemble::{EnsembleFolder, require_one_run};
use crate::kept_predictions::require_kept;
use crate::pages::page;
use crate::report::{read_record, titles};
use crate::run_folder::RunFolder;
use crate::run_parts::RunParts;
use crate::search::StudyFolder;
use crate::significance::holm;
use crate::{Catalogs, Events, RecipeError, Stop, load, run_predictions};

/// What to compare, and how.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Folders of runs, two or more; the first is the one that the others are held against.
    pub runs: Vec<PathBuf>,
    /// Evaluate models whose answers were not kept, and keep them.
    pub predict: bool,
    /// Draws of rows behind the interval of a difference; 0 for none.
    pub resamples: u32,
    /// Of the draws.
    pub seed: u64,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What recipes can choose among.
    pub catalogs: Catalogs,
}

/// What places end with whose values are hashes.
const HASH: &str = "SHA-256";

/// How often intervals of differences hold.
const CONFIDENCE: f64 = 0.95;

/// What is done with an ensemble, which is measured otherwise.
const NO_ENSEMBLE: &str = "name runs: its `report.html` and `ensemble.json` hold it against its members, and `millstream ensemble evaluate` \
    does so on other rows";

/// A run, read.
struct Read {
    folder: RunFolder,
    recipe: Recipe,
    record: RunRecord,
}

/// Holds runs against each other.
///
/// # Errors
/// There are fewer than two, a folder holds no run, its record or recipe does not parse, or predictions are damaged. None when it was
/// asked to stop.
pub fn compare(
    options: &CompareOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<ComparisonReport>, RecipeError> {
    if options.runs.len() < 2 {
        return Err(RecipeError::mismatch("runs", "two or more are compared; name another"));
    }
    let mut runs = Vec::with_capacity(options.runs.len());
    for folder in &options.runs {
        let folder = RunFolder(folder.clone());
        let study = StudyFolder::new(&folder.0);
        if !folder.metrics().exists() && study.holds_study() {
            let message = format!(
                "{} is a search and no run; name runs of it, for example {}, or what `millstream search best --refit` trains",
                shown_path(&folder.0),
                shown_path(study.first_run())
            );
            return Err(RecipeError::mismatch("runs", message));
        }
        EnsembleFolder::require_run(&folder.0, NO_ENSEMBLE)?;
        require_one_run(&folder.0)?;
        let record = read_record(&folder)?;
        let recipe = load(&RecipeText::read(&folder.recipe(), &[])?, &options.catalogs)?;
        runs.push(Read { folder, recipe, record });
    }
    let records: Vec<RunRecord> = runs.iter().map(|run| run.record.clone()).collect();
    let names = titles(&records, &options.runs);
    let (mut kept, mut notes) = (Vec::new(), Vec::new());
    let places: Vec<Option<PathBuf>> = runs.iter().map(|run| run.folder.0.canonicalize().ok()).collect();
    for (at, (run, name)) in runs.iter().zip(&names).enumerate() {
        let first = places[..at].iter().position(|place| place.is_some() && *place == places[at]);
        match first {
            // what is to be said of it is said already
            Some(first) if names[first] == *name => {
                notes.push(format!("{} is named more than once: these columns are one run", shown(name)));
            }
            Some(first) => notes.push(format!("{} and {} are one run", shown(&names[first]), shown(name))),
            None => {
                let told = RunParts::of_run(&run.folder)?.told();
                notes.extend(told.into_iter().map(|told| format!("{}: {told}", shown(name))));
            }
        }
        let most = ByteSize(run.recipe.data.memory.0 / (2 * runs.len() as u64));
        let reads = Choices::of(&run.recipe.training, &options.catalogs)?.loss.reads();
        let are_kept = require_kept(reads, &run.folder.model());
        let mut found = match &are_kept {
            Ok(()) => run_predictions::kept(&run.folder, most)?,
            Err(why) => Err(why.clone()),
        };
        if found.is_err() && are_kept.is_ok() && options.predict && run.folder.model().exists() {
            let with = (&options.catalogs, options.library.as_deref());
            if !run_predictions::keep(&run.folder, &run.recipe, with, events, stop)? {
                return Ok(None);
            }
            found = run_predictions::kept(&run.folder, most)?;
        }
        kept.push(found.map_err(|why| notes.extend(first.is_none().then_some(why))).ok());
    }
    let draws = paired::Draws { resamples: options.resamples, seed: options.seed, confidence: CONFIDENCE };
    let mut pairs = Vec::new();
    for second in 1..runs.len() {
        if stop.is_requested() {
            return Ok(None);
        }
        let (Some(one), Some(other)) = (&kept[0], &kept[second]) else { continue };
        match of_pair((&runs[0], one), (&runs[second], other), (second, draws, stop), &options.catalogs)? {
            Ok(Some(pair)) => pairs.push(pair),
            Ok(None) => return Ok(None),
            Err(why) => notes.push(format!("{} and {}: {why}", shown(&names[0]), shown(&names[second]))),
        }
    }
    let chances: Vec<f64> = pairs.iter().filter_map(|pair| Some(pair.right.as_ref()?.p)).collect();
    for (right, adjusted) in pairs.iter_mut().filter_map(|pair| pair.right.as_mut()).zip(holm(&chances)) {
        right.p_adjusted = adjusted;
    }
    let settings = settings::differing(&runs.iter().map(described).collect::<Result<Vec<_>, _>>()?);
    let mut figures: Vec<FigureKind> = Vec::new();
    for kind in runs.iter().flat_map(|run| &run.record.history.figures) {
        if !figures.iter().any(|known| known.name == kind.name) {
            figures.push(kind.clone());
        }
    }
    let has = |kind: &FigureKind| {
        let mut evaluations = runs.iter().filter_map(|run| run.record.evaluation.as_ref());
        evaluations.any(|evaluation| evaluation.figure(&kind.name).is_some())
    };
    figures.retain(has);
    figures.push(FigureKind::loss());
    notes.extend(losses_apart(runs.iter().map(|run| &run.record)));
    let compared = names.into_iter().zip(runs).map(|(name, run)| ComparedRun {
        name,
        folder: run.folder.0,
        ending: run.record.ending,
        steps: run.record.history.steps,
        seconds: run.record.history.seconds,
        evaluation: run.record.evaluation,
        evaluated_on: run.record.evaluated_on,
    });
    Ok(Some(ComparisonReport {
        version: 1,
        runs: compared.collect(),
        settings,
        figures,
        pairs,
        confidence: CONFIDENCE,
        resamples: options.resamples,
        notes,
    }))
}

/// That values of the loss do not compare, where the runs have losses of several names.
fn losses_apart<'a>(records: impl Iterator<Item = &'a RunRecord>) -> Option<String> {
    let name = |record: &RunRecord| {
        let (_, loss) = record.settings.iter().find(|(name, _)| name == "loss")?;
        match serde_json::from_str::<Value>(loss).ok()? {
            Value::String(name) => Some(name),
            Value::Object(options) => options.keys().next().cloned(),
            _ => None,
        }
    };
    let mut names: Vec<String> = records.filter_map(name).collect();
    names.sort_unstable();
    names.dedup();
    let said = format!("the losses are of different kinds ({}): their values do not compare", names.join(", "));
    (names.len() > 1).then_some(said)
}

/// The report as one HTML page that stands by itself.
pub fn page(report: &ComparisonReport) -> String {
    let names: Vec<String> = report.runs.iter().map(|run| shown(&run.name)).collect();
    page::html(&format!("{} compared", names.join(", ")), &markdown::markdown(report))
}

/// The recipe as it was used, and what else a run is made of.
fn described(run: &Read) -> Result<Value, RecipeError> {
    let mut value = serde_json::to_value(&run.recipe).unwrap_or_default();
    // It is not written where it is as usual.
    value["evaluation"] = serde_json::to_value(&run.recipe.evaluation).unwrap_or_default();
    let record = &run.record;
    value["device it ran on"] = json!(record.device);
    value["ONNX Runtime"] = json!(record.onnx_runtime);
    value["trained numbers"] = json!(record.trained);
    value["frozen numbers"] = json!(record.frozen);
    if let Some(made_of) = run.folder.made_of()? {
        value[format!("base model, {HASH}")] = json!(made_of.model);
        value[format!("training rows, {HASH}")] = json!(made_of.train);
        value[format!("evaluation rows, {HASH}")] = json!(made_of.evaluate);
        value[format!("adapters it began with, {HASH}")] = json!(made_of.adapters);
        value[format!("other sets, {HASH}")] = json!(made_of.sets);
    }
    Ok(value)
}

/// Two runs on the same rows, or why there is no test; nothing when it was asked to stop.
fn of_pair(
    (first, one): (&Read, &Predictions),
    (second, other): (&Read, &Predictions),
    (number, draws, stop): (usize, paired::Draws, &Stop),
    catalogs: &Catalogs,
) -> Result<Result<Option<PairedComparison>, String>, RecipeError> {
    if one.header.data != other.header.data {
        return Ok(Err(
            "their predictions are not of the same rows (files or labels differ), so there is no paired test; \
             evaluate both on the same data: `millstream evaluate RUN/recipe.yaml --model RUN/model.onnx --data FILES \
             --predictions RUN/predictions.parquet`"
                .into(),
        ));
    }
    let (one, other, left_out) = common(one.clone(), other.clone());
    if one.rows.is_empty() {
        return Ok(Err("no row was answered by both, so there is no paired test".into()));
    }
    let scores = match MemberScores::align(vec![("the first".into(), one), ("the second".into(), other)]) {
        Ok(scores) => scores,
        Err(error) => return Ok(Err(format!("{error}; so there is no paired test"))),
    };
    let metrics = |run: &Read| -> Result<MetricSet, RecipeError> {
        let own = Choices::of(&first.recipe.training, catalogs)?.metrics;
        let choices: Vec<_> = own
            .metrics()
            .iter()
            .filter(|metric| !metric.figures().is_empty())
            .map(|metric| metric.choice().clone())
            .collect();
        let own = MetricSet::choose(&catalogs.metrics, Some(&choices), None, scores.reads())?;
        let thresholds = thresholds_of(&Model::read(&run.folder.model())?)?;
        Ok(own.with_thresholds(thresholds).with_confidence(draws.confidence))
    };
    let metrics = [metrics(first)?, metrics(second)?];
    paired::compare((0, number), &scores, [&metrics[0], &metrics[1]], left_out, draws, stop).map(Ok)
}

/// The rows that both have, and how many one of them has alone.
fn common(one: Predictions, other: Predictions) -> (Predictions, Predictions, u64) {
    let rows = |predictions: &Predictions| predictions.rows.iter().cloned().collect::<HashSet<RowId>>();
    let (of_one, of_other) = (rows(&one), rows(&other));
    let both: HashSet<RowId> = of_one.intersection(&of_other).cloned().collect();
    let left_out = (of_one.len() + of_other.len() - 2 * both.len()) as u64;
    if left_out == 0 {
        return (one, other, 0);
    }
    (of_rows(&one, &both), of_rows(&other, &both), left_out)
}

fn of_rows(all: &Predictions, rows: &HashSet<RowId>) -> Predictions {
    let columns = all.header.columns;
    let mut found = Predictions::new(all.header.clone());
    for (at, row) in all.rows.iter().enumerate().filter(|(_, row)| rows.contains(row)) {
        let part = at * columns..(at + 1) * columns;
        found.rows.push(row.clone());
        found.scores.extend_from_slice(&all.scores[part.clone()]);
        match (&mut found.targets, &all.targets) {
            (PredictionTargets::Classes(into), PredictionTargets::Classes(from)) => into.push(from[at]),
            (PredictionTargets::Numbers(into), PredictionTargets::Numbers(from)) => into.extend_from_slice(&from[part]),
            _ => {}
        }
    }
    found
}
