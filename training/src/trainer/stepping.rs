//! One step, and what is told and put on record of it and of the epoch that it ends.

use std::time::Instant;

use millstream_schemas::Batch;

use super::Trainer;
use crate::TrainingError;
use crate::batches::BatchSource;
use crate::kept_states::Finals;
use crate::loop_settings::NonFinite;
use crate::made_step::{MadeStep, WantedStep};
use crate::metrics::Evaluation;
use crate::observers::{Event, Observer, StepEvent};
use crate::pace::PacePoint;
use crate::record::{EpochProgress, EpochRecord};
use crate::session::StepOutcome;

impl Trainer {
    /// The learning rate of the next step, before multipliers.
    pub fn learning_rate(&self) -> f32 {
        let base = f64::from(self.settings.step.optimizer.learning_rate());
        let factor = self.settings.schedule.factor(self.history.steps, self.settings.run_length());
        let of_evaluations = self.history.plateau.as_ref().map_or(1.0, |plateau| plateau.factor);
        (base * factor * of_evaluations) as f32
    }

    /// Lets a schedule that follows the evaluations know of one.
    pub(super) fn tell_schedule(&mut self, epoch: u64, evaluation: &Evaluation) {
        let Some(rule) = self.settings.schedule.plateau() else { return };
        let (base, decides) = (f64::from(self.settings.step.optimizer.learning_rate()), &self.history.decides);
        let figure = evaluation.figure(&decides.name);
        self.history.plateau.get_or_insert_default().add(&rule, figure, decides, (base, epoch));
    }

    pub(super) fn step(
        &mut self,
        batch: Batch,
        waited: f64,
        batches: &mut dyn BatchSource,
        observer: &mut dyn Observer,
    ) -> Result<Batch, TrainingError> {
        let learning_rate = self.learning_rate();
        self.runner.freeze_at(self.epoch, self.history.steps)?;
        let stops = self.settings.loop_settings.non_finite == NonFinite::Stop;
        let wanted = WantedStep { most: self.settings.accumulate, epoch: self.epoch, learning_rate, stops };
        let (epoch, epochs, steps) = (self.epoch + 1, self.settings.epochs, self.history.steps);
        let mut next = || {
            let asked = Instant::now();
            let ended = || TrainingError::BatchesEnded { epoch, epochs, steps, checkpoint: None };
            let batch = batches.next_batch().ok_or_else(ended)?.map_err(TrainingError::batches)?;
            Ok((batch, asked.elapsed().as_secs_f64()))
        };
        let made = MadeStep::make(&mut self.runner, (batch, waited), wanted, &mut next)?;
        self.history.timing.waiting += made.waited;
        self.history.under_way.seconds += made.waited;
        if made.outcome.rows == 0 {
            // the graph may have run to find that nothing has weight
            let seconds = made.outcome.seconds_in_graph;
            self.history.timing.graph += seconds;
            self.history.under_way.seconds += seconds;
            return Ok(made.batch);
        }
        if !made.outcome.updated && !made.outcome.skipped {
            return self.without_update(made, observer);
        }
        self.generation += 1;
        // of a run that was at its end and goes on
        (self.finals, self.history.reestimated) = (Finals::default(), None);
        let MadeStep { batch, outcome, rows, waited, .. } = made;
        self.history.loss_scale = outcome.loss_scale;
        let batches_waiting = batches.waiting();
        let StepOutcome { loss, rows: counted, weight, seconds_in_graph, seconds_in_update, gradient_norm, .. } =
            outcome;
        let history = &mut self.history;
        history.steps += 1;
        if outcome.updated {
            history.skipped_updates.in_a_row = 0;
        }
        history.curve.add(history.steps, f64::from(loss), f64::from(learning_rate));
        let seconds = waited + seconds_in_graph + seconds_in_update;
        history.pace.add(PacePoint { step: history.steps, rows: rows as u64, seconds, waiting: waited });
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
        self.speed.add(rows, seconds);
        let seconds_left = self.speed.seconds_for(self.steps_left(), self.evaluations_left());
        let time_left = self.settings.loop_settings.max_seconds.map(|most| (most - self.history.seconds).max(0.0));
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
            seconds_left: time_left.map_or(seconds_left, |time| time.min(seconds_left)),
            gradient_norm,
        }));
        if let Some(divergence) = self.history.loss_watch.found().filter(|_| diverged) {
            observer.observe(&Event::Warning { message: &divergence.to_string() });
        }
        Ok(batch)
    }

    /// Leaves an update out that would not be one of numbers, or ends the run by it.
    pub(super) fn without_update(
        &mut self,
        made: MadeStep,
        observer: &mut dyn Observer,
    ) -> Result<Batch, TrainingError> {
        let named = made.named();
        let MadeStep { batch, outcome, .. } = made;
        let StepOutcome { loss, gradient_norm, seconds_in_graph, seconds_in_update, .. } = outcome;
        let (step, gradient_norm) = (self.history.steps + 1, gradient_norm.filter(|_| loss.is_finite()));
        let error = |rows| match gradient_norm {
            Some(norm) => TrainingError::NonFiniteGradient { step, norm, rows, checkpoint: None },
            None => TrainingError::NonFiniteLoss { step, loss, rows, checkpoint: None },
        };
        let NonFinite::Skip { most_in_a_row: most } = self.settings.loop_settings.non_finite else {
            return Err(error(named));
        };
        let history = &mut self.history;
        history.timing.graph += seconds_in_graph;
        history.timing.update += seconds_in_update;
        history.under_way.seconds += seconds_in_graph + seconds_in_update;
        history.skipped_updates.total += 1;
        history.skipped_updates.in_a_row += 1;
        let skipped = history.skipped_updates;
        observer.observe(&Event::UpdateSkipped { step, loss, gradient_norm, rows: &named, skipped });
        let in_a_row = skipped.in_a_row;
        if in_a_row > most {
            return Err(TrainingError::TooManySkipped { in_a_row, most, source: Box::new(error(named)) });
        }
        Ok(batch)
    }

    /// Puts the epoch that has ended on record, and saves.
    pub(super) fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let (epoch, evaluations) = (self.epoch_under_way(), &self.history.evaluations);
        let last = evaluations.last().filter(|record| record.step == self.history.steps);
        let evaluation = last.map(|record| record.figures.clone());
        let EpochProgress { steps, rows, weight, weighted_loss, seconds } = std::mem::take(&mut self.history.under_way);
        let training_loss = weighted_loss / weight;
        self.history.epochs.push(EpochRecord { epoch, steps, rows, training_loss, seconds, evaluation });
        self.evaluation_due = false;
        self.note_early_end();
        observer.observe(&Event::EpochEnded(&self.history.epochs[self.history.epochs.len() - 1]));
        self.save(observer)
    }
}
