use std::path::PathBuf;

use millstream_training::record::Timing;
use millstream_training::{EpochEvaluation, Evaluation, FigureKind};
use serde::Serialize;

use crate::Calibrated;

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Folder of the results.
    pub folder: PathBuf,
    /// Whether it was interrupted; then `checkpoint` is where it goes on.
    pub interrupted: bool,
    /// The newest checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// The tuned model.
    pub model: Option<PathBuf>,
    /// Steps done.
    pub steps: u64,
    /// The epoch whose weights were exported, from 1; `None` for those of the last step.
    pub epoch: Option<u64>,
    /// How good the exported model is.
    pub evaluation: Option<Evaluation>,
    /// What was fitted to the exported model on the evaluation rows.
    #[serde(skip_serializing_if = "Calibrated::is_nothing")]
    pub calibrated: Calibrated,
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
