//! What a run, an ensemble or a search says of itself.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_compiler::adapter_files::PeftFolder;
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::{Fingerprint, count};
use millstream_search::TrialState;
use millstream_training::RunRecord;
use millstream_training::metrics::FigureKind;
use serde_json::Value;

use super::found::{Found, FoundStudy, FoundTrial};
use super::report::{EntryFigure, EntryKind, RunEntry};
use crate::ensemble::{EnsembleFolder, MEMBERS};
use crate::origin::Origin;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::search::{StudyFolder, StudyReport, TrialReport, setting_in_words, status};
use crate::study_part::StudyPart;
use crate::{Catalogs, RecipeError, decisions, moment};

/// How a run ends that has not ended.
const UNDER_WAY: &str = "under way";
/// How one ends that has done all that it was to do.
pub(super) const FINISHED: &str = "finished";
/// Letters of a trial's value at most.
const LONGEST: usize = 40;

/// A run, from its folder `place`, below the `folder` that is looked into.
pub(super) fn run(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
    let run = RunFolder(place.to_owned());
    let record = match run.metrics().exists() {
        true => Some(read_record(&run)?),
        false => None,
    };
    let (origin, made_of) = (Origin::of_run(&run)?, run.made_of()?);
    let noted = decisions::in_words(place)?;
    let recipe = recipe(&run);
    let history = record.as_ref().map(|record| &record.history);
    let evaluation = record.as_ref().and_then(|record| record.evaluation.as_ref());
    let decides = history.map(|history| history.decides.clone());
    let decides = decides.zip(evaluation).map(|(kind, evaluation)| EntryFigure {
        value: evaluation.figure(&kind.name),
        interval: evaluation.interval(&kind.name),
        kind,
        on: record.as_ref().and_then(RunRecord::other_deciding_set).map(str::to_owned),
        is_last: false,
    });
    let documents = place.join("documents");
    let mut adapters = Vec::new();
    for at in 0..crate::opened::MOST_METHODS {
        let files = [PeftFolder::CONFIG, PeftFolder::TENSORS].map(|name| run.adapter(at).join(name));
        if files.iter().all(|file| file.exists()) {
            let mut bytes = Vec::new();
            for file in &files {
                bytes.extend(fs::read(file).map_err(RecipeError::io("read", file))?);
            }
            adapters.push(Fingerprint::of_bytes(&bytes));
        }
    }
    adapters.extend(hash(&run.onnx_adapter())?);
    let model = hash(&run.model())?;
    Ok(Found {
        entry: RunEntry {
            name: relative(folder, place),
            kind: EntryKind::Run,
            ending: record.as_ref().map_or_else(|| UNDER_WAY.to_owned(), |record| record.ending.clone()),
            began: origin.map(|origin| origin.began),
            ended: record.as_ref().and_then(|_| when(&run.metrics())),
            decides,
            loss: evaluation.map(|evaluation| evaluation.loss),
            rows: evaluation.map(|evaluation| evaluation.rows),
            steps: history.map(|history| history.steps),
            seconds: history.map(|history| history.seconds),
            device: record.as_ref().map(|record| record.device.clone()),
            trained: record.as_ref().map(|record| record.trained),
            how: how(&recipe),
            base: recipe.pointer("/model/path").and_then(Value::as_str).map(file_name),
            model: model.as_ref().map(|model| model.0.clone()),
            note: noted.last().cloned(),
            noted: noted.len(),
            links: links(
                folder,
                &[
                    ("report", run.report()),
                    ("model card", documents.join("model-card.html")),
                    ("datasheet", documents.join("datasheet.html")),
                    ("errors", place.join("errors.html")),
                    ("recipe", run.recipe()),
                ],
            ),
        },
        model,
        adapters,
        base: made_of.as_ref().map(|made_of| made_of.model.clone()),
        started_adapters: made_of.and_then(|made_of| made_of.adapters),
        members: Vec::new(),
        part: StudyPart::of(place),
        study: None,
    })
}

/// A search.
pub(super) fn study(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
    let own = StudyFolder::new(place);
    let study = status(&own, &Catalogs::default())?;
    let noted = decisions::in_words(place)?;
    let best = study.best_trial();
    let figure = study.figures.first().zip(best).map(|(kind, best)| EntryFigure {
        kind: kind.clone(),
        value: best.values.first().copied(),
        interval: best.interval,
        on: study.about.other_deciding_set().map(str::to_owned),
        is_last: false,
    });
    let seconds = study.trials.iter().filter_map(|trial| trial.seconds).sum();
    let given_up = match study.trials.iter().filter(|trial| trial.is_given_up).count() {
        0 => String::new(),
        some => format!(", {some} given up"),
    };
    let documents = place.join("documents");
    Ok(Found {
        entry: RunEntry {
            name: relative(folder, place),
            kind: EntryKind::Study,
            ending: if study.is_over { FINISHED.into() } else { UNDER_WAY.into() },
            began: None,
            ended: when(&own.journal()),
            decides: figure,
            loss: None,
            rows: None,
            steps: None,
            seconds: Some(seconds),
            device: None,
            trained: None,
            how: format!("{}, {} of {}{given_up}", study.proposer, study.finished(), count(study.wanted, "trial")),
            base: None,
            model: None,
            note: noted.last().cloned(),
            noted: noted.len(),
            links: links(
                folder,
                &[
                    ("search", own.page()),
                    ("search card", documents.join("search-card.html")),
                    ("recipe", own.recipe()),
                ],
            ),
        },
        model: None,
        adapters: Vec::new(),
        base: None,
        started_adapters: None,
        members: Vec::new(),
        part: None,
        study: Some(FoundStudy {
            folder: place.canonicalize().unwrap_or_else(|_| place.to_owned()),
            best: study.best,
            trials: study
                .trials
                .iter()
                .map(|one| FoundTrial {
                    number: one.number,
                    ending: ending(one),
                    values: values(&study, one),
                    last: last_figure(&study, one),
                })
                .collect(),
        }),
    })
}

/// Members that were trained on parts of the rows: their mean is a model.
pub(super) fn members(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
    let own = RunFolder(place.to_owned());
    let file = place.join(MEMBERS);
    let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
    let known: Value = serde_json::from_slice(&text)
        .map_err(|error| RecipeError::ensemble(&file, format!("it is damaged: {error}")))?;
    let report = &known["report"];
    let way = known.pointer("/made_of/sampling").and_then(Value::as_object).and_then(|sampling| sampling.keys().next());
    let all = report["members"].as_array().map_or(&[][..], Vec::as_slice);
    let decides: Option<FigureKind> = serde_json::from_value(report["figures"][0].clone()).ok();
    let hashes = all.iter().filter_map(|member| member["model"].as_str());
    let (model, noted) = (hash(&own.model())?, decisions::in_words(place)?);
    Ok(Found {
        entry: RunEntry {
            name: relative(folder, place),
            kind: EntryKind::Ensemble,
            ending: if report.is_object() { "finished".into() } else { UNDER_WAY.into() },
            began: None,
            ended: when(&file),
            decides: decides.map(|kind| EntryFigure {
                value: report["out_of_fold"][&kind.name].as_f64(),
                interval: None,
                kind,
                on: None,
                is_last: false,
            }),
            loss: report.pointer("/out_of_fold/loss").and_then(Value::as_f64),
            rows: report["answered"].as_u64(),
            steps: None,
            seconds: None,
            device: None,
            trained: None,
            how: format!(
                "mean of {} by {}",
                count(all.len(), "member"),
                way.map_or("parts of the rows", String::as_str)
            ),
            base: None,
            model: model.as_ref().map(|model| model.0.clone()),
            note: noted.last().cloned(),
            noted: noted.len(),
            links: links(folder, &[("model card", place.join("documents").join("model-card.html"))]),
        },
        model,
        adapters: Vec::new(),
        base: None,
        started_adapters: None,
        members: hashes.map(|hash| Fingerprint(hash.to_owned())).collect(),
        part: None,
        study: None,
    })
}

/// An ensemble.
pub(super) fn ensemble(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
    let own = EnsembleFolder(place.to_owned());
    let fitted = own.read()?;
    let evaluation = &fitted.report.ensemble;
    let kind = fitted.report.decides.clone();
    let (value, interval) = (evaluation.figure(&kind.name), evaluation.interval(&kind.name));
    let decides = EntryFigure { value, interval, kind, on: None, is_last: false };
    let noted = decisions::in_words(place)?;
    let model = hash(&own.model())?;
    Ok(Found {
        entry: RunEntry {
            name: relative(folder, place),
            kind: EntryKind::Ensemble,
            ending: "finished".into(),
            began: None,
            ended: when(&own.description()),
            decides: Some(decides),
            loss: Some(evaluation.loss),
            rows: Some(evaluation.rows),
            steps: None,
            seconds: None,
            device: None,
            trained: None,
            how: format!("{} of {}", fitted.method.name, count(fitted.members.len(), "member")),
            base: None,
            model: model.as_ref().map(|model| model.0.clone()),
            note: noted.last().cloned(),
            noted: noted.len(),
            links: links(
                folder,
                &[("report", own.report()), ("model card", place.join("documents").join("model-card.html"))],
            ),
        },
        model,
        adapters: Vec::new(),
        base: None,
        started_adapters: None,
        members: fitted.members.iter().map(|member| member.fingerprint.clone()).collect(),
        part: None,
        study: None,
    })
}

/// The values of a trial, each by the last part of its place: `learning_rate` and `0.003`, `rank` and `8`.
fn values(study: &StudyReport, trial: &TrialReport) -> Vec<(String, String)> {
    let told = trial.settings.iter().map(|(place, value)| {
        let name = place.rsplit('.').next().unwrap_or(place);
        (name.to_owned(), setting_in_words(study.alternatives(place), value, LONGEST))
    });
    told.collect()
}

/// What became of a trial that nobody works on.
fn ending(trial: &TrialReport) -> Option<String> {
    match trial.state {
        TrialState::Running | TrialState::Complete => None,
        TrialState::Waiting => Some("waiting to be gone on with".into()),
        TrialState::Paused => Some("set aside by the search".into()),
        TrialState::Stopped => Some("stopped early by the search".into()),
        TrialState::Failed if trial.is_given_up => Some("given up: its process was lost again and again".into()),
        TrialState::Failed => Some("failed".into()),
    }
}

/// What a trial without a figure of its end reported last; none of one of several runs, whose reports are not those of each.
fn last_figure(study: &StudyReport, trial: &TrialReport) -> Option<EntryFigure> {
    let kind = study.figures.first().filter(|_| trial.values.is_empty() && study.runs == 1)?;
    let (_, value) = trial.reports.last().filter(|(_, value)| value.is_finite())?;
    Some(EntryFigure {
        kind: kind.clone(),
        value: Some(*value),
        interval: None,
        on: study.about.other_deciding_set().map(str::to_owned),
        is_last: true,
    })
}

fn relative(folder: &Path, path: &Path) -> String {
    let path = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<String> = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}

fn links(folder: &Path, pages: &[(&str, PathBuf)]) -> Vec<(String, String)> {
    let there = pages.iter().filter(|(_, path)| path.exists());
    there.map(|(what, path)| ((*what).to_owned(), relative(folder, path))).collect()
}

fn hash(path: &Path) -> Result<Option<Fingerprint>, RecipeError> {
    match path.exists() {
        true => sha256_of_file(path).map(|hash| Some(Fingerprint(hash))).map_err(RecipeError::io("read", path)),
        false => Ok(None),
    }
}

fn when(path: &Path) -> Option<String> {
    Some(moment::utc(fs::metadata(path).ok()?.modified().ok()?))
}

/// As far as it parses; a recipe of another build is shown with less.
fn recipe(run: &RunFolder) -> Value {
    let text = fs::read_to_string(run.recipe()).unwrap_or_default();
    millstream_schemas::yaml::value(&text).unwrap_or_default()
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// `adamw, lora; 3 epochs`.
fn how(recipe: &Value) -> String {
    let name = |choice: &Value| match choice {
        Value::String(name) => Some(name.clone()),
        Value::Object(map) => map.keys().next().cloned(),
        _ => None,
    };
    let optimizer = recipe.pointer("/training/optimizer").and_then(name);
    let methods = recipe.pointer("/model/methods").and_then(Value::as_array).into_iter().flatten().filter_map(name);
    let mut parts: Vec<String> = optimizer.into_iter().chain(methods).collect();
    if let Some(train) = recipe.pointer("/model/train") {
        parts.push(format!("trains {}", train.as_str().map_or_else(|| train.to_string(), str::to_owned)));
    }
    if let Some(epochs) = recipe.pointer("/training/epochs") {
        parts.push(epochs.as_u64().map_or_else(|| format!("{epochs} epochs"), |epochs| count(epochs, "epoch")));
    }
    parts.join(", ")
}
