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
    /// The run has ended: nothing goes on.
    ended: bool,
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
            let opened = match log.format().open(&run) {
                Ok(opened) => opened,
                Err(error) => {
                    this.give_up(&run);
                    return Err(error);
                }
            };
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

    /// Of a run that cannot begin, those that are open already say so: what they have outside of its folder stays there.
    fn give_up(&mut self, run: &LoggedRun) {
        if run.goes_on.is_none() {
            let ending = "failed";
            self.write(&Entry::Ended(Ending { step: 0, ending, stopped_early: None, best: None, notes: &[] }));
        }
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
        self.ended = true;
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
        let (failures, untold, ended) = (&mut self.failures, &mut self.untold, self.ended);
        self.open.retain_mut(|log| {
            let Err(error) = write(log) else { return true };
            let path = shown_path(log.writer.path());
            failures.push(format!("{path}: {error}; the log was not written to its end"));
            untold.push(match ended {
                true => format!(
                    "{path}: {error}; this log lacks the end of the run. To have the whole log, make room or mend its folder, \
                     and resume the run"
                ),
                false => format!(
                    "{path}: {error}; nothing more is written to this log. Training goes on; to have the whole log, make room or \
                     mend its folder, and stop and resume the run"
                ),
            });
            false
        });
    }

    fn begin(&mut self, step: u64, [total_steps, epochs, steps_per_epoch]: [u64; 3]) {
        (self.step, self.epochs) = (step, epochs);
        let Some(run) = self.run.take() else { return };
        match run.goes_on {
            Some(place) => {
                self.write(&Entry::Resumed { step: place.steps, total_steps, epochs, steps_per_epoch });
            }
            None => {
                let (name, figures, hyperparameters) = (&*run.name, &run.figures, &run.hyperparameters);
                let decides = &run.decides;
                self.write(&Entry::Started(StartEntry {
                    run: name,
                    total_steps,
                    epochs,
                    steps_per_epoch,
                    figures,
                    decides,
                    hyperparameters,
                }));
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
            Event::Started { step, total_steps, epochs, steps_per_epoch, .. } => {
                self.begin(*step, [*total_steps, *epochs, *steps_per_epoch]);
            }
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

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::Map;

    use super::*;
    use crate::logs::standard;
    use millstream_schemas::Choice;

    struct Full(PathBuf);

    impl LogWriter for Full {
        fn path(&self) -> &Path {
            &self.0
        }

        fn write(&mut self, _: f64, _: &Entry<'_>) -> io::Result<()> {
            Err(io::Error::other("no space left"))
        }
    }

    #[test]
    fn a_log_that_fails_at_the_end_does_not_say_that_training_goes_on() {
        for (at_the_end, wanted, other) in
            [(true, "lacks the end of the run", "Training goes on"), (false, "Training goes on", "lacks the end")]
        {
            let mut logs = Logs::default();
            logs.open.push(OpenLog { every_steps: 1, writer: Box::new(Full("steps.csv".into())) });
            match at_the_end {
                true => logs.end(&RunRecord::default(), &[]),
                false => logs.observe(&Event::Warning { message: "w" }),
            }
            let told = logs.take_warnings();
            assert!(told.len() == 1 && told[0].contains(wanted) && !told[0].contains(other), "{told:?}");
        }
    }

    #[test]
    fn a_run_whose_logs_cannot_all_be_opened_does_not_stay_under_way_in_mlflow() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        std::fs::create_dir_all(logs.join("steps.csv/in the way")).unwrap();
        let wanted =
            ["mlflow", "csv"].map(|name| Log::choose(standard(), &Choice::named(name), "output.logs").unwrap());
        let run = LoggedRun {
            folder: logs.clone(),
            name: "flowers".into(),
            hyperparameters: Map::new(),
            recipe: String::new(),
            figures: Vec::new(),
            decides: crate::metrics::FigureKind::loss(),
            goes_on: None,
        };
        assert!(Logs::open(&wanted, run).is_err());
        let mut runs = std::fs::read_dir(logs.join("mlruns/0")).unwrap().map(|entry| entry.unwrap().path());
        let run = runs.find(|path| path.is_dir()).unwrap();
        let meta = std::fs::read_to_string(run.join("meta.yaml")).unwrap();
        assert!(meta.contains("status: 4"), "{meta}");
    }
}
