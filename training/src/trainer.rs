use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_compiler::TrainingProgram;
use millstream_schemas::{Batch, ResumePoint};

use crate::TrainingError;
use crate::batches::BatchSource;
use crate::checkpoint::{self, Checkpoint, CheckpointManifest, SavedParameter, Snapshot};
use crate::divergence;
use crate::error::Rows;
use crate::evaluator::{self, EvaluationBatches};
use crate::metrics::{Evaluation, FigureKind};
use crate::observers::{Event, Observer, StepEvent};
use crate::record::{Best, EpochProgress, EpochRecord, History};
use crate::session::{StepOutcome, StepRunner};
use crate::settings::TrainerSettings;
use crate::speed::Speed;
use crate::until::{Ending, Until};
use millstream_runtime::Device;

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
    /// What the newest checkpoint holds.
    saved: Option<Progress>,
    speed: Speed,
    under_way: UnderWay,
}

/// What of a run has begun in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum UnderWay {
    #[default]
    Nothing,
    Told,
    Steps,
}

/// A step that was made.
struct Stepped {
    /// The last batch of it.
    batch: Batch,
    outcome: StepOutcome,
    /// Rows of all its batches.
    rows: usize,
    /// Seconds that were waited for them.
    waited: f64,
}

/// How far a run is: two checkpoints of equal progress are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    steps: u64,
    evaluation_due: bool,
    resume: ResumePoint,
}

impl Trainer {
    /// A run from the start.
    ///
    /// # Errors
    /// A setting makes no sense, the graph is refused, or the folder for checkpoints holds some already.
    pub fn open(program: &TrainingProgram, device: &Device, settings: TrainerSettings) -> Result<Self, TrainingError> {
        if let Some(folder) = settings.checkpoints.as_ref().map(|checkpoints| &checkpoints.folder)
            && checkpoint::any(folder)?
        {
            return Err(TrainingError::CheckpointsInTheWay { folder: folder.clone() });
        }
        Self::open_replacing(program, device, settings)
    }

    /// As [`Trainer::open`], for a caller who clears the checkpoints of an earlier run away before the first step, but
    /// not before this run is known to be able to begin.
    ///
    /// # Errors
    /// A setting makes no sense, or the graph is refused.
    pub fn open_replacing(
        program: &TrainingProgram,
        device: &Device,
        settings: TrainerSettings,
    ) -> Result<Self, TrainingError> {
        settings.check(&program.manifest)?;
        let runner = StepRunner::open(program, device, &settings.step)?;
        Ok(Self {
            runner,
            history: History::of(&settings.metrics),
            settings,
            epoch: 0,
            resume: None,
            evaluation_due: false,
            best: None,
            newest_checkpoint: None,
            saved: None,
            speed: Speed::default(),
            under_way: UnderWay::default(),
        })
    }

    /// A run from a checkpoint. On the CPU, with as many threads as before, it goes on to the bit as if it had never
    /// stopped, given batches that continue at [`Trainer::resume_point`].
    ///
    /// # Errors
    /// The checkpoint is of another model or of other settings; the error names the first that differs.
    pub fn resume(
        program: &TrainingProgram,
        device: &Device,
        settings: TrainerSettings,
        checkpoint: Checkpoint,
    ) -> Result<Self, TrainingError> {
        settings.check(&program.manifest)?;
        let mut runner = StepRunner::open(program, device, &settings.step)?;
        let manifest = checkpoint.manifest;
        for (name, now) in settings.deciding(&runner) {
            let saved =
                manifest.settings.iter().find(|(saved, _)| *saved == name).map_or("nothing", |(_, value)| value);
            require_same(&checkpoint.path, &name, saved, &now)?;
        }
        let names = |kinds: &[FigureKind], decides: &FigureKind| {
            let names: Vec<&str> = kinds.iter().chain([decides]).map(|kind| kind.name.as_str()).collect();
            names.join(", ")
        };
        let (then, now) = (&manifest.history, &settings.metrics);
        let saved = names(&then.figures, &then.decides);
        let now = names(&now.figures(), now.decides());
        require_same(&checkpoint.path, "what is measured, and what of it decides", &saved, &now)?;
        runner.set_parameters(checkpoint.parameters)?;
        runner.set_state(checkpoint.state)?;
        let (steps, evaluation_due, resume) = (manifest.step, manifest.evaluation_due, manifest.resume);
        Ok(Self {
            runner,
            settings,
            history: manifest.history,
            epoch: resume.epoch,
            resume: Some(resume.clone()),
            evaluation_due,
            best: checkpoint.best,
            newest_checkpoint: Some(checkpoint.path),
            saved: Some(Progress { steps, evaluation_due, resume }),
            speed: Speed::default(),
            under_way: UnderWay::default(),
        })
    }

    /// Where the stream of batches must continue; none at the start.
    pub fn resume_point(&self) -> Option<&ResumePoint> {
        self.resume.as_ref()
    }

    /// The run so far; after an error, up to the step that failed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The newest checkpoint of this run.
    pub fn newest_checkpoint(&self) -> Option<&Path> {
        self.newest_checkpoint.as_deref()
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.settings.total_steps()
    }

    /// Whether all epochs are done, their evaluations included, and [`Trainer::advance`] would say so.
    pub fn is_finished(&self) -> bool {
        let evaluated = self.history.epochs.iter().any(|epoch| epoch.evaluation.is_some());
        let done = self.epoch >= self.settings.epochs || self.is_over_early();
        done && !self.evaluation_due && self.finished(evaluated).is_ok()
    }

    /// Copies of the parameters as they are now.
    ///
    /// # Errors
    /// The device fails.
    pub fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.runner.parameters()
    }

    /// Copies of the parameters after the best epoch; as they are now when there was no evaluation. Where an average of the
    /// weights is kept, it is that.
    ///
    /// # Errors
    /// The device fails.
    pub fn best_parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.best.clone().map_or_else(|| self.runner.averaged_parameters(), Ok)
    }

    /// As [`Trainer::advance`] to the end.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn run(
        &mut self,
        batches: &mut dyn BatchSource,
        evaluation: Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        self.advance(Until::End, batches, evaluation, observer, stop)
    }

    /// Trains as far as `until` says, or until all epochs are done or `stop` says so; it is asked after each step and each
    /// evaluated batch. With an evaluation the weights as they are given are evaluated before the first step, for the epochs
    /// to be held against. Where a run stands still in between changes nothing of it; the batches are to be those of one
    /// stream.
    ///
    /// # Errors
    /// A batch fails, does not fit the graph, or gives a loss or gradient that is not finite; the batches end before the
    /// epochs do; after the last epoch no evaluation had a loss that is a number; ONNX Runtime or the disk fails. Where
    /// the batches are to blame a checkpoint is saved first.
    pub fn advance(
        &mut self,
        until: Until,
        batches: &mut dyn BatchSource,
        mut evaluation: Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        if self.under_way == UnderWay::Nothing {
            self.tell_start(observer);
            self.under_way = UnderWay::Told;
        }
        let ending = self.train(until, batches, &mut evaluation, observer, stop);
        ending.map_err(|error| self.leave_behind(error, observer))
    }

    /// Saves a checkpoint of where the run stands, unless the newest one is of there.
    ///
    /// # Errors
    /// A parameter is not a number, or the disk fails.
    pub fn save_checkpoint(&mut self, observer: &mut dyn Observer) -> Result<Option<PathBuf>, TrainingError> {
        self.save(observer)
    }

    fn tell_start(&self, observer: &mut dyn Observer) {
        observer.observe(&Event::Started {
            step: self.history.steps,
            total_steps: self.total_steps(),
            epoch: self.epoch,
            epochs: self.settings.epochs,
        });
        if let Some(message) = self.runner.warning() {
            observer.observe(&Event::Warning { message });
        }
    }

    fn train(
        &mut self,
        until: Until,
        batches: &mut dyn BatchSource,
        evaluation: &mut Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        if !self.evaluate_start(evaluation, observer, stop)? {
            return self.interrupted(observer);
        }
        let started = Instant::now();
        loop {
            if self.evaluation_due && !self.finish_epoch(evaluation, observer, stop)? {
                return self.interrupted(observer);
            }
            if self.is_over_early() {
                return self.finished(evaluation.is_some());
            }
            if self.epoch >= self.settings.epochs {
                return self.finished(evaluation.is_some());
            }
            if self.has_reached(until) {
                return Ok(Ending::Reached);
            }
            if stop() {
                return self.interrupted(observer);
            }
            let asked = Instant::now();
            let batch = batches.next_batch().ok_or_else(|| self.batches_ended())?.map_err(TrainingError::batches)?;
            let waited = asked.elapsed().as_secs_f64();
            let first = self.under_way != UnderWay::Steps;
            if first {
                self.require_continuation(&batch.resume)?;
                self.history.timing.first_batch = started.elapsed().as_secs_f64();
            }
            let before = self.history.steps;
            let batch = self.step(batch, waited, batches, observer)?;
            if first {
                self.history.timing.first_step = started.elapsed().as_secs_f64();
                self.under_way = UnderWay::Steps;
            }
            self.evaluation_due = batch.resume.epoch != self.epoch;
            let place = self.settings.step.averaging.and_then(|averaging| averaging.place_of(self.epoch));
            if let Some(place) = place.filter(|_| self.evaluation_due) {
                self.runner.take_into_average(place)?;
            }
            self.epoch = batch.resume.epoch;
            self.resume = Some(batch.resume.clone());
            drop(batch);
            if !self.evaluation_due && self.history.steps > before && self.is_checkpoint_due() {
                self.save(observer)?;
            }
        }
    }

    fn has_reached(&self, until: Until) -> bool {
        match until {
            Until::Step(steps) => self.history.steps >= steps,
            Until::Epoch(epochs) => self.history.epochs.len() as u64 >= epochs,
            Until::End => false,
        }
    }

    /// Whether it has got no better for so long that it ends; not where that is at the end anyway.
    fn is_over_early(&self) -> bool {
        let (epochs, decides) = (&self.history.epochs, &self.history.decides);
        let rule = self.settings.early_stopping.filter(|_| !self.evaluation_due && self.epoch < self.settings.epochs);
        rule.is_some_and(|rule| rule.is_over(epochs, decides))
    }

    fn steps_left(&self) -> u64 {
        self.total_steps().saturating_sub(self.history.steps)
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = self.settings.checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.every_steps);
        every > 0 && self.history.steps.is_multiple_of(every)
    }

    fn batches_ended(&self) -> TrainingError {
        let (epoch, epochs, steps) = (self.epoch + 1, self.settings.epochs, self.history.steps);
        TrainingError::BatchesEnded { epoch, epochs, steps, checkpoint: None }
    }

    /// A resumed run must get the batches of the run that was saved.
    fn require_continuation(&self, next: &ResumePoint) -> Result<(), TrainingError> {
        let (Some(path), Some(saved)) = (&self.newest_checkpoint, &self.resume) else { return Ok(()) };
        require_same(path, "the seed of the batches", &saved.seed.to_string(), &next.seed.to_string())?;
        require_same(path, "the data set of the batches", &saved.dataset.0, &next.dataset.0)?;
        require_same(path, "the making of the batches", &saved.recipe.0, &next.recipe.0)
    }

    /// Saves what the steps so far have made before an error of the batches ends the run, and says so in the error.
    fn leave_behind(&mut self, mut error: TrainingError, observer: &mut dyn Observer) -> TrainingError {
        use TrainingError::{Batches, BatchesEnded, Input, NothingLabelled};
        // batches of a step that was not made come again
        let _ = self.runner.forget_gathered();
        if matches!(error, Batches { .. } | BatchesEnded { .. } | Input { .. } | NothingLabelled) {
            // A failure to save is less to the point than the error at hand, which then names an older checkpoint.
            let _ = self.save(observer);
        }
        if let Batches { checkpoint, .. } | BatchesEnded { checkpoint, .. } = &mut error {
            checkpoint.clone_from(&self.newest_checkpoint);
        }
        error
    }

    fn step(
        &mut self,
        batch: Batch,
        waited: f64,
        batches: &mut dyn BatchSource,
        observer: &mut dyn Observer,
    ) -> Result<Batch, TrainingError> {
        let base = f64::from(self.settings.step.optimizer.learning_rate());
        let factor = self.settings.schedule.factor(self.history.steps, self.settings.run_length());
        let learning_rate = (base * factor) as f32;
        let Stepped { batch, outcome, rows, waited } = match self.settings.accumulate {
            0 | 1 => {
                let (batch, outcome) = self.runner.step(batch, learning_rate)?;
                Stepped { rows: batch.len(), batch, outcome, waited }
            }
            most => self.accumulated(batch, waited, most, learning_rate, batches)?,
        };
        self.history.timing.waiting += waited;
        self.history.under_way.seconds += waited;
        if outcome.rows == 0 {
            return Ok(batch);
        }
        if !outcome.updated && !outcome.skipped {
            return Err(self.diverged(&batch, &outcome));
        }
        self.history.loss_scale = outcome.loss_scale;
        let batches_waiting = batches.waiting();
        let StepOutcome { loss, rows: counted, weight, seconds_in_graph, seconds_in_update, gradient_norm, .. } =
            outcome;
        let history = &mut self.history;
        history.steps += 1;
        history.curve.add(history.steps, f64::from(loss), f64::from(learning_rate));
        history.timing.graph += seconds_in_graph;
        history.timing.update += seconds_in_update;
        let first_loss = history.curve.points.first().map_or(f64::from(loss), |point| point.loss);
        let (done, classes, total_steps) = (history.steps, self.settings.classes.len(), self.settings.total_steps());
        let diverged = history.loss_watch.add(done, f64::from(loss), first_loss, classes, total_steps);
        history.under_way.steps += 1;
        history.under_way.rows += counted;
        history.under_way.weight += weight;
        history.under_way.weighted_loss += f64::from(loss) * weight;
        history.under_way.seconds += seconds_in_graph + seconds_in_update;
        self.speed.add(rows, waited + seconds_in_graph + seconds_in_update);
        observer.observe(&Event::Step(StepEvent {
            step: self.history.steps,
            total_steps: self.total_steps(),
            epoch: self.epoch,
            epochs: self.settings.epochs,
            loss,
            mean_loss: self.history.under_way.weighted_loss / self.history.under_way.weight,
            learning_rate,
            rows,
            samples_per_second: self.speed.rows_per_second(),
            seconds_waiting: waited,
            seconds_in_graph,
            seconds_in_update,
            batches_waiting,
            seconds_left: self.speed.seconds_for(self.steps_left(), self.settings.epochs.saturating_sub(self.epoch)),
            gradient_norm,
        }));
        if let Some(divergence) = self.history.loss_watch.found().filter(|_| diverged) {
            observer.observe(&Event::Warning { message: &divergence.to_string() });
        }
        Ok(batch)
    }

    /// A step by the gradients of up to `most` batches of the epoch, of which `first` is the first.
    fn accumulated(
        &mut self,
        first: Batch,
        waited: f64,
        most: u64,
        learning_rate: f32,
        batches: &mut dyn BatchSource,
    ) -> Result<Stepped, TrainingError> {
        let (mut batch, mut waited, mut gathered, mut rows, mut seconds) = (first, waited, 0, 0, 0.0);
        loop {
            let (given, outcome) = self.runner.gather(batch)?;
            if outcome.rows > 0 && !outcome.loss.is_finite() {
                return Err(self.diverged(&given, &outcome));
            }
            (gathered, rows, seconds) = (gathered + 1, rows + given.len(), seconds + outcome.seconds_in_graph);
            if gathered >= most || given.resume.epoch != self.epoch {
                let outcome = self.runner.update(learning_rate)?;
                let outcome = StepOutcome { seconds_in_graph: seconds, ..outcome };
                return Ok(Stepped { batch: given, outcome, rows, waited });
            }
            drop(given);
            let asked = Instant::now();
            batch = batches.next_batch().ok_or_else(|| self.batches_ended())?.map_err(TrainingError::batches)?;
            waited += asked.elapsed().as_secs_f64();
        }
    }

    /// Why a step changed nothing although rows had weight.
    fn diverged(&self, batch: &Batch, outcome: &StepOutcome) -> TrainingError {
        let (step, checkpoint) = (self.history.steps + 1, self.newest_checkpoint.clone());
        let rows = Rows(batch.rows.iter().flatten().cloned().collect());
        match outcome.gradient_norm.filter(|_| outcome.loss.is_finite()) {
            Some(norm) => TrainingError::NonFiniteGradient { step, norm, rows, checkpoint },
            None => TrainingError::NonFiniteLoss { step, loss: outcome.loss, rows, checkpoint },
        }
    }

    /// Evaluates, records the epoch and saves; `false` when it was stopped before the evaluation was done.
    fn finish_epoch(
        &mut self,
        evaluation: &mut Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let epoch = self.history.epochs.last().map_or(0, |epoch| epoch.epoch + 1);
        let mut figures = None;
        if let Some(open) = evaluation {
            // An evaluation may take long and may fail: the epoch's steps are not to be lost by it.
            self.save(observer)?;
            observer.observe(&Event::EvaluationStarted { epoch });
            let mut rows = open().map_err(TrainingError::batches)?;
            let Some(evaluated) = self.evaluate(&mut *rows, Some(epoch), observer, stop)? else { return Ok(false) };
            figures = Some((&evaluated).into());
            let better_than_start = self.history.is_better_than_start(&evaluated);
            let best = self.note_if_best(epoch, &evaluated)? && better_than_start;
            observer.observe(&Event::Evaluated { epoch, evaluation: &evaluated, best, better_than_start });
            if !divergence::is_finite(&evaluated) {
                let message = format!("{}; it is never taken as the best", not_finite(epoch + 1, &evaluated));
                observer.observe(&Event::Warning { message: &message });
            }
        }
        let EpochProgress { steps, rows, weight, weighted_loss, seconds } = std::mem::take(&mut self.history.under_way);
        let training_loss = weighted_loss / weight;
        self.history.epochs.push(EpochRecord { epoch, steps, rows, training_loss, seconds, evaluation: figures });
        self.evaluation_due = false;
        self.history.stopped_early = self.is_over_early().then_some(self.settings.epochs);
        observer.observe(&Event::EpochEnded(&self.history.epochs[self.history.epochs.len() - 1]));
        self.save(observer)?;
        Ok(true)
    }

    /// Evaluates the weights as they are, after an epoch or before the first step; `None` when it was stopped.
    fn evaluate(
        &mut self,
        batches: &mut dyn BatchSource,
        epoch: Option<u64>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Evaluation>, TrainingError> {
        let started = Instant::now();
        let evaluations_left = self.settings.epochs.saturating_sub(epoch.map_or(0, |epoch| epoch + 1));
        let seconds_of_steps = self.speed.seconds_for(self.steps_left(), 0);
        let mut progress = |rows| {
            let seconds = started.elapsed().as_secs_f64();
            observer.observe(&Event::EvaluationBatch { epoch, rows, seconds, seconds_of_steps, evaluations_left });
            !stop()
        };
        let runner = &mut self.runner;
        let (metrics, classes) = (&self.settings.metrics, &self.settings.classes);
        let evaluated = runner.with_average(|runner| {
            evaluator::gather(|batch| runner.evaluate(batch), metrics, batches, classes, &mut progress)
        })?;
        let seconds = started.elapsed().as_secs_f64();
        self.history.timing.evaluation += seconds;
        if evaluated.is_some() {
            self.speed.add_evaluation(seconds);
        }
        Ok(evaluated)
    }

    /// Evaluates the weights before the first step; `false` when it was stopped before that was done.
    fn evaluate_start(
        &mut self,
        evaluation: &mut Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let Some(open) = evaluation else { return Ok(true) };
        if self.history.steps > 0 || self.history.start.is_some() {
            return Ok(true);
        }
        let mut rows = open().map_err(TrainingError::batches)?;
        let Some(evaluated) = self.evaluate(&mut *rows, None, observer, stop)? else { return Ok(false) };
        self.history.start = Some((&evaluated).into());
        observer.observe(&Event::StartEvaluated { evaluation: &evaluated });
        if !divergence::is_finite(&evaluated) {
            observer.observe(&Event::Warning { message: &not_finite(0, &evaluated) });
        }
        Ok(true)
    }

    /// All epochs are done; one of them must be fit to be the best where they were evaluated.
    fn finished(&self, evaluated: bool) -> Result<Ending, TrainingError> {
        if evaluated && self.history.best.is_none() && !self.history.epochs.is_empty() {
            let (epochs, checkpoint) = (self.history.epochs.len() as u64, self.newest_checkpoint.clone());
            return Err(TrainingError::NonFiniteEvaluations { epochs, checkpoint });
        }
        Ok(Ending::Finished)
    }

    fn note_if_best(&mut self, epoch: u64, evaluation: &Evaluation) -> Result<bool, TrainingError> {
        let best = divergence::is_finite(evaluation) && self.history.is_beaten_by(evaluation);
        if best {
            self.history.best = Some(Best { epoch, loss: evaluation.loss, figures: evaluation.figures.clone() });
            self.history.best_evaluation = Some(evaluation.clone());
            self.best = Some(self.runner.averaged_parameters()?);
        }
        Ok(best)
    }

    fn interrupted(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainingError> {
        let checkpoint = self.save(observer)?;
        Ok(Ending::Interrupted { checkpoint })
    }

    /// Saves a checkpoint, if any are wanted and there is something new; parameters must be finite even if none are.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<Option<PathBuf>, TrainingError> {
        let Some(resume) = self.resume.clone() else { return Ok(None) };
        let now = Progress { steps: self.history.steps, evaluation_due: self.evaluation_due, resume };
        if self.saved.as_ref() == Some(&now) {
            return Ok(self.newest_checkpoint.clone());
        }
        let started = Instant::now();
        let parameters = self.finite_parameters()?;
        let Some(settings) = &self.settings.checkpoints else { return Ok(None) };
        let state = self.runner.state()?;
        let (entries, states) = (self.runner.manifest().parameters.iter(), self.runner.state_tensors());
        let manifest = CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step: now.steps,
            resume: now.resume.clone(),
            settings: self.settings.deciding(&self.runner),
            updates: state.updates,
            evaluation_due: now.evaluation_due,
            parameters: entries.zip(states).map(|(entry, state)| SavedParameter::of(entry, state)).collect(),
            files: Vec::new(),
            history: self.history.clone(),
        };
        let best = self.best.as_deref();
        let snapshot = Snapshot { manifest, parameters: &parameters, state: &state, best };
        let path = checkpoint::save(&settings.folder, snapshot, settings.keep).map_err(|error| {
            let (step, checkpoint) = (now.steps, self.newest_checkpoint.clone());
            TrainingError::NotSaved { step, source: Box::new(error), checkpoint }
        })?;
        let seconds = started.elapsed().as_secs_f64();
        self.history.timing.checkpoints += seconds;
        observer.observe(&Event::CheckpointSaved { path: &path, step: now.steps, seconds });
        self.newest_checkpoint = Some(path.clone());
        self.saved = Some(now);
        Ok(Some(path))
    }

    /// Copies of the parameters, which must all be numbers.
    fn finite_parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        let parameters = self.runner.parameters()?;
        for (entry, values) in self.runner.manifest().parameters.iter().zip(&parameters) {
            if let Some(value) = values.iter().copied().find(|value| !value.is_finite()) {
                return Err(TrainingError::NonFiniteParameter {
                    name: entry.name.clone(),
                    value,
                    step: self.history.steps,
                    checkpoint: self.newest_checkpoint.clone(),
                });
            }
        }
        Ok(parameters)
    }
}

/// That an evaluation's loss is no number, and how many rows are to blame; epoch 0 is before the first step.
fn not_finite(epoch: u64, evaluation: &Evaluation) -> String {
    let when = if epoch == 0 { "before the first step".to_owned() } else { format!("after epoch {epoch}") };
    let Evaluation { rows, not_finite, .. } = evaluation;
    if *not_finite == 0 {
        return format!("{when} the loss on the {rows} evaluation rows is no number, although all scores are");
    }
    format!(
        "{when} {not_finite} of {rows} evaluation rows have scores that are no numbers, so their loss is none either"
    )
}

fn require_same(path: &Path, what: &str, saved: &str, now: &str) -> Result<(), TrainingError> {
    if saved == now {
        return Ok(());
    }
    let shown = |text: &str| if is_fingerprint(text) { text[..12].to_owned() } else { text.to_owned() };
    let (saved, now) = (shown(saved), shown(now));
    Err(TrainingError::ResumeMismatch { path: path.to_owned(), what: what.to_owned(), saved, now })
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
