//! Threads that decode and transform, those of one stream or of several.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::batches::FinishedBatch;
use super::reorder_buffer::ReorderBuffer;
use super::worker::{Task, WorkerContext};
use crate::PipelineError;
use crate::encodings::RowBuffers;
use crate::error::panic_message;

/// More threads than any machine has use for.
const MOST: usize = 4096;

/// Worker threads. Tasks are done in the order in which they come, whichever stream they are of: no worker waits for a
/// stream, so none keeps another stream's tasks waiting for ever. The threads end with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<Threads>);

#[derive(Debug)]
struct Threads {
    tasks: Option<Sender<Queued>>,
    threads: Vec<JoinHandle<()>>,
}

/// A task and the stream that it is of.
struct Queued {
    task: Task,
    stream: Arc<StreamOfTasks>,
}

/// What the tasks of a stream have in common.
struct StreamOfTasks {
    context: Arc<WorkerContext>,
    finished: Arc<ReorderBuffer<FinishedBatch>>,
    /// Gone when the last task is: whoever listens to it knows then.
    _open: Sender<()>,
}

/// Where the tasks of a stream are put.
#[derive(Clone)]
pub(crate) struct TaskQueue {
    tasks: Sender<Queued>,
    stream: Arc<StreamOfTasks>,
}

/// Waits for a stream's tasks.
#[derive(Debug)]
pub(crate) struct TasksDone(Receiver<()>);

impl Workers {
    /// Starts so many threads; 0 stands for one for each core.
    pub(crate) fn start(count: usize) -> Result<Self, PipelineError> {
        let count = number_of(count)?;
        let (sender, receiver) = crossbeam_channel::unbounded();
        let mut threads = Threads { tasks: Some(sender), threads: Vec::with_capacity(count) };
        for worker in 0..count {
            let tasks = receiver.clone();
            let name = format!("millstream-work-{worker}");
            let thread = std::thread::Builder::new().name(name).spawn(move || work(&tasks));
            threads.threads.push(thread.map_err(|source| PipelineError::Start { what: "a worker thread", source })?);
        }
        Ok(Self(Arc::new(threads)))
    }

    /// Threads.
    pub(crate) fn count(&self) -> usize {
        self.0.threads.len()
    }

    /// A queue for the tasks of a stream, and what waits until all of them are done.
    pub(crate) fn queue(
        &self,
        context: &Arc<WorkerContext>,
        finished: &Arc<ReorderBuffer<FinishedBatch>>,
    ) -> (TaskQueue, TasksDone) {
        let (open, done) = crossbeam_channel::bounded(0);
        let (context, finished) = (Arc::clone(context), Arc::clone(finished));
        let stream = Arc::new(StreamOfTasks { context, finished, _open: open });
        let tasks = self.0.tasks.clone().expect("the sender goes when the last clone of the workers does");
        (TaskQueue { tasks, stream }, TasksDone(done))
    }
}

/// The number of threads that is meant: 0 stands for one for each core.
pub(crate) fn number_of(workers: usize) -> Result<usize, PipelineError> {
    match workers {
        0 => Ok(std::thread::available_parallelism().map_or(1, |cores| cores.get())),
        1..=MOST => Ok(workers),
        _ => {
            let reason = format!("{workers} threads; at most {MOST}");
            Err(PipelineError::Option { option: "workers", reason })
        }
    }
}

impl TaskQueue {
    /// Puts a task behind those that wait.
    pub(crate) fn put(&self, task: Task) {
        // Workers outlive the streams that they work for.
        let _ = self.tasks.send(Queued { task, stream: Arc::clone(&self.stream) });
    }
}

impl TasksDone {
    /// Waits until the queue and all of its tasks are gone.
    pub(crate) fn wait(self) {
        // Nothing is ever sent: the error says that nobody is left who could.
        let _ = self.0.recv();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // A panic in it was delivered as an error already.
            let _ = thread.join();
        }
    }
}

/// Works until there can be no more tasks. A panic outside a row's own work ends the stream of the task with an error.
fn work(tasks: &Receiver<Queued>) {
    let mut buffers = RowBuffers::default();
    for Queued { task, stream } in tasks {
        if stream.context.stop.load(Ordering::Relaxed) {
            // Before the stream: who waits for its end finds nothing held.
            drop(task);
            continue;
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| stream.context.work(task, &mut buffers))) {
            buffers = RowBuffers::default();
            let message = panic_message(&*payload);
            stream.finished.fail(PipelineError::Panicked { place: "a batch".into(), message }.into());
        }
    }
}
