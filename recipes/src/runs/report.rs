use std::path::PathBuf;

use millstream_training::metrics::FigureKind;
use serde::Serialize;

/// The runs of a folder, and how they came from each other.
#[derive(Clone, Debug, Serialize)]
pub struct RunsReport {
    /// Version of this format; 1.
    pub version: u32,
    /// The folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Runs, ensembles and searches, the newest first; what lies in a search stands behind it, trials by their numbers.
    pub runs: Vec<RunEntry>,
    /// Models that no run of the folder has exported, and that runs began with.
    pub models: Vec<BaseModel>,
    /// What came from what.
    pub lineage: Vec<Descent>,
    /// Folders that could not be read, and why.
    pub notes: Vec<String>,
}

/// A run, an ensemble or a search.
#[derive(Clone, Debug, Serialize)]
pub struct RunEntry {
    /// Its folder, from the one that was looked into.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// `finished`, `interrupted`, `failed`, or `under way`.
    pub ending: String,
    /// When it began, in UTC; none of a run of an older build.
    pub began: Option<String>,
    /// When its figures were written, in UTC.
    pub ended: Option<String>,
    /// What decides, with its value and its interval.
    pub decides: Option<EntryFigure>,
    /// The loss of what was exported.
    pub loss: Option<f64>,
    /// Rows it was measured on.
    pub rows: Option<u64>,
    /// Updates made.
    pub steps: Option<u64>,
    /// Seconds, evaluations included.
    pub seconds: Option<f64>,
    /// Where it ran.
    pub device: Option<String>,
    /// Numbers that were trained.
    pub trained: Option<u64>,
    /// How it was made, in short: optimizer and methods, the way of an ensemble, or how a search proposes.
    pub how: String,
    /// File name of the base model.
    pub base: Option<String>,
    /// SHA-256 of what it exported.
    pub model: Option<String>,
    /// The newest of what people noted.
    pub note: Option<String>,
    /// How much they noted.
    pub noted: usize,
    /// Pages of it, as `(what, path from the folder)`.
    pub links: Vec<(String, String)>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A training.
    Run,
    /// Several models as one.
    Ensemble,
    /// A search, whose trials are runs.
    Study,
}

/// The figure that decides.
#[derive(Clone, Debug, Serialize)]
pub struct EntryFigure {
    /// What is known of it.
    pub kind: FigureKind,
    /// Its value.
    pub value: Option<f64>,
    /// From so much to so much.
    pub interval: Option<[f64; 2]>,
    /// The set of rows that it is of, where that is another than `data.evaluate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Whether it is the last one that a trial has reported which did not get to its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_last: bool,
}

impl EntryFigure {
    /// `accuracy 88.6 %`, `accuracy 88.6 % on night`, or `last accuracy 88.6 %`.
    pub fn in_words(&self) -> String {
        let on = self.on.as_ref().map_or_else(String::new, |set| format!(" on {set}"));
        let last = if self.is_last { "last " } else { "" };
        format!("{last}{} {}{on}", self.kind.label(), self.kind.shown(self.value))
    }
}

/// A model from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseModel {
    /// File name, as the first run that begins with it says.
    pub name: String,
    /// SHA-256.
    pub sha256: String,
}

/// That one thing came from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Descent {
    /// What it came from.
    pub from: Origin,
    /// The number of the run that came of it.
    pub to: usize,
    /// As what it went in.
    pub through: Through,
}

/// What something came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The number of a run.
    Run(usize),
    /// The number of a model from elsewhere.
    Model(usize),
}

/// As what it went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// As the base model.
    Base,
    /// As an adapter that training went on with.
    Adapter,
    /// As a member of an ensemble.
    Member,
    /// As the winner of a search.
    Study,
}
