//! Running statistics of what is exported, computed anew at the end of a run, and of averages whenever they are evaluated.

use std::sync::Arc;

use super::Trainer;
use super::evaluating::Found;
use crate::TrainingError;
use crate::evaluation_record::ReestimatedRecord;
use crate::evaluator::RunSources;
use crate::loop_settings::Reestimation;
use crate::observers::{Event, Observer};
use crate::reestimation::{Statistics, reestimate};

impl Trainer {
    /// Whether running statistics are computed anew.
    pub(super) fn reestimates(&self) -> bool {
        self.settings.loop_settings.reestimation != Reestimation::Nothing
    }

    /// Whether a run at its end has some to compute. One without a state that could be exported has none.
    pub(super) fn is_reestimation_due(&self) -> bool {
        let wants_last = self.settings.loop_settings.reestimation == Reestimation::ExportedAndLast;
        let is_missing = self.finals.exported.is_none() || wants_last && self.finals.last.is_none();
        let has_state = self.history.steps > 0 && (self.best.is_some() || self.history.evaluations.is_empty());
        self.reestimates() && is_missing && has_state
    }

    /// Computes those of what is exported and, where that is wanted, of the last state; what was evaluated with others is evaluated
    /// anew. `false` when it was stopped before that was done.
    pub(super) fn reestimate_finals(
        &mut self,
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        // a pass may take long and may fail: the steps are not to be lost by it
        self.save(observer)?;
        if self.finals.exported.is_none() && !self.reestimate_exported(sources, observer, stop)? {
            return Ok(false);
        }
        let wants_last = self.settings.loop_settings.reestimation == Reestimation::ExportedAndLast;
        if !wants_last || self.finals.last.is_some() {
            return Ok(true);
        }
        let is_last = self.history.best.as_ref().is_none_or(|best| best.step == Some(self.history.steps));
        if is_last && !self.kept.is_wanted() {
            self.finals.last.clone_from(&self.finals.exported);
            return Ok(true);
        }
        let last = self.runner.averaged_parameters()?;
        let found = self
            .with_parameters(&last, |this| reestimate(&mut this.runner, sources, this.history.steps, observer, stop))?;
        let Some(statistics) = found else { return Ok(false) };
        self.finals.last = Some(self.with_statistics(last, &statistics));
        Ok(true)
    }

    fn reestimate_exported(
        &mut self,
        sources: &mut RunSources<'_, '_, '_>,
        observer: &mut dyn Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, TrainingError> {
        let is_best = !self.kept.is_wanted();
        let of_evaluation = self.history.best_record().and_then(|record| record.statistics_rows).filter(|_| is_best);
        let (record, exported) = match (of_evaluation, &self.best) {
            // it was evaluated with statistics of its own
            (Some(rows), Some(best)) => {
                (ReestimatedRecord { rows, evaluation: None, others: Vec::new() }, Arc::clone(best))
            }
            _ => {
                let parameters = self.best_parameters()?;
                let measures = self.best.is_some() && !sources.sets.is_empty();
                let epoch = self.epoch_under_way().saturating_sub(1);
                let found = self.with_parameters(&parameters, |this| match measures {
                    true => Ok(this
                        .evaluate(sources, Some(epoch), true, observer, stop)?
                        .map(|Found { evaluation, others, statistics }| (statistics, Some(evaluation), others))),
                    false => {
                        let found = reestimate(&mut this.runner, sources, this.history.steps, observer, stop)?;
                        Ok(found.map(|statistics| (Some(statistics), None, Vec::new())))
                    }
                })?;
                let Some((Some(statistics), evaluation, others)) = found else { return Ok(false) };
                let record = ReestimatedRecord { rows: statistics.rows, evaluation, others };
                (record, self.with_statistics(parameters, &statistics))
            }
        };
        self.finals.exported = Some(exported);
        observer.observe(&Event::Reestimated(self.history.reestimated.insert(record)));
        self.note_time();
        Ok(true)
    }

    /// Does something with other parameters in the place of those at work, which come back afterwards.
    fn with_parameters<T>(
        &mut self,
        parameters: &[Vec<f32>],
        work: impl FnOnce(&mut Self) -> Result<T, TrainingError>,
    ) -> Result<T, TrainingError> {
        let own = self.runner.parameters()?;
        self.runner.set_parameters(parameters.to_vec())?;
        let done = work(self);
        self.runner.set_parameters(own)?;
        done
    }

    fn with_statistics(&self, mut parameters: Vec<Vec<f32>>, statistics: &Statistics) -> Arc<Vec<Vec<f32>>> {
        statistics.write_into(&self.runner.manifest().parameters, &mut parameters);
        Arc::new(parameters)
    }
}
