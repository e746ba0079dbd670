use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

use futures::Stream;
use futures::future::{Either, select};
use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength, TransparencyPolicy};
use millstream_schemas::{Batch, Fingerprint, ResumePoint};
use millstream_transforms::Chain;
use tokio::sync::oneshot;

use crate::budget::{Held, Share};
use crate::error::panic_message;
use crate::plan::Plan;
use crate::stages::batches::{Letter, Mould};
use crate::stages::damage::LeftOut;
use crate::stages::feeder::Feeder;
use crate::stages::mailbox::Mailbox;
use crate::stages::worker::{Workshop, work};
use crate::{Columns, Dataset, PipelineError};

/// What a stream does with a dataset.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Passes over the rows.
    pub epochs: u64,
    /// Rows a batch; at least 1.
    pub batch: usize,
    /// How strongly the order is shuffled each epoch.
    pub order: OrderStrength,
    /// Row groups that are shuffled together under [`OrderStrength::Windowed`]; at least 1.
    pub window: usize,
    /// Threads that decode and transform; 0 takes one for each core.
    pub workers: usize,
    /// Ceiling on the bytes held: rows as stored, images being decoded, batches not yet handed out. An image may take a
    /// quarter of it, to be decoded and transformed; whether it is too large depends on nothing else.
    pub memory: ByteSize,
    /// Another stream under the same ceiling.
    pub beside: Beside,
    /// What to do with a row that cannot be used.
    pub damaged: DamagedPolicy,
    /// What to do with transparent pixels.
    pub transparency: TransparencyPolicy,
    /// Leave out the last, incomplete batch of an epoch.
    pub drop_last: bool,
    /// What happens to each row and batch.
    pub chain: Chain,
    /// Which columns are read, see [`Dataset::resolve_columns`].
    pub columns: Columns,
    /// Key of the input in [`Batch::inputs`].
    pub input_name: String,
}

/// Whether a stream has its ceiling on memory to itself. Two streams may share one, as those of training and evaluation
/// do: each goes on when the other stands still, since neither waits for what the other holds.
#[derive(Clone, Debug, Default)]
pub enum Beside {
    /// To itself.
    #[default]
    Nothing,
    /// A second stream comes later, and needs at least this ([`StreamOptions::least_memory`]).
    Later(ByteSize),
    /// This is the second stream; the first was opened with `Later` and the same ceiling.
    Stream(Monitor),
}

impl StreamOptions {
    /// The defaults of a recipe: one epoch, batches of 16, windowed order over 4 row groups, 1 GiB, damaged rows fail.
    pub fn new(chain: Chain, columns: Columns) -> Self {
        Self {
            seed: 0,
            epochs: 1,
            batch: 16,
            order: OrderStrength::default(),
            window: 4,
            workers: 0,
            memory: ByteSize::default(),
            beside: Beside::Nothing,
            damaged: DamagedPolicy::default(),
            transparency: TransparencyPolicy::default(),
            drop_last: false,
            chain,
            columns,
            input_name: "input".into(),
        }
    }

    /// Of everything that decides order and bytes; the seed is kept apart.
    pub fn fingerprint(&self) -> Fingerprint {
        let columns = (&self.columns.input, &self.columns.label, &self.columns.classes);
        let order = (self.order, self.window, self.batch, self.drop_last);
        Fingerprint::of(&(columns, self.chain.fingerprint(), order, self.transparency))
    }

    /// What deserves a look before these options are used on a dataset, and stops nothing.
    ///
    /// # Errors
    /// As [`Batches::open`], which would fail too.
    pub fn warnings(&self, dataset: &Dataset) -> Result<Vec<String>, PipelineError> {
        Ok(Plan::new(dataset, self.clone(), None)?.warnings())
    }

    /// The least that a stream with these options needs beside another one, for [`Beside::Later`].
    ///
    /// # Errors
    /// As [`Batches::open`].
    pub fn least_memory(&self, dataset: &Dataset) -> Result<ByteSize, PipelineError> {
        Plan::least_memory(dataset, self).map(ByteSize)
    }
}

/// What a stream has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamCounters {
    /// Rows in the batches that were handed out.
    pub rows: u64,
    /// How often a row was left out of them because it was damaged: once an epoch for each such row.
    pub skipped: u64,
    /// How many different rows these were.
    pub damaged_rows: u64,
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

/// A running stream of batches over all epochs, without a pause between them.
///
/// Take batches from it as an [`Iterator`] (blocking) or as a [`Stream`]. Both yield an error at most once, as the last
/// item. Dropping it stops and joins its threads.
#[derive(Debug)]
pub struct Batches {
    monitor: Monitor,
    left_out: LeftOut,
    ended: bool,
    waiting_since: Option<Instant>,
    cancel: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Watches a stream, and hands buffers back to it, from anywhere.
#[derive(Clone, Debug)]
pub struct Monitor {
    shop: Arc<Workshop>,
    mould: Arc<Mould>,
    mailbox: Arc<Mailbox<Letter>>,
    held: Arc<Held>,
    stop: Arc<AtomicBool>,
    taken: Arc<Taken>,
    workers: usize,
    /// Bytes of the ceiling that are left to a stream beside this one.
    left: u64,
}

/// What was handed out.
#[derive(Debug, Default)]
struct Taken {
    batches: AtomicU64,
    rows: AtomicU64,
    skipped: AtomicU64,
    damaged_rows: AtomicU64,
    wait_nanoseconds: AtomicU64,
}

impl Batches {
    /// Starts a stream at its beginning, or where `from` says.
    ///
    /// # Errors
    /// Options that make no sense, a ceiling on memory that holds no unit of work, a resume point of other data or
    /// settings, or images whose size the transforms leave open and that cannot be learnt from the first rows.
    pub fn open(dataset: &Dataset, options: StreamOptions, from: Option<&ResumePoint>) -> Result<Self, PipelineError> {
        let left_out = LeftOut::new(&options.damaged, dataset)?;
        Self::run(Plan::new(dataset, options, from)?, left_out)
    }

    fn run(plan: Plan, left_out: LeftOut) -> Result<Self, PipelineError> {
        let (workers, held) = (plan.workers, Arc::clone(&plan.held));
        let stop = Arc::clone(&plan.feeder.stop);
        let monitor = Monitor {
            shop: Arc::new(plan.shop),
            mould: Arc::clone(&plan.feeder.mould),
            mailbox: Arc::clone(&plan.feeder.mould.mailbox),
            held,
            stop,
            taken: Arc::default(),
            workers,
            left: plan.left,
        };
        let threads = Vec::with_capacity(workers + 1);
        let mut batches = Self { monitor, left_out, ended: false, waiting_since: None, cancel: None, threads };
        batches.start(plan.feeder)?;
        Ok(batches)
    }

    /// Hands a batch's buffers back, to be used again: fresh memory costs more than it looks.
    pub fn recycle(&self, batch: Batch) {
        self.monitor.recycle(batch);
    }

    /// What was done so far.
    pub fn counters(&self) -> StreamCounters {
        self.monitor.counters()
    }

    /// The first damaged row that was left out, and why.
    pub fn first_damaged(&self) -> Option<&(millstream_schemas::RowId, String)> {
        self.left_out.first()
    }

    /// A handle that outlives [`Batches::into_stream`].
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// The same batches as an asynchronous stream; it needs no particular runtime.
    pub fn into_stream(self) -> impl Stream<Item = Result<Batch, PipelineError>> + Send + Unpin {
        BatchStream(self)
    }

    fn start(&mut self, feeder: Feeder) -> Result<(), PipelineError> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        for worker in 0..self.monitor.workers {
            let (shop, tasks) = (Arc::clone(&self.monitor.shop), receiver.clone());
            let mailbox = Arc::clone(&self.monitor.mailbox);
            let name = format!("millstream-work-{worker}");
            let thread = std::thread::Builder::new().name(name).spawn(move || work(&shop, &tasks, &mailbox));
            self.threads.push(thread.map_err(|source| PipelineError::Start { what: "a worker thread", source })?);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("millstream-read")
            .worker_threads((self.monitor.workers / 8).clamp(1, 4))
            .max_blocking_threads(8)
            .build()
            .map_err(|source| PipelineError::Start { what: "the reading runtime", source })?;
        let (cancel, cancelled) = oneshot::channel();
        self.cancel = Some(cancel);
        let mailbox = Arc::clone(&self.monitor.mailbox);
        let feed = move || {
            let fed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(async move {
                    let feeding = Box::pin(Arc::new(feeder).run(sender));
                    if let Either::Left(_) = select(feeding, cancelled).await {
                        // All is fed; the workers go on until their queue is empty.
                    }
                });
            }));
            if let Err(payload) = fed {
                let message = panic_message(&*payload);
                mailbox.fail(PipelineError::Panicked { place: "reading".into(), message }.into());
            }
        };
        let thread = std::thread::Builder::new().name("millstream-feed".into()).spawn(feed);
        self.threads.push(thread.map_err(|source| PipelineError::Start { what: "the feeding thread", source })?);
        Ok(())
    }

    fn taken(&mut self, letter: Option<Letter>) -> Option<Result<Batch, PipelineError>> {
        let batch = letter.map(|letter| self.note(letter));
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }

    fn note(&mut self, letter: Letter) -> Result<Batch, PipelineError> {
        let batch = letter.batch.map_err(|error| self.left_out.explained(error))?;
        let skipped = letter.damaged.len() as u64;
        let new = self.left_out.note(letter.damaged)?;
        let taken = &self.monitor.taken;
        for (counter, count) in [
            (&taken.batches, 1),
            (&taken.rows, batch.len() as u64),
            (&taken.skipped, skipped),
            (&taken.damaged_rows, new),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
        Ok(batch)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, PipelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let start = Instant::now();
        let letter = self.monitor.mailbox.take();
        self.monitor.waited(start);
        self.taken(letter)
    }
}

struct BatchStream(Batches);

impl Stream for BatchStream {
    type Item = Result<Batch, PipelineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batches = &mut self.0;
        if batches.ended {
            return Poll::Ready(None);
        }
        let start = *batches.waiting_since.get_or_insert_with(Instant::now);
        let Poll::Ready(letter) = batches.monitor.mailbox.poll(context) else {
            return Poll::Pending;
        };
        batches.waiting_since = None;
        batches.monitor.waited(start);
        Poll::Ready(batches.taken(letter))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.monitor.stop.store(true, Ordering::Relaxed);
        self.monitor.shop.stop.store(true, Ordering::Relaxed);
        drop(self.cancel.take());
        for thread in self.threads.drain(..) {
            // A panic in it was delivered as an error already.
            let _ = thread.join();
        }
    }
}

impl Monitor {
    /// What was done so far.
    pub fn counters(&self) -> StreamCounters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = |nanoseconds: &AtomicU64| count(nanoseconds) as f64 * 1e-9;
        let (taken, times) = (&*self.taken, &self.shop.times);
        StreamCounters {
            rows: count(&taken.rows),
            skipped: count(&taken.skipped),
            damaged_rows: count(&taken.damaged_rows),
            batches: count(&taken.batches),
            batches_waiting: self.mailbox.waiting(),
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

    /// Hands a batch's buffers back, to be used again.
    pub fn recycle(&self, batch: Batch) {
        self.mould.pool.give_back(batch);
    }

    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// What streams under one ceiling share: the count of bytes, and what decoding may take.
    pub(crate) fn shared(&self) -> (Arc<Held>, Share) {
        (Arc::clone(&self.held), self.shop.decoding.clone())
    }

    fn waited(&self, since: Instant) {
        self.taken.wait_nanoseconds.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::order::Order;

    #[test]
    fn a_fault_of_the_reading_task_is_not_taken_for_the_end() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/data");
        let dataset = Dataset::open("digits-pretrain-test-*.parquet", &folder).unwrap();
        let columns = dataset.resolve_columns(None, "label").unwrap();
        for batch in [7, 16, dataset.rows() as usize] {
            let options = StreamOptions { batch, ..StreamOptions::new(Chain::parse(&[]).unwrap(), columns.clone()) };
            let left_out = LeftOut::new(&options.damaged, &dataset).unwrap();
            let mut plan = Plan::new(&dataset, options, None).unwrap();
            // One more row group than there is.
            let rows = dataset.inner.groups.iter().map(|group| group.rows).chain([5]);
            plan.feeder.order = Order::new(OrderStrength::Sequential, 1, 0, rows);
            let results: Vec<_> = Batches::run(plan, left_out).unwrap().collect();
            let (last, batches) = results.split_last().unwrap();
            assert!(batches.iter().all(Result::is_ok), "{batches:?}");
            assert_eq!(batches.len(), dataset.rows() as usize / batch);
            let message = last.as_ref().unwrap_err().to_string();
            assert!(message.starts_with("reading: internal fault: index out of bounds"), "{message}");
        }
    }
}
