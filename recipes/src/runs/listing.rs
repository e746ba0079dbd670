//! Which runs, ensembles and searches lie in a folder, and in which order they are told.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::shown_path;

use super::entries::{self, FINISHED};
use super::found::Found;
use crate::RecipeError;
use crate::ensemble::MembersFolder;
use crate::error::with_causes;
use crate::run_folder::RunFolder;
use crate::search::StudyFolder;
use crate::study_part::{StudyPart, StudyRole};

/// Folders within each other that are looked into.
const DEEPEST: usize = 6;
/// A folder with more is no folder of runs.
const MOST: usize = 10_000;

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
            entries::ensemble(folder, &place)
        } else if MembersFolder::is_one(&place) {
            entries::members(folder, &place)
        } else if StudyFolder::new(&place).holds_study() {
            entries::study(folder, &place)
        } else {
            entries::run(folder, &place)
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

/// What is told in several lines, in one.
fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use millstream_training::metrics::FigureKind;

    use super::super::found::{FoundStudy, FoundTrial};
    use super::super::report::{EntryFigure, EntryKind, RunEntry};
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
