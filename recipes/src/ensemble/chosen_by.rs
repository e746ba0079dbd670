//! Whether the rows that an ensemble is measured on had a part in how its members came to be.

use std::path::Path;

use millstream_schemas::recipe::EvaluationRecipe;
use millstream_schemas::shown;
use millstream_training::RunRecord;
use millstream_training::ensembles::MemberScores;

use super::files::HELD_OUT;
use super::members::Opened;
use super::members_folder::MembersFolder;
use crate::RecipeError;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::study_part::{StudyPart, StudyRole};

/// What is to be said of rows that members' states, or the settings of a search that they are of, were chosen by.
///
/// # Errors
/// What a member's run has noted is damaged.
pub(super) fn notes(members: &[Opened], scores: &MemberScores) -> Result<Vec<String>, RecipeError> {
    let (mut by_states, mut by_search) = (Vec::new(), Vec::new());
    for member in members {
        let Some(run) = member.path.parent() else { continue };
        let folder = RunFolder(run.to_owned());
        // another file there is of no state that was chosen
        if folder.model() != member.path {
            continue;
        }
        if chose_by_answered_rows(run)? {
            by_states.push(shown(&member.name));
            continue;
        }
        if !folder.metrics().exists() {
            continue;
        }
        let (record, made_of) = (read_record(&folder)?, folder.made_of()?);
        let decided = record.other_deciding_set().unwrap_or(EvaluationRecipe::MAIN);
        let decided_by = made_of.as_ref().and_then(|made_of| made_of.of_set(decided));
        if decided_by.is_none() || decided_by != scores.data() {
            continue;
        }
        if had_a_choice(&record) {
            by_states.push(shown(&member.name));
        }
        if StudyPart::of(run).is_some_and(|part| matches!(part.role, StudyRole::Trial(_))) {
            by_search.push(shown(&member.name));
        }
    }
    let told = |names: &[String], what: &str| {
        (!names.is_empty()).then(|| {
            format!(
                "{}: {what} by figures on these rows, so what is measured on them is better than on rows that nothing was chosen by; a test \
                 set tells how good the ensemble is",
                names.join(", ")
            )
        })
    };
    let of_states = told(&by_states, "which state is exported was chosen");
    Ok(of_states.into_iter().chain(told(&by_search, "trials of a search that was led")).collect())
}

/// Whether a run has exported one of several states that were evaluated.
fn had_a_choice(record: &RunRecord) -> bool {
    record.history.best.is_some() && record.history.evaluations.len() > 1
}

/// Whether a folder holds members that were each evaluated on the very rows that they answer for, and had a choice.
fn chose_by_answered_rows(folder: &Path) -> Result<bool, RecipeError> {
    if !MembersFolder::is_one(folder) {
        return Ok(false);
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in std::fs::read_dir(folder).map_err(RecipeError::io("read", folder))? {
        let run = RunFolder(entry.map_err(RecipeError::io("read", folder))?.path());
        if run.metrics().exists() && !run.0.join(HELD_OUT).exists() && had_a_choice(&read_record(&run)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
