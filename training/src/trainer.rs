mod evaluating;
mod extending;
mod reestimating;
mod saving;
mod stepping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use millstream_compiler::TrainingProgram;
use millstream_schemas::ResumePoint;

use crate::TrainingError;
use crate::batches::BatchSource;
use crate::checkpoint::{self, Checkpoint, Writer};
use crate::early_stopping::Wait;
use crate::evaluator::{EvaluationBatches, EvaluationSet, RunSources};
use crate::kept_states::{Finals, KeptStates, SharedParameters};
use crate::observers::{EndReason, Event, Observer};
use crate::optimizers::Averaging;
use crate::record::History;
use crate::resume_check::{Differing, require_same};
use crate::session::StepRunner;
use crate::settings::TrainerSettings;
use crate::speed::Speed;
use crate::until::{Ending, Until};
use millstream_runtime::Device;

/// Trains: step after step, evaluations after epochs or within them, checkpoints in between.
pub struct Trainer {
    runner: StepRunner,
    settings: TrainerSettings,
    history: History,
    /// How long the evaluations of the history have brought no gain.
    wait: Wait,
    /// The epoch of the next batch.
    epoch: u64,
    resume: Option<ResumePoint>,
    /// Whether an epoch ended that is not on record yet.
    evaluation_due: bool,
    best: Option<SharedParameters>,
    /// Of which generation the best parameters are those at work.
    best_generation: Option<u64>,
    kept: KeptStates,
    finals: Finals,
    newest_checkpoint: Option<PathBuf>,
    /// What the newest checkpoint holds.
    saved: Option<Progress>,
    writer: Writer,
    /// What the checkpoints hold that are being written or wait for it, by their numbers.
    being_saved: Vec<(u64, Progress)>,
    /// Counts changes of parameters and state.
    generation: u64,
    /// Updates of the optimizer in what was saved last, and those of each cohort.
    updates_saved: (u64, Vec<u64>),
    speed: Speed,
    /// Since when this process goes on with the run, and the seconds of it before that.
    clock: Option<(Instant, f64)>,
    under_way: UnderWay,
    /// Whether a step was made in this process.
    is_warm: bool,
}

/// What of a run has begun in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum UnderWay {
    #[default]
    Nothing,
    Told,
    Steps,
}

/// How far a run is: two checkpoints of equal progress are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    steps: u64,
    evaluation_due: bool,
    resume: ResumePoint,
    evaluations: usize,
    is_averaged: bool,
    /// Whether statistics of what is exported, and of the last state, were computed anew.
    reestimated: [bool; 2],
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
        settings.check(program)?;
        let settings = settings.watching();
        let runner = StepRunner::open(program, device, &settings.step)?;
        Ok(Self {
            runner,
            history: History::of(&settings.metrics),
            wait: Wait::default(),
            kept: KeptStates::new(settings.loop_settings.average, Vec::new()),
            settings,
            epoch: 0,
            resume: None,
            evaluation_due: false,
            best: None,
            best_generation: None,
            finals: Finals::default(),
            newest_checkpoint: None,
            saved: None,
            writer: Writer::default(),
            being_saved: Vec::new(),
            generation: 0,
            updates_saved: (0, Vec::new()),
            speed: Speed::default(),
            clock: None,
            under_way: UnderWay::default(),
            is_warm: false,
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
        settings.check(program)?;
        let settings = settings.watching();
        let runner = StepRunner::open(program, device, &settings.step)?;
        for Differing { name, saved, now } in settings.differing(&runner, &checkpoint.manifest) {
            require_same(&checkpoint.path, &name, &saved, &now)?;
        }
        Self::at(runner, settings, checkpoint)
    }

    /// Where a checkpoint stands that these settings fit.
    fn at(mut runner: StepRunner, settings: TrainerSettings, checkpoint: Checkpoint) -> Result<Self, TrainingError> {
        let (mut manifest, mut state) = (checkpoint.manifest, checkpoint.state);
        if let (None, Some(averaging)) = (manifest.averaged, settings.step.averaging) {
            // older builds did not note it, and took the end of each epoch
            state.averaged = averaging.taken_of(manifest.resume.epoch);
        }
        runner.set_parameters(checkpoint.parameters)?;
        runner.set_state(state)?;
        manifest.history.complete();
        let rule = settings.early_stopping.as_ref();
        let wait = rule.map(|rule| Wait::after(rule, &manifest.history.evaluations, &manifest.history.decides));
        let kept = manifest.kept.into_iter().zip(checkpoint.kept.into_iter().map(Arc::new)).collect();
        let mut this = Self {
            runner,
            kept: KeptStates::new(settings.loop_settings.average, kept),
            settings,
            history: manifest.history,
            wait: wait.unwrap_or_default(),
            epoch: manifest.resume.epoch,
            resume: Some(manifest.resume),
            evaluation_due: manifest.evaluation_due,
            best: checkpoint.best.map(Arc::new),
            best_generation: None,
            finals: Finals { exported: checkpoint.exported.map(Arc::new), last: checkpoint.last.map(Arc::new) },
            newest_checkpoint: Some(checkpoint.path),
            saved: None,
            writer: Writer::default(),
            being_saved: Vec::new(),
            generation: 0,
            updates_saved: (0, Vec::new()),
            speed: Speed::default(),
            clock: None,
            under_way: UnderWay::default(),
            is_warm: false,
        };
        this.saved = this.standing();
        Ok(this)
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

    /// Whether the run is at its end, all evaluations included, and [`Trainer::advance`] would say so.
    pub fn is_finished(&self) -> bool {
        let evaluated = self.history.is_evaluated();
        let is_missing = evaluated && (self.is_evaluation_due() || self.is_average_due());
        let is_missing = is_missing || self.evaluation_due || self.is_reestimation_due();
        self.end_reason().is_some() && !is_missing && self.finished(evaluated).is_ok()
    }

    /// Copies of the parameters as they are now.
    ///
    /// # Errors
    /// The device fails.
    pub fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.runner.parameters()
    }

    /// Copies of the parameters that are exported: the mean of several evaluated states where that is asked for, or those of
    /// the best evaluation; as they are now when there was none. Where an average of the weights is kept, it is that. Running
    /// statistics that are computed anew at the end of a run are among them from then on.
    ///
    /// # Errors
    /// The device fails.
    pub fn best_parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        if let Some(exported) = &self.finals.exported {
            return Ok(exported.to_vec());
        }
        if let Some(mean) = self.kept.mean() {
            return Ok(mean);
        }
        self.best.as_ref().map_or_else(|| self.runner.averaged_parameters(), |best| Ok(best.to_vec()))
    }

    /// Copies of the parameters as they are now, or of the average of the weights where one is kept.
    ///
    /// # Errors
    /// The device fails.
    pub fn last_parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.finals.last.as_ref().map_or_else(|| self.runner.averaged_parameters(), |last| Ok(last.to_vec()))
    }

    /// Of a run that is at its end before the average of its weights began: the first epoch, from 0, whose end it takes. What
    /// was evaluated and is exported are the weights themselves then.
    pub fn missed_average(&self) -> Option<u64> {
        let first = self.settings.step.averaging.and_then(Averaging::first_epoch)?;
        (self.runner.averaged() == 0 && self.end_reason().is_some()).then_some(first)
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

    /// Trains as far as `until` says, or until the run is at its end or `stop` says so; it is asked after each step and each
    /// evaluated batch. With an evaluation the weights as they are given are evaluated before the first step, for the others
    /// to be held against. Where a run stands still in between changes nothing of it; the batches are to be those of one
    /// stream. Checkpoints are written beside the steps; when it returns, all are on the disk.
    ///
    /// # Errors
    /// A batch fails, does not fit the graph, or gives a loss or gradient that is not finite; the batches end before the
    /// epochs do; at the end no evaluation had a loss that is a number; ONNX Runtime or the disk fails. Where
    /// the batches are to blame a checkpoint is saved first.
    pub fn advance(
        &mut self,
        until: Until,
        batches: &mut dyn BatchSource,
        evaluation: Option<&mut EvaluationBatches<'_>>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        match evaluation {
            Some(open) => self.advance_with(until, batches, &mut [EvaluationSet { name: "", open }], observer, stop),
            None => self.advance_with(until, batches, &mut [], observer, stop),
        }
    }

    /// As [`Trainer::advance`], with several sets of evaluation rows. The first decides which state is the best and when the
    /// run gets no better; what is found on the others is told and recorded.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn advance_with(
        &mut self,
        until: Until,
        batches: &mut dyn BatchSource,
        sets: &mut [EvaluationSet<'_, '_>],
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        self.advance_from(until, batches, RunSources { sets, statistics: None }, observer, stop)
    }

    /// As [`Trainer::advance`], with all rows that a run can go through beside its training rows.
    ///
    /// # Errors
    /// As [`Trainer::advance`]; or running statistics are to be computed anew, and there are no rows for them.
    pub fn advance_from(
        &mut self,
        until: Until,
        batches: &mut dyn BatchSource,
        mut sources: RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        if self.under_way == UnderWay::Nothing {
            self.tell_start(observer);
            self.under_way = UnderWay::Told;
        }
        let ending = self.train(until, batches, &mut sources, observer, stop);
        ending.map_err(|error| self.leave_behind(error, observer))
    }

    /// Saves a checkpoint of where the run stands, unless the newest one is of there.
    ///
    /// # Errors
    /// A parameter is not a number, or the disk fails.
    pub fn save_checkpoint(&mut self, observer: &mut dyn Observer) -> Result<Option<PathBuf>, TrainingError> {
        self.save(observer)?;
        self.settle(observer)?;
        Ok(self.newest_checkpoint.clone().filter(|_| self.saved == self.standing()))
    }

    fn tell_start(&self, observer: &mut dyn Observer) {
        observer.observe(&Event::Started {
            step: self.history.steps,
            total_steps: self.total_steps(),
            epoch: self.epoch,
            epochs: self.settings.epochs,
            steps_per_epoch: self.settings.steps_per_epoch(),
        });
        if let Some(message) = self.runner.warning() {
            observer.observe(&Event::Warning { message });
        }
    }

    fn train(
        &mut self,
        until: Until,
        batches: &mut dyn BatchSource,
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        self.clock = Some((Instant::now(), self.history.seconds));
        if !self.evaluate_start(sources, observer, stop)? {
            return self.interrupted(observer);
        }
        let started_steps = Instant::now();
        loop {
            self.take_written(observer)?;
            self.note_time();
            if !sources.sets.is_empty() && self.is_evaluation_due() && !self.evaluate_here(sources, observer, stop)? {
                return self.interrupted(observer);
            }
            if self.evaluation_due {
                self.finish_epoch(observer)?;
            }
            if let Some(reason) = self.end_reason() {
                return self.end(reason, sources, observer, stop);
            }
            if self.has_reached(until) {
                self.settle(observer)?;
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
                self.history.timing.first_batch = started_steps.elapsed().as_secs_f64();
            }
            let (before, spent) = (self.history.steps, self.history.under_way.seconds);
            let batch = self.step(batch, waited, batches, observer)?;
            if !self.is_warm {
                self.history.timing.warm_up += self.history.under_way.seconds - spent;
                self.history.timing.warm_up_steps += self.history.steps - before;
                self.is_warm = self.history.steps > before;
            }
            if first {
                self.history.timing.first_step = started_steps.elapsed().as_secs_f64();
                self.under_way = UnderWay::Steps;
            }
            self.evaluation_due = batch.resume.epoch != self.epoch;
            if self.evaluation_due && self.runner.take_into_average(self.epoch)? {
                self.generation += 1;
            }
            self.epoch = batch.resume.epoch;
            self.resume = Some(batch.resume.clone());
            drop(batch);
            if !self.evaluation_due && self.history.steps > before && self.is_checkpoint_due() {
                self.save(observer)?;
            }
        }
    }

    /// Puts the time of the run so far on record.
    fn note_time(&mut self) {
        if let Some((since, before)) = self.clock {
            self.history.seconds = before + since.elapsed().as_secs_f64();
        }
    }

    /// The run is at its end: what is still missing is made, and all is on the disk.
    fn end(
        &mut self,
        reason: EndReason,
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ending, TrainingError> {
        if !sources.sets.is_empty() && self.is_average_due() && !self.evaluate_average(sources, observer, stop)? {
            return self.interrupted(observer);
        }
        if self.is_reestimation_due() && !self.reestimate_finals(sources, observer, stop)? {
            return self.interrupted(observer);
        }
        self.save(observer)?;
        self.settle(observer)?;
        let ending = self.finished(!sources.sets.is_empty())?;
        observer.observe(&Event::Finished { step: self.history.steps, reason });
        Ok(ending)
    }

    /// Why the run is at its end, if it is. Where it would end anyway, that it got no better is no reason.
    pub fn end_reason(&self) -> Option<EndReason> {
        let (history, course) = (&self.history, &self.settings.loop_settings);
        if self.epoch >= self.settings.epochs {
            return Some(EndReason::Epochs);
        }
        if course.max_steps.is_some_and(|most| history.steps >= most) {
            return Some(EndReason::MaxSteps);
        }
        // However short the time is, something is learned.
        if history.steps > 0 && course.max_seconds.is_some_and(|most| history.seconds >= most) {
            return Some(EndReason::MaxTime);
        }
        let rule = self.settings.early_stopping.filter(|_| !self.evaluation_due);
        rule.is_some_and(|rule| rule.is_over(&self.wait)).then_some(EndReason::NoGain)
    }

    fn has_reached(&self, until: Until) -> bool {
        match until {
            Until::Step(steps) => self.history.steps >= steps,
            Until::Epoch(epochs) => self.history.epochs.len() as u64 >= epochs,
            Until::End => false,
        }
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
        // A failure to save is less to the point than the error at hand, which then names an older checkpoint.
        if matches!(error, Batches { .. } | BatchesEnded { .. } | Input { .. } | NothingLabelled) {
            let _ = self.save(observer);
        }
        let _ = self.settle(observer);
        if let Some(checkpoint) = error.checkpoint_mut() {
            checkpoint.clone_from(&self.newest_checkpoint);
        }
        error
    }

    /// Number of the epoch that is not on record yet, from 0.
    fn epoch_under_way(&self) -> u64 {
        self.history.epochs.last().map_or(0, |epoch| epoch.epoch + 1)
    }

    fn note_early_end(&mut self) {
        let is_early = self.end_reason() == Some(EndReason::NoGain);
        self.history.stopped_early = is_early.then_some(self.settings.epochs);
    }
}
