use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::clock::now;
use super::journal_file::JournalFile;
use crate::SearchError;
use crate::study::Event;

/// A thread that says in a journal that a worker lives. It ends when it is dropped.
#[derive(Debug)]
pub struct Heart {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), SearchError>>>,
}

impl Heart {
    pub(super) fn start(path: &Path, worker: String, every: Duration) -> Result<Self, SearchError> {
        let mut file = JournalFile::open(path)?;
        let (stop, stopped) = channel();
        let beat = move || loop {
            match stopped.recv_timeout(every) {
                Err(RecvTimeoutError::Timeout) => file.locked(|file| {
                    file.news()?;
                    file.append(&Event::Alive { worker: worker.clone(), time: now() }, false)
                })?,
                _ => return Ok(()),
            }
        };
        let thread = std::thread::Builder::new().name("heart".into()).spawn(beat);
        let thread = thread.map_err(|source| SearchError::File { path: PathBuf::from(path), source })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Of a worker that nobody listens to.
    pub(super) fn silent() -> Self {
        Self { stop: None, thread: None }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It could not write to the journal; then the trial may have been taken for lost.
    pub fn stop(mut self) -> Result<(), SearchError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), SearchError> {
        drop(self.stop.take());
        // A thread that panicked has nothing to say; that it was silent is found out by others.
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())))
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        // Who wants to know calls `stop`.
        let _ = self.end();
    }
}
