//! A run, an ensemble or a search that was found in a folder.

use std::path::{Path, PathBuf};

use millstream_schemas::Fingerprint;

use super::report::{EntryFigure, RunEntry};
use crate::study_part::StudyPart;

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

impl Found {
    /// The folder of the search that it is, or lies in.
    pub(super) fn search(&self) -> Option<&Path> {
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
    pub(super) trials: Vec<FoundTrial>,
}

/// A trial, as the runs in it are told by.
pub(super) struct FoundTrial {
    pub(super) number: u64,
    /// What became of it where that is known.
    pub(super) ending: Option<String>,
    /// The names and values that it has of its own.
    pub(super) values: Vec<(String, String)>,
    /// What it reported last, where it has no figure of its end and is one run.
    pub(super) last: Option<EntryFigure>,
}
