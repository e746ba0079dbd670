//! Checkpoints are written while training goes on: by a thread of their own, one at a time.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Instant;

use super::save::{Snapshot, save};
use super::{CheckpointSettings, SavedFile};
use crate::TrainingError;

/// A checkpoint that is on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Its folder.
    pub(crate) path: PathBuf,
    pub(crate) step: u64,
    /// Which parameters and state it holds, as whoever saves counts them.
    pub(crate) generation: u64,
    pub(crate) files: Vec<SavedFile>,
    /// Seconds that it took to write.
    pub(crate) seconds: f64,
}

/// A checkpoint that could not be written.
pub(crate) struct Failed {
    pub(crate) step: u64,
    pub(crate) source: TrainingError,
}

type Outcome = Result<Written, Failed>;

/// Writes checkpoints. When it is dropped the one that is being written is finished first.
#[derive(Default)]
pub(crate) struct Writer {
    writing: Option<JoinHandle<Outcome>>,
    last: Option<Written>,
}

impl Writer {
    /// Begins to write; the one before must have been waited for.
    pub(crate) fn start(
        &mut self,
        settings: &CheckpointSettings,
        snapshot: Snapshot,
        generation: u64,
    ) -> Result<(), TrainingError> {
        let (CheckpointSettings { folder, keep, .. }, started) = (settings.clone(), Instant::now());
        let write = move || {
            let step = snapshot.manifest.step;
            let (path, files) = save(&folder, snapshot, keep).map_err(|source| Failed { step, source })?;
            Ok(Written { path, step, generation, files, seconds: started.elapsed().as_secs_f64() })
        };
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(write);
        self.writing = Some(thread.map_err(TrainingError::io("start a thread for", "checkpoint"))?);
        Ok(())
    }

    /// What became of the one that was being written, where that is known without waiting.
    pub(crate) fn poll(&mut self) -> Option<Outcome> {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) { self.wait() } else { None }
    }

    /// Waits for the one that is being written.
    pub(crate) fn wait(&mut self) -> Option<Outcome> {
        let outcome = match self.writing.take()?.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.last = outcome.as_ref().ok().cloned();
        Some(outcome)
    }

    /// The files of the last one, where it is of this step, holds these parameters and state, and is still there.
    pub(crate) fn files_of(&self, step: u64, generation: u64) -> Option<Vec<SavedFile>> {
        let last = self.last.as_ref().filter(|last| (last.step, last.generation) == (step, generation))?;
        last.files.iter().all(|file| last.path.join(&file.name).exists()).then(|| last.files.clone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.writing.take() {
            // Nobody is left who could be told.
            let _ = thread.join();
        }
    }
}
