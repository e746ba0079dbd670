//! Whether all trials of a study are of the same model and the same rows, as far as these are not left open.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_compiler::Model;
use millstream_pipeline::SplitRole;
use millstream_schemas::{FileLock, Fingerprint, Recipe, TensorRole, count, files, shown_sentences};
use millstream_search::{Study, Trial, TrialState};
use serde::Serialize;
use serde_json::Value;

use super::first_fingerprints::{FirstFingerprints, RunFingerprints};
use super::open_recipe::OpenRecipe;
use super::parts;
use super::results::{finished, has_figures};
use super::study_folder::StudyFolder;
use crate::error::with_causes;
use crate::imported::NamedRows;
use crate::made_of::MadeOf;
use crate::noted_files::NotedFiles;
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
            BASE_MODEL => "base model",
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
    /// Those of all runs of a trial.
    pub(super) names: &'a [Option<String>],
    /// Trials of the study so far, this one among them.
    pub(super) trials: u64,
    /// Who works on it.
    pub(super) worker: &'a str,
    /// Whether any trial of the study is known to have figures.
    pub(super) has_figures: bool,
}

/// Refuses a run that is made of something else than runs before it, those of its own trial among them; what the first is made of is noted.
/// Processes of all machines see the same note. As long as nothing came of any trial, what lay there may have been at fault and was
/// mended: what lies there now is noted in its place. Gives what the run is made of. `study` is read again where it decides.
///
/// # Errors
/// [`RecipeError::StudyChanged`], or the note cannot be read or written.
pub(super) fn require_same(
    folder: &StudyFolder,
    open: &OpenRecipe,
    run: NextRun<'_>,
    opened: &Opened,
    study: impl FnOnce() -> Result<Study, RecipeError>,
) -> Result<MadeOf, RecipeError> {
    let now = made_of(opened)?;
    let own = RunFingerprints {
        run: run.name.map(str::to_owned),
        targets: Some(opened.train.encoders.columns_of(TensorRole::Target)),
        made_of: closed(open, &now),
    };
    let workers = folder.workers();
    files::create_folder(&workers).map_err(RecipeError::io("make", &workers))?;
    let lock = workers.join("first-fingerprints.lock");
    let _lock = FileLock::wait(&lock).map_err(RecipeError::io("write", &lock))?;
    let mut origin = folder.read_origin()?;
    let unknown = || FirstFingerprints { held_from: run.trials, ..FirstFingerprints::default() };
    let mut known = origin.first_fingerprints.clone().unwrap_or_else(unknown);
    if !known.runs.iter().any(|other| other.run == own.run) {
        known.runs.extend(of_older_build(folder, open, run.name, known.held_from));
    }
    let are_closed = targets_are_closed(open);
    match first_difference(&known.runs, &own, are_closed) {
        Some((place, prints)) => {
            if run.has_figures || is_held(folder, open, &study()?, &known, Some(run.trial)) {
                return Err(changed(folder, run, place, prints, now.files.get(place)));
            }
            known = FirstFingerprints { runs: vec![own], ..FirstFingerprints::default() };
        }
        None if known.runs.iter().any(|other| other.run == own.run && has_columns_of(other, &own, are_closed)) => {}
        None => known.runs.push(own),
    }
    if !run.has_figures {
        known.begun.insert(run.trial, run.worker.to_owned());
    }
    if origin.first_fingerprints.as_ref() != Some(&known) {
        origin.first_fingerprints = Some(known);
        folder.write_origin(&origin)?;
    }
    Ok(now)
}

/// Whether two runs have the values of the same columns in the fingerprints of their rows.
fn has_columns_of(other: &RunFingerprints, own: &RunFingerprints, targets_are_closed: bool) -> bool {
    match &other.targets {
        Some(targets) => Some(targets) == own.targets.as_ref(),
        None => targets_are_closed,
    }
}

/// The place of the recipe that holds the base model.
const BASE_MODEL: &str = "model.path";

/// Whether runs by these names have in common what lies at a place of the recipe: all but the rows of a fold.
fn is_common(place: &str, one: Option<&str>, other: Option<&str>) -> bool {
    !place.starts_with("data.") || parts::are_of_one_fold(one, other)
}

/// The first place of a run that holds something else than it did in a noted run that has it in common, with both fingerprints, the noted
/// one first. Rows are compared where the same columns are part of their fingerprints.
fn first_difference<'a>(
    noted: &'a [RunFingerprints],
    own: &'a RunFingerprints,
    targets_are_closed: bool,
) -> Option<(&'a str, [&'a str; 2])> {
    noted.iter().find_map(|other| {
        let are_rows_alike = has_columns_of(other, own, targets_are_closed);
        let is_compared = |place: &str| {
            is_common(place, other.run.as_deref(), own.run.as_deref()) && (are_rows_alike || !is_of_rows(place))
        };
        let mut compared = own.made_of.iter().filter(|(place, _)| is_compared(place));
        compared.find_map(|(place, now)| {
            let then = other.made_of.get(place).filter(|then| *then != now)?;
            Some((place.as_str(), [then.as_str(), now.as_str()]))
        })
    })
}

/// Whether a place of the recipe holds rows.
fn is_of_rows(place: &str) -> bool {
    place.starts_with("data.") || place.starts_with("evaluation.")
}

/// Whether trials are held against what is noted of the first ones: some have figures, or a trial other than `but` goes on that will have
/// them. Otherwise nothing is lost when what lies there has changed.
pub(super) fn is_held(
    folder: &StudyFolder,
    open: &OpenRecipe,
    study: &Study,
    known: &FirstFingerprints,
    but: Option<u64>,
) -> bool {
    let goes_on = |trial: &Trial| {
        let worker = known.begun.get(&trial.number);
        trial.state == TrialState::Running
            && Some(trial.number) != but
            && worker.is_some()
            && worker == trial.worker.as_ref()
    };
    has_figures(study)
        || study.trials().iter().any(goes_on)
        || study.trials().iter().any(|trial| has_finished_runs(folder, open, trial.number))
}

fn has_finished_runs(folder: &StudyFolder, open: &OpenRecipe, trial: u64) -> bool {
    let names = parts::names(open.search());
    names.iter().any(|name| finished(&run_of(&folder.trial(trial), name.as_deref())).is_some())
}

/// Whether a run that nothing came of has begun on something else than lies there now, so that it cannot be gone on with.
pub(super) fn is_begun_on_others(folder: &StudyFolder, open: &OpenRecipe, run: NextRun<'_>, now: &MadeOf) -> bool {
    let then = noted(&folder.trial(run.trial), run.name);
    then.is_some_and(|then| then.fingerprints() != now.fingerprints()) && !has_finished_runs(folder, open, run.trial)
}

/// That a place holds something else than it did, with the files that are others where a trial has noted them. `prints` are of then and of
/// now.
fn changed(
    folder: &StudyFolder,
    run: NextRun<'_>,
    place: &str,
    prints: [&str; 2],
    files: Option<&NotedFiles>,
) -> RecipeError {
    let [then, now] = prints;
    let of_then = || {
        let runs = (0..run.trials).flat_map(|trial| run.names.iter().map(move |name| (trial, name.as_deref())));
        let all = runs.filter_map(|(trial, name)| noted(&folder.trial(trial), name));
        let mut of_place = all.filter(|made_of| prints_of(made_of).get(place).is_some_and(|print| print == then));
        of_place.find_map(|mut made_of| made_of.files.remove(place))
    };
    let words = files.and_then(|now| Some(NotedFiles::changed(&of_then()?, now)));
    let (then, now) = words.unwrap_or_else(|| (then.to_owned(), now.to_owned()));
    RecipeError::StudyChanged { folder: folder.path().to_owned(), trial: run.trial, what: place.to_owned(), then, now }
}

/// Why a run cannot be opened: the error at hand, or that what lies there is not what a first run was made of, where it is not. Rows that
/// are others, or not there any more, are no fault of the values that are tried, once something came of any.
pub(super) fn or_changed(
    folder: &StudyFolder,
    open: &OpenRecipe,
    run: NextRun<'_>,
    recipe: &Recipe,
    study: impl FnOnce() -> Result<Study, RecipeError>,
    error: RecipeError,
) -> RecipeError {
    let known = folder.first_fingerprints().ok().flatten().unwrap_or_default();
    if !run.has_figures && study().is_ok_and(|study| !is_held(folder, open, &study, &known, Some(run.trial))) {
        return error;
    }
    let of_name = known.runs.iter().find(|first| first.run.as_deref() == run.name);
    // the first trial has none by this name yet
    let Some(first) = of_name.or_else(|| known.runs.first()) else { return error };
    let Some(targets) = &first.targets else { return error };
    let mut made_of = first.made_of.clone();
    made_of.retain(|place, _| is_common(place, first.run.as_deref(), run.name));
    differing(folder, run, recipe, targets, made_of).unwrap_or(error)
}

/// That rows or the model of a run are others now than when these were opened: what it gave, or why it failed, is then of neither. As long
/// as the files are the same by size and time, nothing is read.
pub(super) fn changed_meanwhile(
    folder: &StudyFolder,
    run: NextRun<'_>,
    opened: &Opened,
    made_of: &MadeOf,
) -> Option<RecipeError> {
    if !opened.has_changed() {
        return None;
    }
    let targets = opened.train.encoders.columns_of(TensorRole::Target);
    differing(folder, run, &opened.recipe, &targets, prints_of(made_of))
}

/// The first place of a recipe that holds something else than these fingerprints say, the values of the columns `targets` among them.
fn differing(
    folder: &StudyFolder,
    run: NextRun<'_>,
    recipe: &Recipe,
    targets: &[String],
    made_of: BTreeMap<String, String>,
) -> Option<RecipeError> {
    let rows = |patterns: &[String], role| -> Result<(Fingerprint, Option<NotedFiles>), RecipeError> {
        let (dataset, _) = NamedRows::of(&recipe.data, patterns, &recipe.output.folder).open(role)?;
        Ok((dataset.fingerprint_with(targets)?, Some(NotedFiles::of(&dataset))))
    };
    for (what, then) in made_of {
        let set = what.strip_prefix("evaluation.sets.").and_then(|name| recipe.evaluation.sets.get(name));
        let evaluated = if what == "data.evaluate" { recipe.data.evaluate.as_ref() } else { set };
        let now = match (what.as_str(), evaluated, &recipe.model) {
            (_, Some(evaluated), _) => rows(evaluated, SplitRole::Evaluate),
            ("data.train", ..) => rows(&recipe.data.train, SplitRole::Train),
            (BASE_MODEL, _, Some(model)) => match Model::read(&model.path) {
                Ok(model) => Ok((model.fingerprint().clone(), None)),
                Err(error) => Err(error.into()),
            },
            _ => continue,
        };
        let (now, files) = match now {
            Ok((print, files)) => (print.to_string(), files),
            Err(error) => (shown_sentences(with_causes(&error)), None),
        };
        if now != then {
            return Some(changed(folder, run, &what, [&then, &now], files.as_ref()));
        }
    }
    None
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
    run_of(trial, run).made_of().ok().flatten()
}

fn run_of(trial: &Path, run: Option<&str>) -> RunFolder {
    RunFolder(run.map_or_else(|| trial.to_owned(), |run| trial.join(run)))
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
                if is_of_rows(&place) && !targets_are_closed(open) {
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
    let is_open = |place: &str| if place.starts_with("data.") { rows_are_open } else { open.leaves_open(place) };
    let sets_are_open = is_open("evaluation.sets");
    let mut found = prints_of(made_of);
    found.retain(|place, _| match place.starts_with("evaluation.sets.") {
        true => !sets_are_open,
        false => !is_open(place),
    });
    found
}

/// Fingerprints by place; sets have places of their own.
fn prints_of(made_of: &MadeOf) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let fingerprints = made_of.fingerprints();
    for (place, value) in fingerprints.as_object().into_iter().flatten() {
        match value {
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
    use millstream_search::{Asked, Outcome};
    use serde_json::json;

    use super::super::work;
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
    fn what_was_noted_of_trials_that_failed_does_not_hold_while_others_that_go_on_and_figures_do() {
        let place = tempfile::tempdir().unwrap();
        let (folder, open) = (StudyFolder::new(place.path()), study(&[]));
        let catalogs = work::catalogs(&Catalogs::default());
        let mut of = Study::new(work::settings(&open, &folder).unwrap(), &catalogs).unwrap();
        let mut known = FirstFingerprints::default();
        let Asked::Trial(first) = of.ask().unwrap() else { panic!("there is a trial") };
        let worker = of.trials()[0].worker.clone().unwrap();
        let holds = |of: &Study, known: &FirstFingerprints, but| is_held(&folder, &open, of, known, but);
        assert!(!holds(&of, &known, None), "it has not begun on what was noted");
        known.begun.insert(first.number, worker);
        assert!(holds(&of, &known, None) && !holds(&of, &known, Some(first.number)));
        of.tell(first.number, Outcome::Failed { reason: "no image".into() }).unwrap();
        assert!(!holds(&of, &known, None));
        let Asked::Trial(second) = of.ask().unwrap() else { panic!("there is another trial") };
        of.tell(second.number, Outcome::complete(1.0)).unwrap();
        assert!(holds(&of, &known, None));
    }

    #[test]
    fn a_model_that_was_replaced_is_noticed_by_a_trial_whose_loss_reads_other_columns() {
        let run = |name: &str, targets: &[&str], model: &str, rows: &str| RunFingerprints {
            run: Some(name.to_owned()),
            targets: Some(targets.iter().map(|target| (*target).to_owned()).collect()),
            made_of: [("data.train", rows), ("model.path", model)]
                .map(|(place, of)| (place.to_owned(), of.to_owned()))
                .into(),
        };
        let noted = [run("fold-1", &["label"], "m", "t"), run("fold-2", &["label"], "m", "u")];
        let differs = |own: &RunFingerprints| first_difference(&noted, own, false).map(|(place, _)| place.to_owned());
        assert_eq!(differs(&run("fold-1", &["label"], "m", "t")), None);
        assert_eq!(differs(&run("fold-1", &["label"], "m", "u")).as_deref(), Some("data.train"));
        assert_eq!(differs(&run("fold-1", &["label"], "n", "t")).as_deref(), Some("model.path"));
        // the values of other columns make another fingerprint of the same rows
        assert_eq!(differs(&run("fold-1", &["heat"], "m", "v")), None);
        assert_eq!(differs(&run("fold-1", &["heat"], "n", "v")).as_deref(), Some("model.path"));
        assert_eq!(differs(&run("fold-3", &["label"], "m", "v")), None, "no run by this name is noted");
    }

    #[test]
    fn a_model_that_is_replaced_within_the_first_trial_is_noticed_by_its_next_fold() {
        let run = |name: &str, model: &str, rows: &str| RunFingerprints {
            run: Some(name.to_owned()),
            targets: Some(vec!["label".to_owned()]),
            made_of: [("data.train", rows), ("model.path", model)]
                .map(|(place, of)| (place.to_owned(), of.to_owned()))
                .into(),
        };
        let noted = [run("fold-1", "m", "t")];
        let own = run("fold-2", "n", "u");
        assert_eq!(first_difference(&noted, &own, true), Some(("model.path", ["m", "n"])));
        assert_eq!(first_difference(&noted, &run("fold-2", "m", "u"), true), None);
    }

    #[test]
    fn rows_that_are_replaced_within_the_first_trial_are_noticed_by_its_next_run_that_has_them_too() {
        let run = |name: &str, targets: &[&str], train: &str, night: &str| RunFingerprints {
            run: Some(name.to_owned()),
            targets: Some(targets.iter().map(|target| (*target).to_owned()).collect()),
            made_of: [("data.train", train), ("evaluation.sets.night", night), ("model.methods", "a")]
                .map(|(place, of)| (place.to_owned(), of.to_owned()))
                .into(),
        };
        let noted = [run("fold-1-seed-1", &["label"], "t", "n")];
        for (name, targets, train, night, wanted) in [
            ("fold-1-seed-2", "label", "t", "n", None),
            ("fold-1-seed-2", "label", "u", "n", Some("data.train")),
            ("fold-1-seed-2", "label", "t", "o", Some("evaluation.sets.night")),
            // each fold has rows of its own, and all have the sets
            ("fold-2-seed-1", "label", "u", "n", None),
            ("fold-2-seed-1", "label", "u", "o", Some("evaluation.sets.night")),
            ("fold-2-seed-1", "heat", "u", "o", None),
        ] {
            let own = run(name, &[targets], train, night);
            let found = first_difference(&noted, &own, true).map(|(place, _)| place);
            assert_eq!(found, wanted, "{name} {targets} {train} {night}");
        }
        let own = RunFingerprints {
            made_of: [("model.methods".to_owned(), "b".to_owned())].into(),
            ..run("fold-2-seed-1", &["label"], "t", "n")
        };
        assert_eq!(first_difference(&noted, &own, true), Some(("model.methods", ["a", "b"])));
    }

    #[test]
    fn what_is_the_same_in_all_trials_is_closed_and_sets_have_places_of_their_own() {
        let made_of: MadeOf = serde_json::from_value(of("m", "e")).unwrap();
        let places = |changes: &[&str]| closed(&study(changes), &made_of).into_keys().collect::<Vec<_>>();
        assert_eq!(places(&[]), ["data.evaluate", "data.train", "evaluation.sets.night", "model.path"]);
        assert_eq!(places(&["data.evaluate={choose: [a, b]}"]), ["evaluation.sets.night", "model.path"]);
    }
}
