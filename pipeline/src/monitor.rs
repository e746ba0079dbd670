use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use millstream_schemas::Batch;

use crate::budget::{Held, Share};
use crate::stages::batches::FinishedBatch;
use crate::stages::reorder_buffer::ReorderBuffer;
use crate::stages::worker::WorkerContext;

/// What a stream has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamCounters {
    /// Rows in the batches that were handed out.
    pub rows: u64,
    /// How often a row was left out of them because it was damaged: once an epoch for each such row.
    pub skipped: u64,
    /// How many different rows these were.
    pub damaged_rows: u64,
    /// Parts of targets, such as boxes beyond the most, that were left out of rows that are there: counted when a row is encoded.
    pub parts_left_out: u64,
    /// Batches handed out.
    pub batches: u64,
    /// Finished batches that wait to be taken.
    pub batches_waiting: usize,
    /// Bytes held now under the ceiling.
    pub bytes_held: u64,
    /// The most that was held at a time.
    pub bytes_peak: u64,
    /// Threads that decode and transform.
    pub workers: usize,
    /// Seconds that the workers had work, all together.
    pub worker_seconds: f64,
    /// Of these, seconds of reading headers and decoding.
    pub decode_seconds: f64,
    /// Of these, seconds of drawing and rendering.
    pub transform_seconds: f64,
    /// Of these, seconds of waiting until other images left enough memory.
    pub memory_wait_seconds: f64,
    /// Seconds the consumer waited for batches.
    pub wait_seconds: f64,
}

/// Watches a stream, from anywhere.
#[derive(Clone, Debug)]
pub struct Monitor {
    pub(crate) context: Arc<WorkerContext>,
    pub(crate) finished: Arc<ReorderBuffer<FinishedBatch>>,
    pub(crate) held: Arc<Held>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) taken: Arc<Taken>,
    pub(crate) workers: usize,
    /// Bytes of the ceiling that are left to a stream beside this one.
    pub(crate) left: u64,
}

/// What was handed out.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) batches: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) damaged_rows: AtomicU64,
    pub(crate) wait_nanoseconds: AtomicU64,
}

impl Taken {
    /// Counts a batch that is handed out, the rows that were left out of it, and how many of these are new.
    pub(crate) fn note(&self, batch: &Batch, skipped: u64, new: u64) {
        let counts =
            [(&self.batches, 1), (&self.rows, batch.len() as u64), (&self.skipped, skipped), (&self.damaged_rows, new)];
        counts.into_iter().for_each(|(counter, count)| _ = counter.fetch_add(count, Ordering::Relaxed));
    }

    /// Counts the time that the consumer waited.
    pub(crate) fn waited(&self, since: Instant) {
        self.wait_nanoseconds.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Monitor {
    /// What was done so far.
    pub fn counters(&self) -> StreamCounters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = |nanoseconds: &AtomicU64| count(nanoseconds) as f64 * 1e-9;
        let (taken, times) = (&*self.taken, &self.context.work.times);
        StreamCounters {
            rows: count(&taken.rows),
            skipped: count(&taken.skipped),
            damaged_rows: count(&taken.damaged_rows),
            parts_left_out: count(&self.context.work.parts_left_out),
            batches: count(&taken.batches),
            batches_waiting: self.finished.waiting(),
            bytes_held: self.held.now(),
            bytes_peak: self.held.peak(),
            workers: self.workers,
            worker_seconds: seconds(&times.all),
            decode_seconds: seconds(&times.decode),
            transform_seconds: seconds(&times.transform),
            memory_wait_seconds: seconds(&times.memory_wait),
            wait_seconds: seconds(&taken.wait_nanoseconds),
        }
    }

    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// What streams under one ceiling share: the count of bytes, and what decoding may take.
    pub(crate) fn shared(&self) -> (Arc<Held>, Share) {
        (Arc::clone(&self.held), self.context.work.decoding.clone())
    }
}
