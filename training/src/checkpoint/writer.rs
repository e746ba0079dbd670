//! Checkpoints are written while training goes on: by a thread of their own, one at a time, in the order in which they were
//! taken. Steps that are faster than the disk leave some waiting.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Instant;

use super::save::{Contents, Snapshot, save};
use super::{CheckpointSettings, SavedFile};
use crate::TrainingError;

/// How many checkpoints wait at most while another one is written, and how many bytes of copies: then steps wait for the disk.
const MOST_WAITING: usize = 4;
const MOST_BYTES: usize = 8 << 20;

/// A checkpoint that is on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Its folder.
    pub(crate) path: PathBuf,
    pub(crate) step: u64,
    /// As [`Writer::add`] counts them.
    pub(crate) number: u64,
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

/// A checkpoint that is to be written.
struct Job {
    settings: CheckpointSettings,
    snapshot: Snapshot,
    generation: u64,
    number: u64,
    /// That its copies take.
    bytes: usize,
}

impl Job {
    fn step(&self) -> u64 {
        self.snapshot.manifest.step
    }

    fn write(self) -> Outcome {
        let started = Instant::now();
        let (step, Self { settings, snapshot, generation, number, .. }) = (self.step(), self);
        let saved = save(&settings.folder, snapshot, settings.keep);
        let (path, files) = saved.map_err(|source| Failed { step, source })?;
        Ok(Written { path, step, number, generation, files, seconds: started.elapsed().as_secs_f64() })
    }
}

/// Writes checkpoints. When it is dropped the one that is being written is finished first.
pub(crate) struct Writer {
    /// Begins to write one.
    begin: fn(Job) -> io::Result<JoinHandle<Outcome>>,
    writing: Option<JoinHandle<Outcome>>,
    waiting: VecDeque<Job>,
    /// What became of those before, in order, where nobody has asked for it yet.
    done: VecDeque<Outcome>,
    last: Option<Written>,
    added: u64,
}

impl Default for Writer {
    fn default() -> Self {
        let begin = |job: Job| std::thread::Builder::new().name("checkpoint".into()).spawn(move || job.write());
        Self { begin, writing: None, waiting: VecDeque::new(), done: VecDeque::new(), last: None, added: 0 }
    }
}

impl Writer {
    /// Whether copies of so many bytes, of this step, may wait for the disk; they always may where nothing else does.
    pub(crate) fn has_room(&self, step: u64, bytes: usize) -> bool {
        if self.writing.is_none() && self.waiting.is_empty() {
            return true;
        }
        let others = || self.waiting.iter().filter(move |job| job.step() != step);
        others().count() < MOST_WAITING && others().map(|job| job.bytes).sum::<usize>() + bytes <= MOST_BYTES
    }

    /// Lets a checkpoint wait for those before it. One of the same step that waits still, and knows less of the run, is left
    /// out: the folder of that step would have been replaced. Returns its number, which is larger than those before.
    pub(crate) fn add(
        &mut self,
        settings: CheckpointSettings,
        snapshot: Snapshot,
        generation: u64,
        bytes: usize,
    ) -> u64 {
        self.added += 1;
        let job = Job { settings, snapshot, generation, number: self.added, bytes };
        self.waiting.retain(|other| other.step() != job.step());
        self.waiting.push_back(job);
        self.added
    }

    /// Begins to write the next one, unless one is being written.
    pub(crate) fn start(&mut self) {
        if self.writing.is_some() || self.done.iter().any(Result::is_err) {
            return;
        }
        let Some(mut job) = self.waiting.pop_front() else { return };
        let step = job.step();
        if let Some(files) = self.files_of(step, job.generation) {
            job.snapshot.contents = Contents::AsBefore(files);
        }
        match (self.begin)(job) {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => {
                let source = TrainingError::io("start a thread for", "checkpoint")(error);
                self.end(Err(Failed { step, source }));
            }
        }
    }

    /// Begins to write the next one where the one before is done, without a word of that yet.
    pub(crate) fn go_on(&mut self) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.wait();
        }
        self.start();
    }

    /// What became of one of those that were written, where that is known without waiting; where none is left the next one is begun, and
    /// one that cannot be begun is told at once.
    pub(crate) fn take(&mut self) -> Option<Outcome> {
        self.poll().or_else(|| {
            self.start();
            self.done.pop_front()
        })
    }

    /// What became of one of those that were written, where that is known without waiting.
    pub(crate) fn poll(&mut self) -> Option<Outcome> {
        if self.done.is_empty() && self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.wait();
        }
        self.done.pop_front()
    }

    /// Waits for the one that is being written; `false` where none is.
    pub(crate) fn wait(&mut self) -> bool {
        let Some(thread) = self.writing.take() else { return false };
        match thread.join() {
            Ok(outcome) => self.end(outcome),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        true
    }

    /// A run ends where a checkpoint cannot be written: none comes behind it.
    fn end(&mut self, outcome: Outcome) {
        if outcome.is_err() {
            self.waiting.clear();
        }
        self.last = outcome.as_ref().ok().cloned();
        self.done.push_back(outcome);
    }

    /// The files of the last one that was written, where it is of this step, holds these parameters and state, and is still there.
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;

    fn settings(folder: &Path) -> CheckpointSettings {
        CheckpointSettings { folder: folder.to_owned(), every_steps: 1, keep: 3 }
    }

    /// One that writes the first step until it is told what becomes of that.
    fn that_stands_still() -> (Writer, mpsc::Sender<Outcome>) {
        let mut writer = Writer::default();
        let (end, ends) = mpsc::channel::<Outcome>();
        writer.writing = Some(std::thread::spawn(move || ends.recv().unwrap()));
        (writer, end)
    }

    fn written(path: &Path) -> Written {
        Written { path: path.to_owned(), step: 1, number: 0, generation: 1, files: Vec::new(), seconds: 0.0 }
    }

    fn waiting(writer: &Writer) -> Vec<(u64, u64)> {
        writer.waiting.iter().map(|job| (job.step(), job.number)).collect()
    }

    #[test]
    fn while_the_disk_is_slow_checkpoints_of_all_steps_wait_and_of_one_step_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, end) = that_stands_still();
        let add = |writer: &mut Writer, step: u64| {
            assert!(writer.has_room(step, 8), "step {step}");
            writer.add(settings(folder.path()), Snapshot::of_step(step), step, 8);
            writer.start();
            assert!(writer.poll().is_none(), "the first is not done");
        };
        // before an evaluation and behind it
        [2, 2, 3, 4, 5].into_iter().for_each(|step| add(&mut writer, step));
        assert_eq!(waiting(&writer), [(2, 2), (3, 3), (4, 4), (5, 5)]);
        assert!(!writer.has_room(6, 8), "so many at most");
        assert!(writer.has_room(5, 8), "it takes the place of one that waits");
        assert!(!writer.has_room(5, MOST_BYTES), "so many bytes at most");
        end.send(Ok(written(&folder.path().join("step-1")))).ok().unwrap();
        let mut order = Vec::new();
        while writer.wait() {
            while let Some(outcome) = writer.poll() {
                let Written { step, number, .. } = outcome.unwrap_or_else(|failed| panic!("{}", failed.source));
                order.push((step, number));
            }
            writer.start();
        }
        assert_eq!(order, [(1, 0), (2, 2), (3, 3), (4, 4), (5, 5)]);
        let kept: Vec<u64> = super::super::list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(kept, [5, 4, 3]);
        assert!(writer.has_room(6, 2 * MOST_BYTES), "nothing else waits");
    }

    #[test]
    fn nothing_is_written_behind_a_checkpoint_that_could_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, end) = that_stands_still();
        writer.add(settings(folder.path()), Snapshot::of_step(2), 2, 8);
        let source = TrainingError::io("write", folder.path())(std::io::Error::other("the disk is full"));
        end.send(Err(Failed { step: 1, source })).ok().unwrap();
        // as while a long evaluation goes on
        while writer.writing.is_some() {
            writer.go_on();
            std::thread::yield_now();
        }
        assert!(waiting(&writer).is_empty());
        let failed = writer.poll().and_then(Result::err).unwrap();
        let cause = std::error::Error::source(&failed.source).map(ToString::to_string);
        assert!(cause.is_some_and(|cause| cause.contains("the disk is full")), "{}", failed.source);
        assert!(super::super::list(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn the_last_checkpoint_is_not_lost_without_a_word_where_no_thread_can_be_started_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, end) = that_stands_still();
        writer.begin = |_| Err(io::Error::other("too many threads"));
        writer.add(settings(folder.path()), Snapshot::of_step(2), 2, 8);
        assert!(writer.take().is_none(), "the first is not done");
        end.send(Ok(written(&folder.path().join("step-1")))).ok().unwrap();
        // as a run settles: nothing is waited for behind it
        assert!(writer.wait());
        let told: Vec<Outcome> = std::iter::from_fn(|| writer.take()).collect();
        assert!(!writer.wait());
        let [Ok(first), Err(failed)] = &told[..] else { panic!("{} were told", told.len()) };
        let message = failed.source.to_string();
        assert!((first.step, failed.step) == (1, 2) && message.contains("start a thread"), "{message}");
    }

    #[test]
    fn parameters_of_a_step_that_waited_are_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::default();
        for _ in 0..2 {
            writer.add(settings(folder.path()), Snapshot::of_step(2), 2, 8);
            writer.start();
            assert!(writer.wait());
            let Written { files, .. } = writer.poll().unwrap().unwrap_or_else(|failed| panic!("{}", failed.source));
            assert_eq!(files.len(), 3, "history, parameters and state");
        }
        // of the same generation it would be what was there
        assert!(writer.files_of(2, 2).is_some() && writer.files_of(2, 3).is_none());
        crate::checkpoint::load(&folder.path().join("step-2")).unwrap();
    }
}
