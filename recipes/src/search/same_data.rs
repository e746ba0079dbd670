//! Whether all trials of a study are of the same model and the same rows, as far as these are not left open.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_compiler::Model;
use millstream_pipeline::SplitRole;
use millstream_schemas::{FileLock, Fingerprint, Recipe, TensorRole, count, files, shown};
use serde::Serialize;
use serde_json::Value;

use super::first_fingerprints::{FirstFingerprints, RunFingerprints};
use super::open_recipe::OpenRecipe;
use super::parts;
use super::study_folder::StudyFolder;
use crate::error::with_causes;
use crate::imported::NamedRows;
use crate::made_of::MadeOf;
use crate::run_folder::RunFolder;
use crate::run_start::made_of;
use crate::{Opened, RecipeError};

/// Trials that are made of something else than the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StudyDifference {
    /// The place of the recipe: `data.evaluate`.
    pub place: String,
    /// Their numbers.
    pub trials: Vec<u64>,
}

impl StudyDifference {
    /// `trials 2 and 3 have another data.evaluate than trial 0`.
    pub(crate) fn in_words(&self) -> String {
        let numbers: Vec<String> = self.trials.iter().map(ToString::to_string).collect();
        let what = match self.place.as_str() {
            "model.path" => "base model",
            "data.train" => "training rows",
            "data.evaluate" => "evaluation rows",
            place => place,
        };
        let are = if numbers.len() == 1 { "is" } else { "are" };
        format!(
            "{} {are} of other {what} (`{}`) than the first: what lay there had changed, so that figures of these trials cannot be held \
             against the others'",
            match numbers.as_slice() {
                [one] => format!("trial {one}"),
                [some @ .., last] => format!("trials {} and {last}", some.join(", ")),
                [] => count(0_u64, "trial"),
            },
            self.place
        )
    }
}

/// A run that is about to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextRun<'a> {
    pub(super) trial: u64,
    /// Its name below its trial; none where the trial is one run.
    pub(super) name: Option<&'a str>,
    /// Trials of the study so far, this one among them.
    pub(super) trials: u64,
}

/// Refuses a run that is made of something else than the runs by its name of the trials before it; what the first is made of is noted.
/// Processes of all machines see the same note.
///
/// # Errors
/// [`RecipeError::StudyChanged`], or the note cannot be read or written.
pub(super) fn require_same(
    folder: &StudyFolder,
    open: &OpenRecipe,
    run: NextRun<'_>,
    opened: &Opened,
) -> Result<(), RecipeError> {
    let own = RunFingerprints {
        run: run.name.map(str::to_owned),
        targets: Some(opened.train.encoders.columns_of(TensorRole::Target)),
        made_of: closed(open, &made_of(opened)?),
    };
    let workers = folder.workers();
    files::create_folder(&workers).map_err(RecipeError::io("make", &workers))?;
    let lock = workers.join("first-fingerprints.lock");
    let _lock = FileLock::wait(&lock).map_err(RecipeError::io("write", &lock))?;
    let unknown = || FirstFingerprints { held_from: run.trials, runs: Vec::new() };
    let mut known = folder.first_fingerprints()?.unwrap_or_else(unknown);
    if !known.runs.iter().any(|other| other.run == own.run) {
        known.runs.extend(of_older_build(folder, open, run.name, known.held_from));
    }
    let is_alike = |other: &&RunFingerprints| {
        other.run == own.run
            && match &other.targets {
                Some(targets) => Some(targets) == own.targets.as_ref(),
                None => targets_are_closed(open),
            }
    };
    let Some(first) = known.runs.iter().find(is_alike) else {
        known.runs.push(own);
        return folder.note_first_fingerprints(&known);
    };
    let differs = own.made_of.iter().find(|(place, now)| first.made_of.get(*place).is_some_and(|then| then != *now));
    match differs {
        None if folder.first_fingerprints()?.as_ref() == Some(&known) => Ok(()),
        None => folder.note_first_fingerprints(&known),
        Some((place, now)) => Err(RecipeError::StudyChanged {
            folder: folder.path().to_owned(),
            trial: run.trial,
            what: place.clone(),
            then: first.made_of[place].clone(),
            now: now.clone(),
        }),
    }
}

/// Why a run cannot be opened: the error at hand, or that what lies there is not what the first run was made of, where it is not. Rows that
/// are others, or not there any more, are no fault of the values that are tried.
pub(super) fn or_changed(folder: &StudyFolder, run: NextRun<'_>, recipe: &Recipe, error: RecipeError) -> RecipeError {
    let known = folder.first_fingerprints().ok().flatten().unwrap_or_default();
    let first = known.runs.into_iter().find(|first| first.run.as_deref() == run.name);
    let Some(RunFingerprints { targets: Some(targets), made_of, .. }) = first else { return error };
    let rows = |patterns: &[String], role| -> Result<Fingerprint, RecipeError> {
        let (dataset, _) = NamedRows::of(&recipe.data, patterns, &recipe.output.folder).open(role)?;
        Ok(dataset.fingerprint_with(&targets)?)
    };
    for (what, then) in made_of {
        let now = match (what.as_str(), &recipe.data.evaluate, &recipe.model) {
            ("data.train", ..) => rows(&recipe.data.train, SplitRole::Train),
            ("data.evaluate", Some(evaluate), _) => rows(evaluate, SplitRole::Evaluate),
            ("model.path", _, Some(model)) => {
                Model::read(&model.path).map(|model| model.fingerprint().clone()).map_err(RecipeError::from)
            }
            _ => continue,
        };
        let now = now.map_or_else(|error| shown(with_causes(&error)), |now| now.to_string());
        if now != then {
            return RecipeError::StudyChanged { folder: folder.path().to_owned(), trial: run.trial, what, then, now };
        }
    }
    error
}

/// Places of the recipe that hold something else now than when a trial was trained, by what its first run has noted; of a trial that was
/// trained on folds, which are files of their own, only the model.
pub(super) fn changed_since(
    folder: &StudyFolder,
    open: &OpenRecipe,
    trial: u64,
    opened: &Opened,
) -> Result<Vec<String>, RecipeError> {
    let names = parts::names(open.search());
    let first = names.first().and_then(Option::as_deref);
    let Some(then) = noted(&folder.trial(trial), first) else { return Ok(Vec::new()) };
    let (then, now) = (closed(open, &then), closed(open, &made_of(opened)?));
    let differs = now.into_iter().filter(|(place, now)| then.get(place).is_some_and(|then| then != now));
    let is_of_folds = |place: &str| open.search().folds.is_some() && place.starts_with("data.");
    Ok(differs.map(|(place, _)| place).filter(|place| !is_of_folds(place)).collect())
}

/// What the first run by a name has noted among trials that were begun by a build that did not look.
fn of_older_build(folder: &StudyFolder, open: &OpenRecipe, name: Option<&str>, trials: u64) -> Option<RunFingerprints> {
    let first = (0..trials).find_map(|trial| noted(&folder.trial(trial), name))?;
    Some(RunFingerprints { run: name.map(str::to_owned), targets: None, made_of: closed(open, &first) })
}

fn noted(trial: &Path, run: Option<&str>) -> Option<MadeOf> {
    // what cannot be read says nothing
    RunFolder(run.map_or_else(|| trial.to_owned(), |run| trial.join(run))).made_of().ok().flatten()
}

/// By their own records, the trials of a study that are not of the model and the rows of the first one. Only those are looked at that were
/// not held against it before they began.
pub(super) fn differences(
    folder: &StudyFolder,
    open: &OpenRecipe,
    trials: u64,
    names: &[Option<String>],
) -> Vec<StudyDifference> {
    let unheld = folder.first_fingerprints().ok().flatten().map_or(trials, |known| known.held_from.min(trials));
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for name in names {
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        for trial in 0..unheld {
            let Some(own) = noted(&folder.trial(trial), name.as_deref()) else { continue };
            for (place, fingerprint) in closed(open, &own) {
                let is_of_rows = place.starts_with("data.") || place.starts_with("evaluation.");
                if is_of_rows && !targets_are_closed(open) {
                    continue;
                }
                let known = first.entry(place.clone()).or_insert_with(|| fingerprint.clone());
                let others = found.entry(place).or_default();
                if *known != fingerprint && others.last() != Some(&trial) {
                    others.push(trial);
                }
            }
        }
    }
    let found = found.into_iter().map(|(place, mut trials)| {
        trials.sort_unstable();
        trials.dedup();
        StudyDifference { place, trials }
    });
    found.filter(|one| !one.trials.is_empty()).collect()
}

/// Whether the values of the same columns are part of the fingerprints of all trials' rows.
fn targets_are_closed(open: &OpenRecipe) -> bool {
    !open.leaves_open("data.targets") && !open.leaves_open("training.loss")
}

/// Fingerprints of what is the same in all trials, by its place.
fn closed(open: &OpenRecipe, made_of: &MadeOf) -> BTreeMap<String, String> {
    let rows_are_open = open.leaves_open("data.train") || open.leaves_open("data.evaluate");
    let mut found = BTreeMap::new();
    let fingerprints = made_of.fingerprints();
    for (place, value) in fingerprints.as_object().into_iter().flatten() {
        let is_open = if place.starts_with("data.") { rows_are_open } else { open.leaves_open(place) };
        match value {
            _ if is_open => {}
            Value::String(fingerprint) => drop(found.insert(place.clone(), fingerprint.clone())),
            Value::Object(sets) => {
                found.extend(sets.iter().filter_map(|(name, fingerprint)| {
                    Some((format!("{place}.{name}"), fingerprint.as_str()?.to_owned()))
                }))
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use millstream_schemas::recipe::RecipeText;
    use serde_json::json;

    use super::*;
    use crate::Catalogs;

    fn study(changes: &[&str]) -> OpenRecipe {
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet}\ntraining: {epochs: {choose: [1, 2]}}\n";
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), &changes).unwrap();
        OpenRecipe::load(&text, &Catalogs::default()).unwrap()
    }

    fn of(model: &str, evaluate: &str) -> Value {
        json!({"model.path": model, "data.train": "t", "data.evaluate": evaluate, "evaluation.sets": {"night": "n"}})
    }

    #[test]
    fn trials_of_other_rows_than_the_first_are_told_by_their_own_records() {
        let place = tempfile::tempdir().unwrap();
        let folder = StudyFolder::new(place.path());
        for (trial, (model, evaluate)) in [("m", "e"), ("m", "e"), ("m", "f"), ("n", "f")].into_iter().enumerate() {
            let trial = folder.trial(trial as u64);
            fs::create_dir_all(&trial).unwrap();
            fs::write(trial.join("fingerprints.json"), of(model, evaluate).to_string()).unwrap();
        }
        let said = |open: &OpenRecipe, trials| -> Vec<(String, Vec<u64>)> {
            let found = differences(&folder, open, trials, &[None]);
            found.into_iter().map(|one| (one.place, one.trials)).collect()
        };
        let rows = ("data.evaluate".to_owned(), vec![2, 3]);
        assert_eq!(said(&study(&[]), 4), [rows.clone(), ("model.path".to_owned(), vec![3])]);
        assert_eq!(said(&study(&[]), 2), []);
        assert_eq!(said(&study(&["model.path={choose: [a.onnx, b.onnx]}"]), 4), [rows]);
        assert_eq!(said(&study(&["data.train={choose: [a, b]}"]), 4), [("model.path".to_owned(), vec![3])]);
        let said = StudyDifference { place: "data.evaluate".into(), trials: vec![2, 3] }.in_words();
        assert!(
            said.starts_with("trials 2 and 3 are of other evaluation rows (`data.evaluate`) than the first"),
            "{said}"
        );
    }

    #[test]
    fn what_is_the_same_in_all_trials_is_closed_and_sets_have_places_of_their_own() {
        let made_of: MadeOf = serde_json::from_value(of("m", "e")).unwrap();
        let places = |changes: &[&str]| closed(&study(changes), &made_of).into_keys().collect::<Vec<_>>();
        assert_eq!(places(&[]), ["data.evaluate", "data.train", "evaluation.sets.night", "model.path"]);
        assert_eq!(places(&["data.evaluate={choose: [a, b]}"]), ["evaluation.sets.night", "model.path"]);
    }
}
