//! Checkpoints of a run: copies are taken between two steps, and written beside those that follow.

use std::sync::Arc;
use std::time::Instant;

use super::{Progress, Trainer};
use crate::TrainingError;
use crate::checkpoint::{CheckpointManifest, Contents, Failed, SavedParameter, Snapshot, Written};
use crate::observers::{Event, Observer};
use crate::optimizers::{Averaging, StateTensor};
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

    /// Takes a checkpoint, if any are wanted and there is something new, and begins to write it where none is being written. It
    /// waits for the disk where too many wait to be written. Parameters must be finite even if no checkpoints are wanted.
    pub(super) fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let Some(now) = self.standing() else { return Ok(()) };
        if [self.saved.as_ref(), self.being_saved.last().map(|(_, being)| being)].contains(&Some(&now)) {
            return Ok(());
        }
        let Some(settings) = self.settings.checkpoints.clone() else {
            return self.finite_parameters().map(|_| ());
        };
        let (bytes, asked) = (self.bytes_to_save(), Instant::now());
        self.take_written(observer)?;
        while !self.writer.has_room(now.steps, bytes) {
            self.writer.wait();
            self.take_written(observer)?;
        }
        self.history.timing.checkpoints += asked.elapsed().as_secs_f64();
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
        let number = self.writer.add(settings, snapshot, self.generation, bytes);
        self.writer.start();
        self.being_saved.push((number, now));
        self.updates_saved = (updates, cohorts);
        self.history.timing.checkpoints += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Waits until all checkpoints that were taken are on the disk.
    pub(super) fn settle(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let started = Instant::now();
        self.take_written(observer)?;
        while self.writer.wait() {
            self.take_written(observer)?;
        }
        self.history.timing.checkpoints += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Notes that checkpoints are on the disk, where some are that were not before, and begins to write the next.
    pub(super) fn take_written(&mut self, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        while let Some(outcome) = self.writer.take() {
            self.take(outcome, observer)?;
        }
        Ok(())
    }

    fn take(&mut self, outcome: Result<Written, Failed>, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let Written { path, step, number, seconds, .. } = outcome.map_err(|Failed { step, source }| {
            self.being_saved.clear();
            let checkpoint = self.newest_checkpoint.clone();
            TrainingError::NotSaved { step, source: Box::new(source), checkpoint }
        })?;
        observer.observe(&Event::CheckpointSaved { path: &path, step, seconds });
        // those in front of it were left out
        let behind = self.being_saved.partition_point(|(other, _)| *other <= number);
        let progress = self.being_saved.drain(..behind).next_back().map(|(_, progress)| progress);
        (self.newest_checkpoint, self.saved) = (Some(path), progress);
        Ok(())
    }

    /// Bytes of the copies that a checkpoint takes: parameters and state, and the best parameters, which may be others in each.
    fn bytes_to_save(&self) -> usize {
        let parameters = self.runner.manifest().parameters.iter();
        let parameters: usize = parameters.map(|entry| 4 * entry.shape.iter().product::<usize>()).sum();
        let state: usize = self.runner.state_tensors().iter().flatten().map(StateTensor::bytes).sum();
        2 * parameters + state
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
