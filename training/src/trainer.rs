use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_compiler::TrainingProgram;
use millstream_schemas::recipe::Schedule;
use millstream_schemas::{Batch, Fingerprint, ResumePoint};

use crate::batches::BatchSource;
use crate::checkpoint::{self, Checkpoint, CheckpointManifest, CheckpointSettings, SavedParameter, Snapshot};
use crate::device::Device;
use crate::error::Rows;
use crate::evaluator::{self, EvaluationBatches};
use crate::metrics::Evaluation;
use crate::observers::{Event, Observer, StepEvent};
use crate::record::{Best, EpochProgress, EpochRecord, History};
use crate::session::{StepOutcome, StepRunner, StepSettings, has_weight};
use crate::speed::Speed;
use crate::{TrainingError, schedules};

/// How a run goes.
#[derive(Clone, Debug)]
pub struct TrainerSettings {
    /// Optimizer, clipping, threads.
    pub step: StepSettings,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Steps in a pass; decides the schedule's length.
    pub batches_per_epoch: u64,
    /// Class names, in the order of the scores.
    pub classes: Vec<String>,
    /// Where and when checkpoints are written; none are without it.
    pub checkpoints: Option<CheckpointSettings>,
    /// Of everything else that decides how training goes on (data, transforms, seed): a checkpoint with another one is
    /// not resumed.
    pub fingerprint: Fingerprint,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Finished,
    /// It was asked to stop.
    Interrupted {
        /// The checkpoint from which it can go on, if checkpoints are written.
        checkpoint: Option<PathBuf>,
    },
}

/// Trains: step after step, an evaluation after each epoch, checkpoints in between.
pub struct Trainer {
    runner: StepRunner,
    settings: TrainerSettings,
    history: History,
    /// The epoch of the next batch.
    epoch: u64,
    resume: Option<ResumePoint>,
    evaluation_due: bool,
    best: Option<Vec<Vec<f32>>>,
    newest_checkpoint: Option<PathBuf>,
    /// Step and `evaluation_due` of the newest checkpoint.
    saved: Option<(u64, bool)>,
    speed: Speed,
}

impl Trainer {
    /// A run from the start.
    ///
    /// # Errors
    /// A setting makes no sense, the graph is refused, or the folder for checkpoints holds some already.
    pub fn open(program: &TrainingProgram, device: &Device, settings: TrainerSettings) -> Result<Self, TrainingError> {
        if let Some(folder) = settings.checkpoints.as_ref().map(|checkpoints| &checkpoints.folder)
            && !checkpoint::list(folder)?.is_empty()
        {
            return Err(TrainingError::CheckpointsInTheWay { folder: folder.clone() });
        }
        let runner = StepRunner::open(program, device, &settings.step)?;
        Ok(Self {
            runner,
            settings,
            history: History::default(),
            epoch: 0,
            resume: None,
            evaluation_due: false,
            best: None,
            newest_checkpoint: None,
            saved: None,
            speed: Speed::default(),
        })
    }

    /// A run from a checkpoint. On the CPU, with as many threads as before, it goes on to the bit as if it had never
    /// stopped, given batches that continue at [`Trainer::resume_point`].
    ///
    /// # Errors
    /// The checkpoint is of another model, other settings or another optimizer.
    pub fn resume(
        program: &TrainingProgram,
        device: &Device,
        settings: TrainerSettings,
        checkpoint: Checkpoint,
    ) -> Result<Self, TrainingError> {
        let mut runner = StepRunner::open(program, device, &settings.step)?;
        let manifest = checkpoint.manifest;
        for (what, saved, now) in [
            ("the model or what of it is trained", &manifest.program.0, &runner.fingerprint().0),
            ("the recipe", &manifest.settings.0, &settings.fingerprint.0),
            ("the optimizer", &manifest.optimizer, &runner.optimizer().to_owned()),
        ] {
            if saved != now {
                let shown = |text: &str| text.chars().take(12).collect::<String>();
                return Err(TrainingError::ResumeMismatch {
                    path: checkpoint.path,
                    what: what.to_owned(),
                    saved: shown(saved),
                    now: shown(now),
                });
            }
        }
        runner.set_parameters(checkpoint.parameters)?;
        runner.set_state(checkpoint.state)?;
        Ok(Self {
            runner,
            settings,
            history: manifest.history,
            epoch: manifest.resume.epoch,
            resume: Some(manifest.resume),
            evaluation_due: manifest.evaluation_due,
            best: checkpoint.best,
            newest_checkpoint: Some(checkpoint.path),
            saved: Some((manifest.step, manifest.evaluation_due)),
            speed: Speed::default(),
        })
    }

    /// Where the stream of batches must continue; none at the start.
    pub fn resume_point(&self) -> Option<&ResumePoint> {
        self.resume.as_ref()
    }

    /// The run so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The newest checkpoint of this run.
    pub fn newest_checkpoint(&self) -> Option<&Path> {
        self.newest_checkpoint.as_deref()
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.settings.epochs * self.settings.batches_per_epoch
    }

    /// Copies of the parameters as they are now.
    ///
    /// # Errors
    /// The device fails.
    pub fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.runner.parameters()
    }

    /// Copies of the parameters after the best epoch; as they are now when there was no evaluation.
    ///
    /// # Errors
    /// The device fails.
    pub fn best_parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.best.clone().map_or_else(|| self.runner.parameters(), Ok)
    }

    /// Trains until all epochs are done or `stop` says so; it is asked after each step and each evaluated batch.
    ///
    /// # Errors
    /// A batch fails, does not fit the graph, or gives a loss that is not finite; ONNX Runtime or the disk fails.
    pub fn run(
        &mut self,
        batches: &mut dyn BatchSource,
        mut evaluation: Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        observer.observe(&Event::Started {
            step: self.history.steps,
            total_steps: self.total_steps(),
            epoch: self.epoch,
            epochs: self.settings.epochs,
        });
        let started = Instant::now();
        let mut first = true;
        loop {
            if self.evaluation_due && !self.finish_epoch(&mut evaluation, observer, stop)? {
                return self.interrupted(observer);
            }
            if self.epoch >= self.settings.epochs {
                return Ok(Ending::Finished);
            }
            if stop() {
                return self.interrupted(observer);
            }
            let asked = Instant::now();
            let Some(batch) = batches.next_batch() else {
                if self.history.under_way.steps == 0 {
                    return Ok(Ending::Finished);
                }
                // A source that ends within an epoch ends the run there.
                self.evaluation_due = true;
                self.epoch = self.settings.epochs;
                continue;
            };
            let batch = batch.map_err(TrainingError::Batches)?;
            let waited = asked.elapsed().as_secs_f64();
            if first {
                self.history.timing.first_batch = started.elapsed().as_secs_f64();
            }
            let batch = self.step(batch, waited, batches.waiting(), observer)?;
            if first {
                self.history.timing.first_step = started.elapsed().as_secs_f64();
                first = false;
            }
            self.evaluation_due = batch.resume.epoch != self.epoch;
            self.epoch = batch.resume.epoch;
            self.resume = Some(batch.resume.clone());
            batches.recycle(batch);
            if !self.evaluation_due && self.is_checkpoint_due() {
                self.save(observer)?;
            }
        }
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = self.settings.checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.every_steps);
        every > 0 && self.history.steps > 0 && self.history.steps.is_multiple_of(every)
    }

    fn step(
        &mut self,
        batch: Batch,
        waited: f64,
        batches_waiting: Option<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Batch, TrainingError> {
        self.history.timing.waiting += waited;
        self.history.under_way.seconds += waited;
        if !has_weight(&batch) {
            return Ok(batch);
        }
        let base = f64::from(self.settings.step.optimizer.learning_rate());
        let factor = schedules::factor(&self.settings.schedule, self.history.steps, self.total_steps());
        let learning_rate = (base * factor) as f32;
        let (batch, outcome) = self.runner.step(batch, learning_rate)?;
        let StepOutcome { loss, seconds_in_graph, seconds_in_update, gradient_norm, .. } = outcome;
        if !loss.is_finite() {
            return Err(TrainingError::NonFiniteLoss {
                step: self.history.steps,
                loss,
                rows: Rows(batch.rows.iter().flatten().cloned().collect()),
                checkpoint: self.newest_checkpoint.clone(),
            });
        }
        let (rows, history) = (batch.len(), &mut self.history);
        history.steps += 1;
        history.curve.add(history.steps, f64::from(loss), f64::from(learning_rate));
        history.timing.graph += seconds_in_graph;
        history.timing.update += seconds_in_update;
        history.under_way.steps += 1;
        history.under_way.rows += rows as u64;
        history.under_way.loss_of_rows += f64::from(loss) * rows as f64;
        history.under_way.seconds += seconds_in_graph + seconds_in_update;
        self.speed.add(rows, waited + seconds_in_graph + seconds_in_update);
        observer.observe(&Event::Step(StepEvent {
            step: self.history.steps,
            total_steps: self.total_steps(),
            epoch: self.epoch,
            epochs: self.settings.epochs,
            loss,
            learning_rate,
            rows,
            samples_per_second: self.speed.rows_per_second(),
            seconds_waiting: waited,
            seconds_in_graph,
            seconds_in_update,
            batches_waiting,
            seconds_left: self.speed.seconds_per_step() * self.total_steps().saturating_sub(self.history.steps) as f64,
            gradient_norm,
        }));
        Ok(batch)
    }

    /// Evaluates, records the epoch and saves; `false` when it was stopped before the evaluation was done.
    fn finish_epoch(
        &mut self,
        evaluation: &mut Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let epoch = self.history.epochs.last().map_or(0, |epoch| epoch.epoch + 1);
        let mut found = None;
        if let Some(open) = evaluation {
            observer.observe(&Event::EvaluationStarted { epoch });
            let started = Instant::now();
            let evaluated = {
                let mut batches = open().map_err(TrainingError::Batches)?;
                let mut progress = |rows| {
                    observer.observe(&Event::EvaluationBatch { rows });
                    !stop()
                };
                let runner = &mut self.runner;
                evaluator::gather(|batch| runner.evaluate(batch), &mut *batches, &self.settings.classes, &mut progress)?
            };
            self.history.timing.evaluation += started.elapsed().as_secs_f64();
            let Some(evaluated) = evaluated else { return Ok(false) };
            let best = self.note_if_best(epoch, &evaluated)?;
            observer.observe(&Event::Evaluated { epoch, evaluation: &evaluated, best });
            found = Some(evaluated);
        }
        let EpochProgress { steps, rows, loss_of_rows, seconds } = std::mem::take(&mut self.history.under_way);
        let training_loss = loss_of_rows / rows as f64;
        self.history.epochs.push(EpochRecord { epoch, steps, rows, training_loss, seconds, evaluation: found });
        self.evaluation_due = false;
        observer.observe(&Event::EpochEnded(&self.history.epochs[self.history.epochs.len() - 1]));
        self.save(observer)?;
        Ok(true)
    }

    fn note_if_best(&mut self, epoch: u64, evaluation: &Evaluation) -> Result<bool, TrainingError> {
        let best = self.history.best.is_none_or(|best| best.is_beaten_by(evaluation));
        if best {
            self.history.best = Some(Best { epoch, accuracy: evaluation.accuracy, loss: evaluation.loss });
            self.best = Some(self.runner.parameters()?);
        }
        Ok(best)
    }

    fn interrupted(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainingError> {
        let checkpoint = self.save(observer)?;
        Ok(Ending::Interrupted { checkpoint })
    }

    /// Saves a checkpoint, if any are wanted and a step was made.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<Option<PathBuf>, TrainingError> {
        let (Some(settings), Some(resume)) = (&self.settings.checkpoints, &self.resume) else { return Ok(None) };
        let now = (self.history.steps, self.evaluation_due);
        if self.saved == Some(now) {
            return Ok(self.newest_checkpoint.clone());
        }
        let started = Instant::now();
        let parameters = self.runner.parameters()?;
        let entries = &self.runner.manifest().parameters;
        for (entry, values) in entries.iter().zip(&parameters) {
            if let Some(value) = values.iter().copied().find(|value| !value.is_finite()) {
                return Err(TrainingError::NonFiniteParameter {
                    name: entry.name.clone(),
                    value,
                    step: self.history.steps,
                    checkpoint: self.newest_checkpoint.clone(),
                });
            }
        }
        let state = self.runner.state()?;
        let manifest = CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step: self.history.steps,
            resume: resume.clone(),
            program: self.runner.fingerprint().clone(),
            settings: self.settings.fingerprint.clone(),
            optimizer: self.runner.optimizer().to_owned(),
            updates: state.updates,
            evaluation_due: self.evaluation_due,
            state_names: self.runner.state_names().iter().map(|name| (*name).to_owned()).collect(),
            parameters: entries
                .iter()
                .map(|entry| SavedParameter { name: entry.name.clone(), shape: entry.shape.clone() })
                .collect(),
            files: Vec::new(),
            history: self.history.clone(),
        };
        let best = self.best.as_deref();
        let snapshot = Snapshot { manifest, parameters: &parameters, state: &state, best };
        let path = checkpoint::save(&settings.folder, snapshot, settings.keep)?;
        let seconds = started.elapsed().as_secs_f64();
        self.history.timing.checkpoints += seconds;
        observer.observe(&Event::CheckpointSaved { path: &path, step: self.history.steps, seconds });
        self.newest_checkpoint = Some(path.clone());
        self.saved = Some(now);
        Ok(Some(path))
    }
}
