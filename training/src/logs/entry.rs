use millstream_schemas::count;
use serde::Serialize;
use serde_json::{Map, Value};

use super::run_place::Moment;
use crate::metrics::{FigureKind, Figures};

/// What a log is told, in the order in which it happens. As JSON each carries its name in `event`; names that
/// `millstream train --json` has too are the same and mean the same.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry<'a> {
    /// The run begins with its first step.
    Started(StartEntry<'a>),
    /// The run goes on from a checkpoint, perhaps with another length.
    Resumed {
        /// Steps done before.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// Epochs of the whole run.
        epochs: u64,
        /// Steps of one epoch; fewer where some could not be made.
        steps_per_epoch: u64,
    },
    /// A step was made.
    Step(StepEntry),
    /// The weights as they were given are evaluated.
    StartEvaluated {
        /// Mean loss.
        loss: f64,
        /// The other figures; in JSON beside the loss.
        #[serde(flatten)]
        figures: &'a Figures,
    },
    /// The evaluation after some steps is done.
    Evaluated(EvaluationEntry<'a>),
    /// An epoch is over.
    EpochEnded(EpochEntry),
    /// Something that deserves a look and stops nothing.
    Warning {
        /// Steps done.
        step: u64,
        /// In words.
        message: &'a str,
    },
    /// The run has ended, or was interrupted and can be resumed.
    Ended(Ending<'a>),
}

/// A run that begins.
#[derive(Clone, Debug, Serialize)]
pub struct StartEntry<'a> {
    /// Name of the run.
    pub run: &'a str,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Steps of one epoch; fewer where some could not be made.
    pub steps_per_epoch: u64,
    /// The figures of each evaluation beside the loss, in the order in which they are shown.
    pub figures: &'a [FigureKind],
    /// The figure that decides which epoch is the best.
    pub decides: &'a FigureKind,
    /// What was chosen, by its place in the recipe: numbers, truth values and texts.
    pub hyperparameters: &'a Map<String, Value>,
}

/// A step that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepEntry {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch, from 1.
    pub epoch: u64,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Mean loss of the batch before the update.
    pub loss: f32,
    /// Mean loss of the epoch so far, each row by its weight: at the epoch's end, its training loss.
    pub mean_loss: f64,
    /// Learning rate of this step, before multipliers.
    pub learning_rate: f32,
    /// Rows of the step.
    pub rows: usize,
    /// Rows a second over the last steps, waiting included.
    pub samples_per_second: f64,
    /// Joint norm of the gradients, those of penalties with them, before they are clipped; none where the update runs on a device.
    pub gradient_norm: Option<f64>,
    /// Seconds that it waited for its rows.
    pub seconds_waiting: f64,
    /// Seconds in the graph: loss and gradients.
    pub seconds_in_graph: f64,
    /// Seconds in the update of the parameters.
    pub seconds_in_update: f64,
}

/// An evaluation that is done.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationEntry<'a> {
    /// Steps done.
    pub step: u64,
    /// Epoch, from 1.
    pub epoch: u64,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Mean loss.
    pub loss: f64,
    /// The other figures; in JSON beside the loss.
    #[serde(flatten)]
    pub figures: &'a Figures,
    /// Whether it is the best so far, and better than before the first step.
    pub best: bool,
    /// Whether it is better than before the first step.
    pub better_than_start: bool,
}

/// An epoch that is over.
#[derive(Clone, Debug, Serialize)]
pub struct EpochEntry {
    /// Steps done.
    pub step: u64,
    /// Epoch, from 1.
    pub epoch: u64,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Mean loss over its rows, each by its weight.
    pub training_loss: f64,
    /// Rows trained on.
    pub rows: u64,
    /// Seconds, without evaluation and checkpoints.
    pub seconds: f64,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Ending<'a> {
    /// Steps done.
    pub step: u64,
    /// `finished`, `interrupted` or `failed`.
    pub ending: &'a str,
    /// How many epochs it was to have, where it ended before because it got no better.
    pub stopped_early: Option<u64>,
    /// The best epoch with its figures.
    pub best: Option<BestEntry<'a>>,
    /// What is worth knowing beside the figures.
    pub notes: &'a [String],
}

/// The best epoch of a run.
#[derive(Clone, Debug, Serialize)]
pub struct BestEntry<'a> {
    /// Number, from 1.
    pub epoch: u64,
    /// Its loss.
    pub loss: f64,
    /// Its other figures; in JSON beside the loss.
    #[serde(flatten)]
    pub figures: &'a Figures,
}

impl Ending<'_> {
    /// In words: how it ended, the best epoch, and what else is worth knowing, a line each.
    pub fn in_words(&self) -> String {
        let mut lines = vec![format!("{} after {}", self.ending, count(self.step, "step"))];
        lines.extend(self.best.as_ref().map(|best| format!("the best epoch is {}", best.epoch)));
        lines.extend(self.notes.iter().cloned());
        lines.iter().map(|line| format!("- {line}\n")).collect()
    }
}

impl Entry<'_> {
    /// When in the run it happens.
    pub fn moment(&self) -> Moment {
        match self {
            Self::Started(_) => Moment::Step(0),
            Self::Resumed { step, .. } | Self::Warning { step, .. } => Moment::Step(*step),
            Self::Step(entry) => Moment::Step(entry.step),
            Self::StartEvaluated { .. } => Moment::Evaluation(0),
            Self::Evaluated(entry) => Moment::Evaluation(entry.step),
            Self::EpochEnded(entry) => Moment::EpochEnd(entry.step),
            Self::Ended(_) => Moment::End,
        }
    }
}
