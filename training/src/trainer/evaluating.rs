//! Evaluations of a run: when they are due, what they find, which state is the best.

use std::sync::Arc;
use std::time::Instant;

use super::Trainer;
use crate::TrainingError;
use crate::divergence;
use crate::evaluation_record::{AveragedRecord, EvaluationRecord, SetEvaluation};
use crate::evaluator::{self, EvaluationSet};
use crate::loop_settings::EvaluationInterval;
use crate::metrics::Evaluation;
use crate::observers::{EndReason, Event, Observer};
use crate::record::Best;
use crate::session::StepRunner;
use crate::until::Ending;

impl Trainer {
    /// Whether the state as it is has an evaluation to come: by the interval, or because the run is at its end. That it has
    /// got no better ends a run at an evaluation only.
    pub(super) fn is_evaluation_due(&self) -> bool {
        let steps = self.history.steps;
        if steps == 0 || self.history.evaluations.last().is_some_and(|record| record.step == steps) {
            return false;
        }
        let by_interval = match self.settings.loop_settings.evaluate_every {
            EvaluationInterval::Steps(every) => steps.is_multiple_of(every.max(1)),
            EvaluationInterval::Epochs(every) => self.evaluation_due && self.epoch.is_multiple_of(every.max(1)),
        };
        by_interval || self.end_reason().is_some_and(|reason| reason != EndReason::NoGain)
    }

    /// Whether the mean of several states has its evaluation to come.
    pub(super) fn is_average_due(&self) -> bool {
        self.kept.is_wanted() && self.history.averaged.is_none() && !self.kept.records().is_empty()
    }

    /// Evaluations that come until the run's end, the one at its end included.
    pub(super) fn evaluations_left(&self) -> u64 {
        // all multiples that are not done yet, and the end
        let between = |done: u64, end: u64, every: u64| match end > done {
            true => end.div_ceil(every.max(1)) - done / every.max(1),
            false => 0,
        };
        match self.settings.loop_settings.evaluate_every {
            EvaluationInterval::Steps(every) => between(self.history.steps, self.total_steps(), every),
            EvaluationInterval::Epochs(every) => {
                let epochs = self.steps_left().div_ceil(self.settings.steps_per_epoch().max(1));
                between(self.epoch, self.settings.epochs.min(self.epoch + epochs), every)
            }
        }
    }

    /// Evaluates the state as it is and puts that on record; `false` when it was stopped before that was done.
    pub(super) fn evaluate_here(
        &mut self,
        sets: &mut [EvaluationSet<'_, '_>],
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let (epoch, ends_epoch) = (self.epoch_under_way(), self.evaluation_due);
        // An evaluation may take long and may fail: the steps are not to be lost by it.
        self.save(observer)?;
        observer.observe(&Event::EvaluationStarted { epoch });
        let Some((evaluated, others)) = self.evaluate(None, sets, Some(epoch), observer, stop)? else {
            return Ok(false);
        };
        let of_epoch = self.history.under_way.steps as f64 / self.settings.steps_per_epoch().max(1) as f64;
        self.history.evaluations.push(EvaluationRecord {
            step: self.history.steps,
            epoch,
            passes: epoch as f64 + if ends_epoch { 1.0 } else { of_epoch.min(1.0) },
            ends_epoch,
            figures: (&evaluated).into(),
            others: others.iter().map(|set| (set.name.clone(), (&set.evaluation).into())).collect(),
        });
        self.tell_schedule(epoch, &evaluated);
        let better_than_start = self.history.is_better_than_start(&evaluated);
        let best = self.note_if_best(epoch, &evaluated, &others)? && better_than_start;
        let others = others.as_slice();
        observer.observe(&Event::Evaluated {
            epoch,
            ends_epoch,
            evaluation: &evaluated,
            others,
            best,
            better_than_start,
        });
        if !divergence::is_finite(&evaluated) {
            let when = if ends_epoch {
                format!("after epoch {}", epoch + 1)
            } else {
                format!("after step {}", self.history.steps)
            };
            let message = format!("{}; it is never taken as the best", not_finite(&when, &evaluated));
            observer.observe(&Event::Warning { message: &message });
        }
        // The end of an epoch is saved when that is on record too.
        if !ends_epoch {
            self.note_early_end();
            self.save(observer)?;
        }
        Ok(true)
    }

    /// Evaluates the mean of the kept states; `false` when it was stopped before that was done.
    pub(super) fn evaluate_average(
        &mut self,
        sets: &mut [EvaluationSet<'_, '_>],
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let Some(mean) = self.kept.mean() else { return Ok(true) };
        let epoch = self.epoch_under_way().saturating_sub(1);
        observer.observe(&Event::EvaluationStarted { epoch });
        let evaluated = self.evaluate(Some(mean), sets, Some(epoch), observer, stop)?;
        let Some((evaluation, others)) = evaluated else { return Ok(false) };
        let steps = self.kept.records().into_iter().map(|record| record.step).collect();
        let record = self.history.averaged.insert(AveragedRecord { steps, evaluation, others });
        observer.observe(&Event::AverageEvaluated(record));
        if !divergence::is_finite(&record.evaluation) {
            let message = not_finite("of the mean of several states", &record.evaluation);
            observer.observe(&Event::Warning { message: &message });
        }
        Ok(true)
    }

    /// Evaluates the weights before the first step on the set that decides; `false` when it was stopped before that was done.
    pub(super) fn evaluate_start(
        &mut self,
        sets: &mut [EvaluationSet<'_, '_>],
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        if sets.is_empty() || self.history.steps > 0 || self.history.start.is_some() {
            return Ok(true);
        }
        let Some((evaluated, _)) = self.evaluate(None, &mut sets[..1], None, observer, stop)? else {
            return Ok(false);
        };
        self.history.start = Some((&evaluated).into());
        observer.observe(&Event::StartEvaluated { evaluation: &evaluated });
        if !divergence::is_finite(&evaluated) {
            observer.observe(&Event::Warning { message: &not_finite("before the first step", &evaluated) });
        }
        Ok(true)
    }

    /// Evaluates parameters, or else the weights as they are, on all sets, of which the first is set apart; `None` when it was
    /// stopped.
    fn evaluate(
        &mut self,
        parameters: Option<Vec<Vec<f32>>>,
        sets: &mut [EvaluationSet<'_, '_>],
        epoch: Option<u64>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(Evaluation, Vec<SetEvaluation>)>, TrainingError> {
        let started = Instant::now();
        let evaluations_left = self.evaluations_left();
        let seconds_of_steps = self.speed.seconds_for(self.steps_left(), 0);
        let (metrics, classes) = (&self.settings.metrics, &self.settings.classes);
        let work = |runner: &mut StepRunner| {
            let (mut found, mut before) = (Vec::new(), 0);
            for set in sets {
                let mut batches = (set.open)().map_err(TrainingError::batches)?;
                let mut of_set = 0;
                let mut progress = |rows| {
                    of_set = rows;
                    let (rows, seconds) = (before + rows, started.elapsed().as_secs_f64());
                    let of_rows = Event::EvaluationBatch { epoch, rows, seconds, seconds_of_steps, evaluations_left };
                    observer.observe(&of_rows);
                    !stop()
                };
                let evaluate = |batch| runner.evaluate(batch);
                let Some(evaluation) = evaluator::gather(evaluate, metrics, &mut *batches, classes, &mut progress)?
                else {
                    return Ok(None);
                };
                before += of_set;
                found.push(SetEvaluation { name: set.name.to_owned(), evaluation });
            }
            Ok(Some(found))
        };
        let found = match parameters {
            Some(parameters) => self.runner.with_parameters(parameters, work),
            None => self.runner.with_average(work),
        };
        self.note_time();
        let Some(mut found) = found? else { return Ok(None) };
        let seconds = started.elapsed().as_secs_f64();
        self.history.timing.evaluation += seconds;
        self.speed.add_evaluation(seconds);
        if found.is_empty() {
            return Err(TrainingError::NothingLabelled);
        }
        let first = found.remove(0).evaluation;
        Ok(Some((first, found)))
    }

    /// The run is at its end; one of its evaluations must be fit to be the best where there were any.
    pub(super) fn finished(&self, evaluated: bool) -> Result<Ending, TrainingError> {
        let evaluations = &self.history.evaluations;
        if evaluated && self.history.best.is_none() && !evaluations.is_empty() {
            let (epochs, checkpoint) = (evaluations.len() as u64, self.newest_checkpoint.clone());
            let unit = if evaluations.iter().all(|record| record.ends_epoch) { "epochs" } else { "evaluations" };
            return Err(TrainingError::NonFiniteEvaluations { epochs, unit, checkpoint });
        }
        Ok(Ending::Finished)
    }

    /// Keeps the state as it is where it is the best, or one of those that are averaged; whether it is the best.
    fn note_if_best(
        &mut self,
        epoch: u64,
        evaluation: &Evaluation,
        others: &[SetEvaluation],
    ) -> Result<bool, TrainingError> {
        let best = divergence::is_finite(evaluation) && self.history.is_beaten_by(evaluation);
        let is_kept = self.kept.takes(evaluation, &self.history.decides);
        if !best && !is_kept {
            return Ok(false);
        }
        let (step, parameters) = (self.history.steps, Arc::new(self.runner.averaged_parameters()?));
        if is_kept {
            self.kept.keep(step, evaluation, &self.history.decides, Arc::clone(&parameters));
            // what was found of a mean was of other states
            self.history.averaged = None;
        }
        if best {
            let (loss, figures) = (evaluation.loss, evaluation.figures.clone());
            self.history.best = Some(Best { epoch, step: Some(step), loss, figures });
            self.history.best_evaluation = Some(evaluation.clone());
            self.history.best_others = others.to_vec();
            self.best = Some(parameters);
            // an average is not what is at work
            self.best_generation = (!self.runner.has_average()).then_some(self.generation);
        }
        Ok(best)
    }
}

/// That an evaluation's loss is no number, and how many rows are to blame.
fn not_finite(when: &str, evaluation: &Evaluation) -> String {
    let Evaluation { rows, not_finite, .. } = evaluation;
    if *not_finite == 0 {
        return format!("{when} the loss on the {rows} evaluation rows is no number, although all scores are");
    }
    format!(
        "{when} {not_finite} of {rows} evaluation rows have scores that are no numbers, so their loss is none either"
    )
}
