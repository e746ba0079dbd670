use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::entry::Entry;
use super::run_place::RunPlace;
use crate::TrainingError;
use crate::metrics::FigureKind;

/// What a log knows of the run that it is opened for.
#[derive(Clone, Debug)]
pub struct LoggedRun {
    /// Folder of the run's logs; there.
    pub folder: PathBuf,
    /// Name of the run.
    pub name: String,
    /// What was chosen, by its place in the recipe: numbers, truth values and texts.
    pub hyperparameters: Map<String, Value>,
    /// The recipe as YAML.
    pub recipe: String,
    /// The figures of each evaluation beside the loss, in the order in which they are shown.
    pub figures: Vec<FigureKind>,
    /// The figure that decides which epoch is the best.
    pub decides: FigureKind,
    /// Where it goes on; `None` where it begins with its first step.
    pub goes_on: Option<RunPlace>,
}

/// A log as it is chosen in a recipe.
pub trait LogFormat: fmt::Debug + Send + Sync {
    /// Steps of which one is written; evaluations are all written.
    fn every_steps(&self) -> u64;

    /// Refuses a place outside of the run's folder where it could not be written, and leaves nothing there: before an earlier
    /// run is given up for this one.
    ///
    /// # Errors
    /// It cannot be written there.
    fn check(&self) -> Result<(), TrainingError> {
        Ok(())
    }

    /// Opens it for a run. Of a run that goes on, what was written down later than the place where it goes on is taken out
    /// first, so that nothing stands in it twice; of one that begins, all that an earlier try has left is.
    ///
    /// # Errors
    /// What is there cannot be read or written, or is of another kind.
    fn open(&self, run: &LoggedRun) -> Result<OpenedLog, TrainingError>;
}

/// A log that was opened.
pub struct OpenedLog {
    /// Takes what happens.
    pub writer: Box<dyn LogWriter>,
    /// The last step that is in it already; 0 where there is none.
    pub last_step: u64,
}

/// Writes down what happens.
pub trait LogWriter: Send {
    /// Where it writes, to be named in messages.
    fn path(&self) -> &Path;

    /// Writes an entry down; `time` is in seconds since 1970. Nothing may be held back: the run may be killed at any moment
    /// and goes on from a checkpoint that was saved right after this.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, time: f64, entry: &Entry<'_>) -> io::Result<()>;

    /// Takes the files that a run leaves at its end, where the format has a place for them.
    ///
    /// # Errors
    /// What the system says.
    fn keep_files(&mut self, files: &[PathBuf]) -> io::Result<()> {
        let _ = files;
        Ok(())
    }
}

impl fmt::Debug for OpenedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedLog").field("path", &self.writer.path()).finish_non_exhaustive()
    }
}

/// Refuses to write none of the steps.
pub(super) fn require_steps(every_steps: u64) -> Result<(), String> {
    if every_steps == 0 { Err("every_steps is 1 or more, got 0".into()) } else { Ok(()) }
}
