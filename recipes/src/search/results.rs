//! What has come of runs and of a study.

use millstream_search::{Study, TrialState};
use millstream_training::RunRecord;

use crate::report::read_record;
use crate::run_folder::RunFolder;

/// The record of a run that is at its end.
pub(crate) fn finished(folder: &RunFolder) -> Option<RunRecord> {
    let record = read_record(folder).ok()?;
    (record.ending == "finished" && folder.model().exists()).then_some(record)
}

/// Whether any trial has figures, so that something came of the study.
pub(super) fn has_figures(study: &Study) -> bool {
    let measured = [TrialState::Complete, TrialState::Stopped, TrialState::Paused];
    study.trials().iter().any(|trial| measured.contains(&trial.state) || !trial.reports.is_empty())
}
