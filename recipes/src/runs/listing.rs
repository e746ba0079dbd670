//! Which runs lie in a folder, and what each says of itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_compiler::adapter_files::PeftFolder;
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::{Fingerprint, count, shown_path};
use millstream_search::TrialState;
use millstream_training::RunRecord;
use millstream_training::metrics::FigureKind;
use serde_json::Value;

use super::report::{EntryFigure, EntryKind, RunEntry};
use crate::ensemble::{EnsembleFolder, MEMBERS, MembersFolder};
use crate::error::with_causes;
use crate::origin::Origin;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::search::{StudyFolder, StudyReport, TrialReport, setting_in_words, status};
use crate::study_part::{StudyPart, StudyRole};
use crate::{Catalogs, RecipeError, decisions, moment};

/// Folders within each other that are looked into.
const DEEPEST: usize = 6;
/// How a run ends that has not ended.
const UNDER_WAY: &str = "under way";
/// How one ends that has done all that it was to do.
const FINISHED: &str = "finished";
/// Letters of a trial's value at most.
const LONGEST: usize = 40;
/// A folder with more is no folder of runs.
const MOST: usize = 10_000;

/// An entry, with what its lineage is found by.
pub(super) struct Found {
    pub(super) entry: RunEntry,
    /// What it exported: the model, and adapters.
    pub(super) model: Option<Fingerprint>,
    pub(super) adapters: Vec<Fingerprint>,
    /// What it began with.
    pub(super) base: Option<Fingerprint>,
    pub(super) started_adapters: Option<Fingerprint>,
    /// Of an ensemble: what it calls its members, and their models.
    pub(super) members: Vec<Fingerprint>,
    /// The search that it lies in, and as what.
    pub(super) part: Option<StudyPart>,
    /// Of a search.
    pub(super) study: Option<FoundStudy>,
}

/// A trial, as the runs in it are told by.
struct FoundTrial {
    number: u64,
    /// What became of it where that is known.
    ending: Option<String>,
    /// The names and values that it has of its own.
    values: Vec<(String, String)>,
    /// What it reported last, where it has no figure of its end and is one run.
    last: Option<EntryFigure>,
}

impl Found {
    /// The folder of the search that it is, or lies in.
    fn search(&self) -> Option<&Path> {
        let own = self.study.as_ref().map(|study| study.folder.as_path());
        own.or_else(|| self.part.as_ref().map(|part| part.study.as_path()))
    }
}

/// A search, as what lies in it is told by.
pub(super) struct FoundStudy {
    /// Its whole folder.
    pub(super) folder: PathBuf,
    /// The number of its best trial.
    pub(super) best: Option<u64>,
    trials: Vec<FoundTrial>,
}

/// All runs, ensembles and searches below a folder, the newest first, and what could not be read.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn all(folder: &Path) -> Result<(Vec<Found>, Vec<String>), RecipeError> {
    fs::read_dir(folder).map_err(RecipeError::io("read", folder))?;
    let mut folders = Vec::new();
    walk(folder, 0, &mut folders);
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    if folders.len() >= MOST {
        notes.push(format!("{MOST} runs or more lie here; others are left out, name a folder within"));
    }
    for place in folders {
        let entry = if place.join("ensemble.json").exists() {
            ensemble(folder, &place)
        } else if MembersFolder::is_one(&place) {
            members(folder, &place)
        } else if StudyFolder::new(&place).holds_study() {
            study(folder, &place)
        } else {
            run(folder, &place)
        };
        match entry {
            Ok(entry) => found.push(entry),
            Err(error) => {
                notes.push(format!("{} is left out: {}", shown_path(&place), in_one_line(&with_causes(&error))));
            }
        }
    }
    tell_trials(&mut found);
    sort(&mut found);
    Ok((found, notes))
}

/// The newest first. What lies in a search stands behind it, trials by their numbers.
fn sort(found: &mut [Found]) {
    let when = |found: &Found| found.entry.ended.clone().or_else(|| found.entry.began.clone());
    let mut newest: BTreeMap<PathBuf, Option<String>> = BTreeMap::new();
    for found in found.iter() {
        if let Some(study) = found.search() {
            let known = newest.entry(study.to_owned()).or_default();
            *known = when(found).max(known.take());
        }
    }
    found.sort_by_cached_key(|found| {
        let study = found.search().map(Path::to_owned);
        let when = study.as_ref().and_then(|study| newest.get(study)).cloned().unwrap_or_else(|| when(found));
        let place = match found.part.as_ref().map(|part| part.role) {
            None => (0, 0),
            Some(StudyRole::Best) => (1, 0),
            Some(StudyRole::Refit) => (2, 0),
            Some(StudyRole::Trial(number)) => (3, number),
        };
        (Reverse(when), study, place, found.entry.name.clone())
    });
}

/// What a study knows of its trials: by which values one differs from the others, and what became of a run that says nothing of its end, or that
/// it was interrupted, which is what a search does to those that it sets aside.
fn tell_trials(found: &mut [Found]) {
    let studies: Vec<_> = found
        .iter_mut()
        .filter_map(|found| found.study.as_mut())
        .map(|study| (study.folder.clone(), std::mem::take(&mut study.trials)))
        .collect();
    for run in found {
        let Some(StudyPart { study, role: StudyRole::Trial(number) }) = &run.part else { continue };
        let trials = studies.iter().find(|(folder, _)| folder == study).map(|(_, trials)| trials);
        let Some(trial) = trials.and_then(|trials| trials.iter().find(|trial| trial.number == *number)) else {
            continue;
        };
        if let Some(ending) = trial.ending.as_ref().filter(|_| run.entry.ending != FINISHED) {
            run.entry.ending.clone_from(ending);
        }
        if run.entry.decides.as_ref().is_none_or(|decides| decides.value.is_none()) && trial.last.is_some() {
            run.entry.decides.clone_from(&trial.last);
        }
        // an optimizer or a method is told already
        let how = run.entry.how.clone();
        let is_told = |part: &str, name: &str, value: &str| part == value || part == format!("{name}s {value}");
        let is_new = |(name, value): &&(String, String)| !how.split(", ").any(|part| is_told(part, name, value));
        let told: Vec<String> =
            trial.values.iter().filter(is_new).map(|(name, value)| format!("{name} {value}")).collect();
        if !told.is_empty() {
            run.entry.how += &format!("; {}", told.join(", "));
        }
    }
}

/// The values of a trial, each by the last part of its place: `learning_rate` and `0.003`, `rank` and `8`.
fn values(study: &StudyReport, trial: &TrialReport) -> Vec<(String, String)> {
    let told = trial.settings.iter().map(|(place, value)| {
        let name = place.rsplit('.').next().unwrap_or(place);
        (name.to_owned(), setting_in_words(study.alternatives(place), value, LONGEST))
    });
    told.collect()
}

/// Whether a folder is that of a run, an ensemble, an ensemble's members or a search, whether or not it has ended.
pub fn is_run_folder(folder: &Path) -> bool {
    is_of_one_run(&RunFolder(folder.to_owned()))
        || folder.join("ensemble.json").exists()
        || MembersFolder::is_one(folder)
        || StudyFolder::new(folder).holds_study()
}

fn is_of_one_run(run: &RunFolder) -> bool {
    run.recipe().exists() && run.holds_run()
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_run_folder(folder) {
        found.push(folder.to_owned());
    }
    if depth == DEEPEST || found.len() >= MOST {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    // links may go round
    let mut inner: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    inner.sort_unstable();
    let run = RunFolder(folder.to_owned());
    let is_one = is_of_one_run(&run);
    let parts = [run.checkpoints(), run.graph(), run.logs(), run.0.join("activations")];
    inner.iter().filter(|folder| !(is_one && parts.contains(folder))).for_each(|folder| walk(folder, depth + 1, found));
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

fn run(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
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

/// What is told in several lines, in one.
fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
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

fn study(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
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
fn members(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
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

fn ensemble(folder: &Path, place: &Path) -> Result<Found, RecipeError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, ended: &str, part: Option<StudyRole>) -> Found {
        Found {
            entry: RunEntry {
                name: name.into(),
                kind: EntryKind::Run,
                ending: "interrupted".into(),
                began: None,
                ended: Some(ended.into()),
                decides: None,
                loss: None,
                rows: None,
                steps: None,
                seconds: None,
                device: None,
                trained: None,
                how: "adamw, trains all".into(),
                base: None,
                model: None,
                note: None,
                noted: 0,
                links: Vec::new(),
            },
            model: None,
            adapters: Vec::new(),
            base: None,
            started_adapters: None,
            members: Vec::new(),
            part: part.map(|role| StudyPart { study: "/runs/s".into(), role }),
            study: None,
        }
    }

    fn study(trials: Vec<FoundTrial>) -> Found {
        let study = FoundStudy { folder: "/runs/s".into(), best: None, trials };
        Found { study: Some(study), ..found("s", "2026-11-28T05:00:00Z", None) }
    }

    #[test]
    fn trials_stand_behind_their_search_in_the_order_of_their_numbers() {
        let trial = |name: &str, second: u32, number: u64| {
            found(name, &format!("2026-11-28T05:09:{second:02}Z"), Some(StudyRole::Trial(number)))
        };
        let mut all = vec![
            trial("s/trials/0002", 9, 2),
            found("older", "2026-11-28T05:09:30Z", None),
            trial("s/trials/0010", 3, 10),
            trial("s/trials/0000", 50, 0),
            found("newest", "2026-11-28T06:00:00Z", None),
            study(Vec::new()),
            found("s/best", "2026-11-28T05:09:01Z", Some(StudyRole::Best)),
        ];
        sort(&mut all);
        let names: Vec<&str> = all.iter().map(|found| found.entry.name.as_str()).collect();
        assert_eq!(names, ["newest", "s", "s/best", "s/trials/0000", "s/trials/0002", "s/trials/0010", "older"]);
    }

    #[test]
    fn a_trial_that_was_set_aside_shows_the_last_figure_that_it_reported() {
        let last = EntryFigure { kind: FigureKind::loss(), value: Some(0.25), interval: None, on: None, is_last: true };
        let set_aside = FoundTrial {
            number: 7,
            ending: Some("set aside by the search".into()),
            values: vec![("train".into(), "all".into()), ("learning_rate".into(), "8.092e-4".into())],
            last: Some(last),
        };
        let mut all =
            vec![study(vec![set_aside]), found("s/trials/0007", "2026-11-28T05:09:00Z", Some(StudyRole::Trial(7)))];
        tell_trials(&mut all);
        let told = &all[1].entry;
        assert_eq!(told.decides.as_ref().map(EntryFigure::in_words).as_deref(), Some("last loss 0.2500"));
        assert_eq!(told.how, "adamw, trains all; learning_rate 8.092e-4");
        assert_eq!(told.ending, "set aside by the search");
    }
}
