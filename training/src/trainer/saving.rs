//! Checkpoints of a run: copies are taken between two steps, and written beside those that follow.

use std::sync::Arc;
use std::time::Instant;

use super::{Progress, Trainer};
use crate::TrainingError;
use crate::checkpoint::{CheckpointManifest, Contents, Failed, SavedParameter, Snapshot, Written};
use crate::observers::{Event, Observer};
use crate::optimizers::Averaging;
use crate::until::Ending;

impl Trainer {
    /// How far the run is; nothing before its first batch.
    pub(super) fn standing(&self) -> Option<Progress> {
        Some(Progress {
            steps: self.history.steps,
            evaluation_due: self.evaluation_due,
            resume: self.resume.clone()?,
            evaluations: self.history.evaluations.len(),
            is_averaged: self.history.averaged.is_some(),
            reestimated: [self.finals.exported.is_some(), self.finals.last.is_some()],
        })
    }

    pub(super) fn interrupted(&mut self, observer: &mut dyn Observer) -> Result<Ending, TrainingError> {
        let checkpoint = self.save_checkpoint(observer)?;
        Ok(Ending::Interrupted { checkpoint })
    }

    /// Begins to save a checkpoint, if any are wanted and there is something new; waits for the one before. Parameters must be
    /// finite even if no checkpoints are wanted.
    pub(super) fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let Some(now) = self.standing() else { return Ok(()) };
        if [&self.saved, &self.being_saved].contains(&&Some(now.clone())) {
            return Ok(());
        }
        let Some(settings) = self.settings.checkpoints.clone() else {
            return self.finite_parameters().map(|_| ());
        };
        self.settle(observer)?;
        let started = Instant::now();
        let contents = match self.writer.files_of(now.steps, self.generation) {
            Some(files) => Contents::AsBefore(files),
            None => Contents::New { parameters: self.finite_parameters()?, state: self.runner.state()? },
        };
        let (entries, states) = (self.runner.manifest().parameters.iter(), self.runner.state_tensors());
        let (updates, cohorts) = match &contents {
            Contents::New { state, .. } => (state.updates, state.cohorts.clone()),
            Contents::AsBefore(_) => self.updates_saved.clone(),
        };
        let ends = self.settings.step.averaging.and_then(Averaging::first_epoch);
        let averaged = ends.map(|_| self.runner.averaged());
        let manifest = CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step: now.steps,
            resume: now.resume.clone(),
            settings: self.settings.deciding(&self.runner),
            updates,
            cohorts: cohorts.clone(),
            averaged,
            evaluation_due: now.evaluation_due,
            parameters: entries.zip(states).map(|(entry, state)| SavedParameter::of(entry, state)).collect(),
            kept: self.kept.records(),
            files: Vec::new(),
            history: self.history.clone(),
        };
        let best = self.best.as_ref().filter(|_| self.best_generation != Some(self.generation)).map(Arc::clone);
        let (kept, finals) = (self.kept.parameters(), self.finals.clone());
        let snapshot = Snapshot { manifest, contents, best, kept, finals };
        self.writer.start(&settings, snapshot, self.generation)?;
        (self.being_saved, self.updates_saved) = (Some(now), (updates, cohorts));
        self.history.timing.checkpoints += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Waits until the checkpoint that is being written is on the disk.
    pub(super) fn settle(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let started = Instant::now();
        let Some(outcome) = self.writer.wait() else { return Ok(()) };
        self.history.timing.checkpoints += started.elapsed().as_secs_f64();
        self.take(outcome, observer)
    }

    /// Notes that a checkpoint is on the disk, where one is that was not before.
    pub(super) fn take_written(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        self.writer.poll().map_or(Ok(()), |outcome| self.take(outcome, observer))
    }

    fn take(&mut self, outcome: Result<Written, Failed>, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let progress = self.being_saved.take();
        let Written { path, step, seconds, .. } = outcome.map_err(|Failed { step, source }| {
            let checkpoint = self.newest_checkpoint.clone();
            TrainingError::NotSaved { step, source: Box::new(source), checkpoint }
        })?;
        observer.observe(&Event::CheckpointSaved { path: &path, step, seconds });
        (self.newest_checkpoint, self.saved) = (Some(path), progress);
        Ok(())
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
