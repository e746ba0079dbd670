use std::path::PathBuf;

use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Batch, RowId, TARGETS, count, shown, shown_path};

use crate::checkpoint::CheckpointFault;
use crate::onnx_runtime_error::OnnxRuntimeError;

/// An error of whoever supplies batches or watches a run.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a model could not be trained, evaluated, saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// ONNX Runtime refused something.
    #[error("ONNX Runtime: {doing}: {reason}")]
    Session {
        /// What was being done.
        doing: String,
        /// Its own words.
        reason: OnnxRuntimeError,
    },
    /// An output of the model has an axis whose length nothing tells.
    #[error("the model's output `{}` has an axis of length `{}`, which is not one of an input", shown(.output), shown(.axis))]
    OutputAxis {
        /// The output.
        output: String,
        /// Name of the axis' length.
        axis: String,
    },
    /// None of the model's outputs, or several, can be the scores.
    #[error("which output has the scores? wanted one output of float32 [batch, classes]; the model has {}", .outputs.join(", "))]
    WhichOutput {
        /// Its outputs with their types, fit for a message.
        outputs: Vec<String>,
    },
    /// A batch does not fit the graph.
    #[error("input `{}`: the graph wants {wanted}, the batch has {got}", shown(.name))]
    Input {
        /// The graph's input.
        name: String,
        /// Element type and shape that are wanted.
        wanted: String,
        /// What there is.
        got: String,
    },
    /// Parameters or state do not fit the graph.
    #[error("parameter `{}`: wanted {wanted}, got {got}", shown(.name))]
    Parameter {
        /// The parameter.
        name: String,
        /// What the graph says.
        wanted: String,
        /// What was given.
        got: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{name} is {value}: wanted {wanted}")]
    Setting {
        /// The setting, as a dotted path in the recipe.
        name: &'static str,
        /// Its value.
        value: String,
        /// The values that make sense.
        wanted: &'static str,
    },
    /// An option of the optimizer does not fit what is trained.
    #[error("training.optimizer.{optimizer}.{reason}")]
    Optimizer {
        /// Its name.
        optimizer: String,
        /// What does not fit, beginning with the option's name.
        reason: String,
    },
    /// A metric makes no sense for the classes of the data.
    #[error("the metric `{metric}` cannot be measured: {reason}")]
    Metric {
        /// Its name.
        metric: String,
        /// Why not.
        reason: String,
    },
    /// The model gives another number of scores than there are classes.
    #[error("the model gives {scores} scores a row, but {classes} classes are named")]
    Classes {
        /// Scores in a row of the model's output.
        scores: usize,
        /// Names of classes.
        classes: usize,
    },
    /// The loss became infinite or not a number.
    #[error(
        "the loss is {loss} at step {step}, {rows}; nothing was updated by this step{}. \
         A smaller learning rate, `gradient_clip_norm`, or a look at these rows may help",
        last_good(.checkpoint)
    )]
    NonFiniteLoss {
        /// Number of the step, from 1.
        step: u64,
        /// The loss.
        loss: f32,
        /// Which rows the batch held.
        rows: Rows,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// The loss was a number, but a gradient was infinite or not a number. Noticed at the step itself where the update runs
    /// on the host; a device notices at the next check of the parameters.
    #[error(
        "the loss is a number at step {step}, but the norm of its gradients is {norm}, {rows}; nothing was updated by \
         this step{}. A smaller learning rate, or a look at these rows may help",
        last_good(.checkpoint)
    )]
    NonFiniteGradient {
        /// Number of the step, from 1.
        step: u64,
        /// Joint norm of the gradients.
        norm: f64,
        /// Which rows the batch held.
        rows: Rows,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// A parameter became infinite or not a number, and was kept out of the checkpoint. Parameters are looked at at the
    /// end of each epoch and before each checkpoint.
    #[error(
        "parameter `{}` holds {value} after step {step}, so no checkpoint was written{}. \
         A smaller learning rate or `gradient_clip_norm` may help",
        shown(.name), last_good(.checkpoint)
    )]
    NonFiniteParameter {
        /// The parameter.
        name: String,
        /// The value.
        value: f32,
        /// Steps done.
        step: u64,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// So many updates one after the other had a loss or gradients that are no numbers that no more are left out.
    #[error(
        "{in_a_row} updates one after the other were no numbers, and `training.non_finite` leaves out {most} at most"
    )]
    TooManySkipped {
        /// How many there were.
        in_a_row: u64,
        /// How many may be.
        most: u64,
        /// The last of them.
        source: Box<TrainingError>,
    },
    /// The run is at its end, and at none of its evaluations the loss was a number.
    #[error(
        "after each of the {epochs} {unit} the loss on the evaluation rows is no number, so there is no model worth \
         exporting{}. A look at the evaluation rows and their transforms, a smaller learning rate or \
         `gradient_clip_norm` may help",
        last_weights(.checkpoint)
    )]
    NonFiniteEvaluations {
        /// Evaluations, at the ends of epochs or within them.
        epochs: u64,
        /// What they are counted in: `epochs` or `evaluations`.
        unit: &'static str,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// The supplier of batches failed.
    #[error("the stream of batches failed{}", goes_on(.checkpoint))]
    Batches {
        /// What it said.
        source: BoxError,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// An evaluation would hold more of its rows than it may.
    #[error(
        "the figures of an evaluation hold more of its rows than the {} that they may (the scores of `roc_auc` and \
         `average_precision`, the numbers of `spearman`, the rows of a bootstrap, all of them again for each column of slices); \
         allow more (`data.memory`), measure less, or fewer rows", ByteSize(*.most_bytes)
    )]
    EvaluationMemory {
        /// What they may hold.
        most_bytes: u64,
    },
    /// The mean over several views of the rows cannot be taken.
    #[error("{message}")]
    Views {
        /// Why not, and what to do.
        message: String,
    },
    /// Nothing can be fitted to what a model gives for the evaluation rows.
    #[error("{message}")]
    Calibration {
        /// Why not, and what to do.
        message: String,
    },
    /// Models cannot be made one, or nothing can be fitted to what they give.
    #[error("{message}")]
    Ensemble {
        /// Why not, and what to do.
        message: String,
    },
    /// What a model gives cannot be kept.
    #[error("the predictions cannot be kept")]
    Predictions {
        /// Why not.
        source: BoxError,
    },
    /// A mean of weights cannot be run.
    #[error("the mean of the members' weights cannot be measured")]
    Soup {
        /// Why not.
        source: BoxError,
    },
    /// The supplier of batches came to an end before the last epoch did.
    #[error("the stream of batches ended in epoch {epoch} of {epochs}, after step {steps}{}", goes_on(.checkpoint))]
    BatchesEnded {
        /// The epoch that is not whole, from 1.
        epoch: u64,
        /// Epochs of the whole run.
        epochs: u64,
        /// Steps done.
        steps: u64,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// An evaluation saw no row with a label.
    #[error("none of the evaluation rows has a label")]
    NothingLabelled,
    /// No row of those that statistics are computed from has weight.
    #[error("none of the rows that the statistics of BatchNormalization are to be computed from has a target")]
    NoStatistics,
    /// A checkpoint is incomplete, damaged or of another kind.
    #[error("checkpoint {}: {fault}", shown_path(.path))]
    Checkpoint {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What is wrong.
        fault: CheckpointFault,
    },
    /// A checkpoint could not be written; earlier ones are as they were.
    #[error("the checkpoint of step {step} could not be saved{}", goes_on_or_begins(.checkpoint))]
    NotSaved {
        /// Steps done.
        step: u64,
        /// What went wrong.
        source: Box<TrainingError>,
        /// The newest checkpoint of this run.
        checkpoint: Option<PathBuf>,
    },
    /// A run was to start anew in a folder that holds checkpoints of another.
    #[error("{} holds checkpoints of an earlier run; resume that run, or choose another output folder", shown_path(.folder))]
    CheckpointsInTheWay {
        /// The folder.
        folder: PathBuf,
    },
    /// A checkpoint belongs to a run with other settings.
    #[error("checkpoint {} cannot be resumed: {what} differs: it has {saved}, this run has {now}", shown_path(.path))]
    ResumeMismatch {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What differs.
        what: String,
        /// As saved.
        saved: String,
        /// As now.
        now: String,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {}", shown_path(.path))]
    Io {
        /// `read`, `write`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread that owns the session ended before it answered.
    #[error("the thread that runs the graph died while it was asked to {doing}; its panic message stands above")]
    SessionThread {
        /// What it was doing.
        doing: &'static str,
    },
    /// A graph could not be written.
    #[error("cannot compile the {graph} graph")]
    Compile {
        /// Which graph.
        graph: &'static str,
        /// What the compiler said.
        source: millstream_compiler::CompilerError,
    },
    /// The report could not be rendered.
    #[error("cannot render the report: {0:#}")]
    Report(minijinja::Error),
}

impl TrainingError {
    /// A batch without the tensor that predictions are held against.
    pub(crate) fn no_targets(batch: &Batch) -> Self {
        Self::Input {
            name: TARGETS.into(),
            wanted: "what the model's output is held against".into(),
            got: format!("no tensor of this name, only {:?}", batch.tensors.keys().collect::<Vec<_>>()),
        }
    }

    /// The newest checkpoint that it names, where it names one.
    pub(crate) fn checkpoint_mut(&mut self) -> Option<&mut Option<PathBuf>> {
        match self {
            Self::NonFiniteLoss { checkpoint, .. }
            | Self::NonFiniteGradient { checkpoint, .. }
            | Self::NonFiniteParameter { checkpoint, .. }
            | Self::NonFiniteEvaluations { checkpoint, .. }
            | Self::Batches { checkpoint, .. }
            | Self::BatchesEnded { checkpoint, .. } => Some(checkpoint),
            Self::TooManySkipped { source, .. } => source.checkpoint_mut(),
            _ => None,
        }
    }

    /// That there is nothing to compute statistics anew with.
    pub(crate) fn no_batch_statistics() -> Self {
        Self::Setting {
            name: "model.batch_normalization",
            value: "training".into(),
            wanted: "`reestimated` where statistics are to be computed anew",
        }
    }

    pub(crate) fn session(doing: impl Into<String>) -> impl FnOnce(ort::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Session { doing, reason: OnnxRuntimeError(error) }
    }

    pub(crate) fn batches(source: BoxError) -> Self {
        Self::Batches { source, checkpoint: None }
    }

    /// Something has more or fewer parts than the graph has parameters.
    pub(crate) fn wrong_count(name: &str, wanted: usize, got: usize) -> Self {
        let [wanted, got] = [wanted, got].map(|count| format!("{count} parameters"));
        Self::Parameter { name: name.to_owned(), wanted, got }
    }

    /// Refuses a value outside a range; `name` is the setting as a recipe has it.
    pub(crate) fn check(name: &'static str, value: f32, good: bool, wanted: &'static str) -> Result<(), TrainingError> {
        if value.is_finite() && good { Ok(()) } else { Err(Self::Setting { name, value: value.to_string(), wanted }) }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// Rows of a batch, shown by the first few.
#[derive(Clone, Debug)]
pub struct Rows(pub Vec<RowId>);

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 4;
        write!(f, "{}", count(self.0.len(), "row"))?;
        for (index, row) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{row}", if index == 0 { " (" } else { "; " })?;
        }
        match self.0.len() {
            0 => Ok(()),
            n if n > SHOWN => write!(f, "; and {} more)", n - SHOWN),
            _ => write!(f, ")"),
        }
    }
}

fn last_good(checkpoint: &Option<PathBuf>) -> String {
    let said = |path: &PathBuf| format!("; the last good checkpoint is {}", shown_path(path));
    checkpoint.as_ref().map_or_else(String::new, said)
}

fn last_weights(checkpoint: &Option<PathBuf>) -> String {
    let said = |path: &PathBuf| format!("; the last weights are in {}", shown_path(path));
    checkpoint.as_ref().map_or_else(String::new, said)
}

fn goes_on(checkpoint: &Option<PathBuf>) -> String {
    let said = |path: &PathBuf| format!("; with `--resume` the run can go on from {}", shown_path(path));
    checkpoint.as_ref().map_or_else(String::new, said)
}

fn goes_on_or_begins(checkpoint: &Option<PathBuf>) -> String {
    let anew = || "; there is no earlier one, so with `--resume` the run begins with its first step".to_owned();
    checkpoint.as_ref().map_or_else(anew, |_| goes_on(checkpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_model_are_escaped_and_cut() {
        let name = format!("conv\u{1b}[31m\n{}", "x".repeat(5000));
        let message = TrainingError::Parameter { name, wanted: "1 value".into(), got: "2 values".into() }.to_string();
        assert!(message.starts_with("parameter `conv\\u{1b}[31m\\nxxx") && message.len() < 200, "{message}");
    }
}
