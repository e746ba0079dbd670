use std::path::PathBuf;

use millstream_training::record::Timing;
use millstream_training::{EpochEvaluation, Evaluation, FigureKind, SetEvaluation};
use serde::Serialize;

use crate::Calibrated;

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Folder of the results.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Whether it was interrupted; then `checkpoint` is where it goes on.
    pub interrupted: bool,
    /// The newest checkpoint.
    #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
    pub checkpoint: Option<PathBuf>,
    /// The tuned model.
    #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
    pub model: Option<PathBuf>,
    /// The weights of the last step, where `output.last_model` asks for them.
    #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
    pub last_model: Option<PathBuf>,
    /// Steps done.
    pub steps: u64,
    /// The epoch whose weights were exported, from 1; `None` for those of the last step and for a mean of several states.
    pub epoch: Option<u64>,
    /// Where the best evaluation was: `epoch 3`, or `step 400` within one.
    pub best: Option<String>,
    /// The steps after which the states were whose mean was exported.
    pub averaged: Option<Vec<u64>>,
    /// Updates that were left out because they were no numbers.
    pub skipped_updates: u64,
    /// How good the exported model is, on the set that decides.
    pub evaluation: Option<Evaluation>,
    /// The name of that set: `evaluate`, or that of another; none where nothing is evaluated.
    pub evaluated_on: Option<String>,
    /// What was fitted to the exported model on the evaluation rows.
    #[serde(skip_serializing_if = "Calibrated::is_nothing")]
    pub calibrated: Calibrated,
    /// And on the other evaluation sets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_evaluations: Vec<SetEvaluation>,
    /// What is known of the figures of an evaluation beside the loss, in order.
    pub figures: Vec<FigureKind>,
    /// How good the weights before the first step were.
    pub start: Option<EpochEvaluation>,
    /// Whether the exported model is better than these; `None` where one of them was not measured.
    pub better_than_start: Option<bool>,
    /// What is worth knowing beside the figures: a divergence, a model no better than before, rows that were left out.
    pub notes: Vec<String>,
    /// Class names in the order of the scores.
    pub classes: Vec<String>,
    /// Numbers that were trained.
    pub trained: usize,
    /// Numbers that stayed as they were.
    pub frozen: usize,
    /// Different damaged rows that this process left out.
    pub skipped: u64,
    /// Where the seconds of the steps went.
    pub timing: Timing,
    /// Seconds until everything was opened and compiled, before the first batch was waited for.
    pub opening: f64,
    /// Most bytes that the process held at a time, where the system tells (Linux).
    pub peak_memory: Option<u64>,
}
