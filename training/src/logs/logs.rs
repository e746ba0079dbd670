use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_schemas::{files as disk, shown_path};

use super::entry::{BestEntry, Ending, Entry, EpochEntry, EvaluationEntry, StartEntry, StepEntry};
use super::log::Log;
use super::log_format::{LogWriter, LoggedRun};
use super::log_kind::LogKind;
use crate::TrainingError;
use crate::observers::{Event, Observer, StepEvent};
use crate::record::RunRecord;

/// The files and folders that logs of these kinds make in the folder of a run's logs, those that are there.
pub fn files<'a>(folder: &Path, kinds: impl IntoIterator<Item = &'a LogKind>) -> Vec<PathBuf> {
    let names = kinds.into_iter().flat_map(|kind| kind.files);
    names.map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}

/// The logs of a run, open. What happens is written down at once, so that a run that is killed has lost none of it.
///
/// A log that cannot be written is not written any more, and this is said once: training goes on. Steps that it then lacks are
/// said again when the run is resumed.
#[derive(Debug, Default)]
pub struct Logs {
    open: Vec<OpenLog>,
    run: Option<LoggedRun>,
    step: u64,
    epochs: u64,
    untold: Vec<String>,
    failures: Vec<String>,
}

struct OpenLog {
    every_steps: u64,
    writer: Box<dyn LogWriter>,
}

impl std::fmt::Debug for OpenLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenLog").field("path", &self.writer.path()).finish_non_exhaustive()
    }
}

impl Logs {
    /// Opens logs for a run; with none of them, its folder is not even made.
    ///
    /// # Errors
    /// What is there already cannot be gone on with, or a folder cannot be made.
    pub fn open(logs: &[Log], run: LoggedRun) -> Result<Self, TrainingError> {
        if logs.is_empty() {
            return Ok(Self::default());
        }
        disk::create_folder(&run.folder).map_err(TrainingError::io("make", &run.folder))?;
        let mut this = Self::default();
        for log in logs {
            let every_steps = log.format().every_steps().max(1);
            let opened = log.format().open(&run)?;
            let steps = run.goes_on.map_or(0, |place| place.steps);
            if opened.last_step < steps - steps % every_steps {
                this.untold.push(format!(
                    "{}: the log ends at step {}, and the run goes on behind step {steps}; what lies between is not in it",
                    shown_path(opened.writer.path()),
                    opened.last_step
                ));
            }
            this.open.push(OpenLog { every_steps, writer: opened.writer });
        }
        this.run = Some(run);
        Ok(this)
    }

    /// What should be known and was not told yet: that a log lacks something, or cannot be written any more.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.untold)
    }

    /// The logs that could not be written to the end, each with the reason.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Says how the run ended, and hands on the files that it leaves. One that was interrupted may go on, in the same logs.
    pub fn end(&mut self, record: &RunRecord, files: &[PathBuf]) {
        let history = &record.history;
        let best = history.best.as_ref();
        let best = best.map(|best| BestEntry { epoch: best.epoch + 1, loss: best.loss, figures: &best.figures });
        self.write(&Entry::Ended(Ending {
            step: history.steps,
            ending: &record.ending,
            stopped_early: history.stopped_early,
            best,
            notes: &record.notes,
        }));
        self.each(|log| log.writer.keep_files(files));
    }

    fn write(&mut self, entry: &Entry<'_>) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.each(|log| match entry {
            Entry::Step(step) if !step.step.is_multiple_of(log.every_steps) => Ok(()),
            _ => log.writer.write(time, entry),
        });
    }

    fn each(&mut self, mut write: impl FnMut(&mut OpenLog) -> std::io::Result<()>) {
        let (failures, untold) = (&mut self.failures, &mut self.untold);
        self.open.retain_mut(|log| {
            let Err(error) = write(log) else { return true };
            let path = shown_path(log.writer.path());
            failures.push(format!("{path}: {error}; the log was not written to its end"));
            untold.push(format!(
                "{path}: {error}; nothing more is written to this log. Training goes on; to have the whole log, make room or \
                 mend its folder, and stop and resume the run"
            ));
            false
        });
    }

    fn begin(&mut self, step: u64, total_steps: u64, epochs: u64) {
        (self.step, self.epochs) = (step, epochs);
        let Some(run) = self.run.take() else { return };
        match run.goes_on {
            Some(place) => self.write(&Entry::Resumed { step: place.steps }),
            None => {
                let (run, hyperparameters) = (&*run.name, &run.hyperparameters);
                self.write(&Entry::Started(StartEntry { run, total_steps, epochs, hyperparameters }));
            }
        }
    }
}

impl Observer for Logs {
    fn observe(&mut self, event: &Event<'_>) {
        if self.open.is_empty() {
            return;
        }
        let (step, epochs) = (self.step, self.epochs);
        match event {
            Event::Started { step, total_steps, epochs, .. } => self.begin(*step, *total_steps, *epochs),
            Event::Step(step) => {
                self.step = step.step;
                self.write(&Entry::Step(step.into()));
            }
            Event::StartEvaluated { evaluation } => {
                self.write(&Entry::StartEvaluated { loss: evaluation.loss, figures: &evaluation.figures });
            }
            Event::Evaluated { epoch, evaluation, best, better_than_start, .. } => {
                self.write(&Entry::Evaluated(EvaluationEntry {
                    step,
                    epoch: epoch + 1,
                    epochs,
                    loss: evaluation.loss,
                    figures: &evaluation.figures,
                    best: *best,
                    better_than_start: *better_than_start,
                }));
            }
            Event::EpochEnded(record) => self.write(&Entry::EpochEnded(EpochEntry {
                step,
                epoch: record.epoch + 1,
                epochs,
                training_loss: record.training_loss,
                rows: record.rows,
                seconds: record.seconds,
            })),
            Event::Warning { message } => self.write(&Entry::Warning { step, message }),
            // The rest is progress, which logs do not keep.
            _ => {}
        }
    }
}

impl From<&StepEvent> for StepEntry {
    fn from(step: &StepEvent) -> Self {
        Self {
            step: step.step,
            epoch: step.epoch + 1,
            epochs: step.epochs,
            loss: step.loss,
            mean_loss: step.mean_loss,
            learning_rate: step.learning_rate,
            rows: step.rows,
            samples_per_second: step.samples_per_second,
            gradient_norm: step.gradient_norm,
            seconds_waiting: step.seconds_waiting,
            seconds_in_graph: step.seconds_in_graph,
            seconds_in_update: step.seconds_in_update,
        }
    }
}
