//! Evaluations of a run: when they are due, what they find, which state is the best.

use std::sync::Arc;
use std::time::Instant;

use super::Trainer;
use crate::TrainingError;
use crate::divergence;
use crate::evaluation_record::{AveragedRecord, EvaluationRecord, ReestimatedRecord, SetEvaluation};
use crate::evaluator::{self, RunSources};
use crate::loop_settings::EvaluationInterval;
use crate::metrics::Evaluation;
use crate::observers::{EndReason, Event, Observer};
use crate::record::Best;
use crate::reestimation::{Statistics, reestimate};
use crate::session::StepRunner;
use crate::until::Ending;

/// What an evaluation found.
pub(super) struct Found {
    /// On the set that decides.
    pub(super) evaluation: Evaluation,
    pub(super) others: Vec<SetEvaluation>,
    /// The running statistics that were computed anew for it.
    pub(super) statistics: Option<Statistics>,
}

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
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let (epoch, ends_epoch) = (self.epoch_under_way(), self.evaluation_due);
        // An evaluation may take long and may fail: the steps are not to be lost by it.
        self.save(observer)?;
        observer.observe(&Event::EvaluationStarted { epoch });
        // those that follow the batches are not those of an average
        let reestimates = self.reestimates() && self.runner.has_average();
        let Some(found) = self.evaluate(None, sources, Some(epoch), reestimates, observer, stop)? else {
            return Ok(false);
        };
        let Found { evaluation: evaluated, others, statistics } = found;
        let of_epoch = self.history.under_way.steps as f64 / self.settings.steps_per_epoch().max(1) as f64;
        self.history.evaluations.push(EvaluationRecord {
            step: self.history.steps,
            epoch,
            passes: epoch as f64 + if ends_epoch { 1.0 } else { of_epoch.min(1.0) },
            ends_epoch,
            figures: (&evaluated).into(),
            others: others.iter().map(|set| (set.name.clone(), (&set.evaluation).into())).collect(),
            statistics_rows: statistics.as_ref().map(|statistics| statistics.rows),
        });
        if let Some(rule) = &self.settings.early_stopping {
            let decides = &self.history.decides;
            self.wait.add(rule, evaluated.figure(&decides.name), decides);
        }
        self.tell_schedule(epoch, &evaluated);
        let better_than_start = self.history.is_better_than_start(&evaluated);
        let best = self.note_if_best(epoch, &evaluated, &others, statistics.as_ref())? && better_than_start;
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
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let Some(mut mean) = self.kept.mean() else { return Ok(true) };
        let epoch = self.epoch_under_way().saturating_sub(1);
        observer.observe(&Event::EvaluationStarted { epoch });
        let evaluated = self.evaluate(Some(mean.clone()), sources, Some(epoch), self.reestimates(), observer, stop)?;
        let Some(Found { evaluation, others, statistics }) = evaluated else { return Ok(false) };
        if let Some(statistics) = statistics {
            statistics.write_into(&self.runner.manifest().parameters, &mut mean);
            self.finals.exported = Some(Arc::new(mean));
            let rows = statistics.rows;
            self.history.reestimated = Some(ReestimatedRecord { rows, evaluation: None, others: Vec::new() });
        }
        let steps = self.kept.records().into_iter().map(|record| record.step).collect();
        let record = self.history.averaged.insert(AveragedRecord { steps, evaluation, others });
        observer.observe(&Event::AverageEvaluated(record));
        if let Some(reestimated) = &self.history.reestimated {
            observer.observe(&Event::Reestimated(reestimated));
        }
        if !divergence::is_finite(&record.evaluation) {
            let message = not_finite("of the mean of several states", &record.evaluation);
            observer.observe(&Event::Warning { message: &message });
        }
        Ok(true)
    }

    /// Evaluates the weights before the first step on the set that decides; `false` when it was stopped before that was done.
    pub(super) fn evaluate_start(
        &mut self,
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        if sources.sets.is_empty() || self.history.steps > 0 || self.history.start.is_some() {
            return Ok(true);
        }
        let Some(Found { evaluation: evaluated, .. }) = self.evaluate(None, sources, None, false, observer, stop)?
        else {
            return Ok(false);
        };
        self.history.start = Some((&evaluated).into());
        observer.observe(&Event::StartEvaluated { evaluation: &evaluated });
        if !divergence::is_finite(&evaluated) {
            observer.observe(&Event::Warning { message: &not_finite("before the first step", &evaluated) });
        }
        Ok(true)
    }

    /// Evaluates parameters, or else the weights as they are, or their average where one is kept, on all sets, of which the first is
    /// set apart; before the first step (no `epoch`) on that alone. `reestimates`: with running statistics that are computed anew,
    /// which stay behind where the weights are evaluated as they are. `None` when it was stopped.
    pub(super) fn evaluate(
        &mut self,
        parameters: Option<Vec<Vec<f32>>>,
        sources: &mut RunSources<'_, '_, '_>,
        epoch: Option<u64>,
        reestimates: bool,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Found>, TrainingError> {
        let started = Instant::now();
        let evaluations_left = self.evaluations_left();
        let seconds_of_steps = self.speed.seconds_for(self.steps_left(), 0);
        let (metrics, classes, step) = (&self.settings.metrics, &self.settings.classes, self.history.steps);
        let writer = &mut self.writer;
        let work = |runner: &mut StepRunner| {
            let statistics = match reestimates {
                false => None,
                true => match reestimate(runner, sources, step, observer, stop)? {
                    None => return Ok(None),
                    found => found,
                },
            };
            let (mut found, mut before) = (Vec::new(), 0);
            let sets = if epoch.is_none() { 1 } else { sources.sets.len() };
            for set in sources.sets.iter_mut().take(sets) {
                let mut batches = (set.open)().map_err(TrainingError::batches)?;
                let mut of_set = 0;
                let mut progress = |rows| {
                    of_set = rows;
                    let (rows, seconds) = (before + rows, started.elapsed().as_secs_f64());
                    let of_rows = Event::EvaluationBatch { epoch, rows, seconds, seconds_of_steps, evaluations_left };
                    observer.observe(&of_rows);
                    // however long it takes, the steps in front of it are on the disk soon
                    writer.go_on();
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
            Ok(Some((found, statistics)))
        };
        let found = match parameters {
            Some(parameters) => self.runner.with_parameters(parameters, work),
            None => self.runner.with_average(work),
        };
        self.note_time();
        let Some((mut found, statistics)) = found? else { return Ok(None) };
        let seconds = started.elapsed().as_secs_f64();
        self.history.timing.evaluation += seconds;
        self.speed.add_evaluation(seconds);
        if found.is_empty() {
            return Err(TrainingError::NothingLabelled);
        }
        let evaluation = found.remove(0).evaluation;
        Ok(Some(Found { evaluation, others: found, statistics }))
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
        statistics: Option<&Statistics>,
    ) -> Result<bool, TrainingError> {
        let best = divergence::is_finite(evaluation) && self.history.is_beaten_by(evaluation);
        let is_kept = self.kept.takes(evaluation, &self.history.decides);
        if !best && !is_kept {
            return Ok(false);
        }
        let mut parameters = self.runner.averaged_parameters()?;
        if let Some(statistics) = statistics {
            statistics.write_into(&self.runner.manifest().parameters, &mut parameters);
        }
        let (step, parameters) = (self.history.steps, Arc::new(parameters));
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
