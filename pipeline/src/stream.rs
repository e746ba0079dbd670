use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

use futures_core::Stream;
use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Batch, ResumePoint};
use tokio::sync::oneshot;

use crate::error::panic_message;
use crate::monitor::Monitor;
use crate::shared_resources::TakenPart;
use crate::stages::batches::FinishedBatch;
use crate::stages::damage::LeftOut;
use crate::stages::feeder::Feeder;
use crate::stages::workers::{TasksDone, Workers};
use crate::stream_plan::StreamPlan;
use crate::{Beside, Dataset, PipelineError, SharedResources, StreamCounters, StreamOptions};

/// A running stream of batches over all epochs, without a pause between them.
///
/// Take batches from it as an [`Iterator`] (blocking) or as a [`Stream`]. Both yield an error at most once, as the last
/// item. Dropping it stops its work and waits until that has ended.
#[derive(Debug)]
pub struct Batches {
    monitor: Monitor,
    left_out: LeftOut,
    ended: bool,
    waiting_since: Option<Instant>,
    cancel: Option<oneshot::Sender<()>>,
    feeding: Option<JoinHandle<()>>,
    working: Option<TasksDone>,
    workers: Workers,
    /// Of what is shared.
    _part: Option<TakenPart>,
}

impl StreamOptions {
    /// What deserves a look before these options are used on a dataset, and stops nothing.
    ///
    /// # Errors
    /// As [`Batches::open`], which would fail too.
    pub fn warnings(&self, dataset: &Dataset) -> Result<Vec<String>, PipelineError> {
        Ok(StreamPlan::new(dataset, self.clone(), None)?.warnings())
    }

    /// The least that a stream with these options needs beside another one, for [`Beside::Later`](crate::Beside::Later).
    ///
    /// # Errors
    /// As [`Batches::open`].
    pub fn least_memory(&self, dataset: &Dataset) -> Result<ByteSize, PipelineError> {
        StreamPlan::least_memory(dataset, self).map(ByteSize)
    }
}

impl Batches {
    /// Starts a stream at its beginning, or where `from` says.
    ///
    /// # Errors
    /// Options that make no sense, a ceiling on memory that holds no unit of work, a resume point of other data or
    /// settings, or images whose size the transforms leave open and that cannot be learnt from the first rows.
    pub fn open(dataset: &Dataset, options: StreamOptions, from: Option<&ResumePoint>) -> Result<Self, PipelineError> {
        let left_out = LeftOut::new(&options.damaged, dataset)?;
        let shared = options.shared.clone();
        let is_second = matches!(options.beside, Beside::Stream(_));
        let plan = StreamPlan::new(dataset, options, from)?;
        let part = shared.as_ref().filter(|_| !is_second).map(SharedResources::take).transpose()?;
        let plan = plan.with_learned(dataset)?;
        let workers = match &shared {
            Some(shared) => shared.threads().clone(),
            None => Workers::start(plan.workers)?,
        };
        Self::run(plan, left_out, workers, part)
    }

    /// A stream whose batches are taken by [`Batches::next_finished`], and how many bytes of batches may be kept after they were taken:
    /// at most those of `kept` batches, 0 where there is no room.
    ///
    /// # Errors
    /// As [`Batches::open`].
    pub(crate) fn open_keeping(
        dataset: &Dataset,
        options: StreamOptions,
        from: Option<&ResumePoint>,
        kept: u64,
    ) -> Result<(Self, u64), PipelineError> {
        let left_out = LeftOut::new(&options.damaged, dataset)?;
        let shared = options.shared.clone();
        let plan = StreamPlan::keeping(dataset, options, from, kept)?.with_learned(dataset)?;
        let (all, batch) = (plan.feeder.batches_share.limit(), plan.feeder.layout.batch_bytes());
        // two are always left to those that are being filled
        let bytes = all.saturating_sub(batch.saturating_mul(2)).min(batch.saturating_mul(kept));
        let workers = match &shared {
            Some(shared) => shared.threads().clone(),
            None => Workers::start(plan.workers)?,
        };
        Ok((Self::run(plan, left_out, workers, None)?, bytes))
    }

    /// The next batch as the workers left it: whoever takes it notes the rows that were left out. `None` behind the last, and behind
    /// an error.
    pub(crate) fn next_finished(&mut self) -> Option<FinishedBatch> {
        if self.ended {
            return None;
        }
        let finished = self.monitor.finished.take();
        self.ended = finished.as_ref().is_none_or(|finished| finished.batch.is_err());
        finished
    }

    fn run(
        plan: StreamPlan,
        left_out: LeftOut,
        workers: Workers,
        part: Option<TakenPart>,
    ) -> Result<Self, PipelineError> {
        let held = Arc::clone(&plan.held);
        let stop = Arc::clone(&plan.feeder.stop);
        let monitor = Monitor {
            context: Arc::new(plan.context),
            finished: Arc::clone(&plan.feeder.layout.finished),
            held,
            stop,
            taken: Arc::default(),
            workers: workers.count(),
            left: plan.left,
        };
        let mut batches = Self {
            monitor,
            left_out,
            ended: false,
            waiting_since: None,
            cancel: None,
            feeding: None,
            working: None,
            workers,
            _part: part,
        };
        batches.start(plan.feeder)?;
        Ok(batches)
    }

    /// What was done so far.
    pub fn counters(&self) -> StreamCounters {
        self.monitor.counters()
    }

    /// The first row that was left out because its image or text cannot be used, and why.
    pub fn first_unreadable(&self) -> Option<&(millstream_schemas::RowId, String)> {
        self.left_out.first_unreadable()
    }

    /// The same batches, and rows that are left out are not warned of: whoever takes them tells of [`Batches::take_left_out`].
    #[must_use]
    pub fn without_warnings(mut self) -> Self {
        self.left_out.warn_of_none();
        self
    }

    /// Rows that were left out since this was asked last, and why, in the order of the batches; at most 4,096 of them.
    pub fn take_left_out(&mut self) -> Vec<(millstream_schemas::RowId, String)> {
        self.left_out.take()
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
        let (tasks, working) = self.workers.queue(&self.monitor.context, &self.monitor.finished);
        self.working = Some(working);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("millstream-read")
            .worker_threads((self.monitor.workers / 8).clamp(1, 4))
            .max_blocking_threads(8)
            .build()
            .map_err(|source| PipelineError::Start { what: "the reading runtime", source })?;
        let (cancel, cancelled) = oneshot::channel();
        self.cancel = Some(cancel);
        let finished = Arc::clone(&self.monitor.finished);
        let feed = move || {
            let fed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(async move {
                    let mut feeding = Box::pin(Arc::new(feeder).run(tasks));
                    let mut cancelled = std::pin::pin!(cancelled);
                    // When all is fed, the workers go on until their queue is empty.
                    std::future::poll_fn(|context| {
                        let fed = feeding.as_mut().poll(context).map(drop);
                        if fed.is_ready() { fed } else { cancelled.as_mut().poll(context).map(drop) }
                    })
                    .await;
                });
            }));
            if let Err(payload) = fed {
                let message = panic_message(&*payload);
                finished.fail(PipelineError::Panicked { place: "reading".into(), message }.into());
            }
        };
        let thread = std::thread::Builder::new().name("millstream-feed".into()).spawn(feed);
        let thread = thread.map_err(|source| PipelineError::Start { what: "the feeding thread", source })?;
        self.feeding = Some(thread);
        Ok(())
    }

    fn taken(&mut self, finished: Option<FinishedBatch>) -> Option<Result<Batch, PipelineError>> {
        let batch = finished.map(|finished| self.note(finished));
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }

    fn note(&mut self, finished: FinishedBatch) -> Result<Batch, PipelineError> {
        let batch = finished.batch.map_err(|error| self.left_out.explained(error))?;
        let skipped = finished.damaged.len() as u64;
        let new = self.left_out.note(finished.damaged)?;
        self.monitor.taken.note(&batch, skipped, new);
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
        let finished = self.monitor.finished.take();
        self.monitor.taken.waited(start);
        self.taken(finished)
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
        let Poll::Ready(finished) = batches.monitor.finished.poll(context) else {
            return Poll::Pending;
        };
        batches.waiting_since = None;
        batches.monitor.taken.waited(start);
        Poll::Ready(batches.taken(finished))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.monitor.stop.store(true, Ordering::Relaxed);
        self.monitor.context.stop.store(true, Ordering::Relaxed);
        drop(self.cancel.take());
        if let Some(thread) = self.feeding.take() {
            // A panic in it was delivered as an error already.
            let _ = thread.join();
        }
        if let Some(working) = self.working.take() {
            working.wait();
        }
        // What was not taken holds bytes, and monitors hold what was not taken.
        self.monitor.finished.close();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::encodings::Encoders;
    use crate::order::Order;
    use millstream_schemas::recipe::OrderStrength;
    use millstream_transforms::Chain;

    #[test]
    fn a_fault_of_the_reading_task_is_not_taken_for_the_end() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/data");
        let dataset = Dataset::open("digits-pretrain-test-*.parquet", &folder).unwrap();
        let encoders = Encoders::standard(&dataset, None, "label").unwrap();
        for batch in [7, 16, dataset.rows() as usize] {
            let options = StreamOptions { batch, ..StreamOptions::new(Chain::parse(&[]).unwrap(), encoders.clone()) };
            let left_out = LeftOut::new(&options.damaged, &dataset).unwrap();
            let mut plan = StreamPlan::new(&dataset, options, None).unwrap();
            // One more row group than there is.
            let rows = dataset.inner.groups.iter().map(|group| group.rows).chain([5]);
            plan.feeder.order = Order::new(OrderStrength::Sequential, 1, 0, rows);
            let results: Vec<_> = Batches::run(plan, left_out, Workers::start(2).unwrap(), None).unwrap().collect();
            let (last, batches) = results.split_last().unwrap();
            assert!(batches.iter().all(Result::is_ok), "{batches:?}");
            assert_eq!(batches.len(), dataset.rows() as usize / batch);
            let message = last.as_ref().unwrap_err().to_string();
            assert!(message.starts_with("reading: internal fault: index out of bounds"), "{message}");
        }
    }
}
