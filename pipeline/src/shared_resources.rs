use std::sync::{Arc, Mutex, PoisonError};

use millstream_schemas::recipe::ByteSize;

use crate::PipelineError;
use crate::budget::{Held, Share};
use crate::division::{PARTS, SharedPart};
use crate::stages::workers::Workers;

/// One ceiling on memory and one set of worker threads for several streams. Clones are the same.
///
/// A quarter of the ceiling is for decoding, whichever stream an image is of. The rest is divided into equal parts. A stream
/// has a part to itself from [`Batches::open`](crate::Batches::open) until it is dropped, so that none waits for what
/// another one holds, however long that one stands still. A stream that is opened
/// [beside](crate::Beside::Stream) another has the same part.
#[derive(Clone, Debug)]
pub struct SharedResources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: ByteSize,
    streams: usize,
    taken: Mutex<usize>,
    held: Arc<Held>,
    decoding: Share,
    workers: Workers,
}

/// A part that a stream has; given back when dropped.
#[derive(Debug)]
pub(crate) struct TakenPart(SharedResources);

impl SharedResources {
    /// A ceiling, the number of streams that it is divided among, and the number of threads; 0 takes one for each core.
    ///
    /// # Errors
    /// There is no part, too many threads are asked for, or one cannot be started.
    pub fn new(memory: ByteSize, streams: usize, workers: usize) -> Result<Self, PipelineError> {
        require_a_stream(streams)?;
        Ok(Self::with_threads(memory, streams, Workers::start(workers)?))
    }

    /// The same threads, and as large a ceiling that is divided among another number of streams: what those of either hold is counted apart.
    ///
    /// # Errors
    /// There is no part.
    pub fn divided_among(&self, streams: usize) -> Result<Self, PipelineError> {
        require_a_stream(streams)?;
        Ok(Self::with_threads(self.memory(), streams, self.0.workers.clone()))
    }

    fn with_threads(memory: ByteSize, streams: usize, workers: Workers) -> Self {
        let held = Arc::default();
        let decoding = Share::new(memory.0 / PARTS, &held);
        Self(Arc::new(Inner { memory, streams, taken: Mutex::default(), held, decoding, workers }))
    }

    /// The ceiling.
    pub fn memory(&self) -> ByteSize {
        self.0.memory
    }

    /// The number of streams that can be open at a time.
    pub fn streams(&self) -> usize {
        self.0.streams
    }

    /// Threads.
    pub fn workers(&self) -> usize {
        self.0.workers.count()
    }

    /// Bytes that all streams together hold now.
    pub fn bytes_held(&self) -> u64 {
        self.0.held.now()
    }

    /// The most that they held at a time.
    pub fn bytes_peak(&self) -> u64 {
        self.0.held.peak()
    }

    /// What the parts are.
    pub(crate) fn part(&self) -> SharedPart {
        SharedPart { of: self.0.memory, streams: self.0.streams }
    }

    pub(crate) fn threads(&self) -> &Workers {
        &self.0.workers
    }

    /// The count of bytes, and what decoding may take.
    pub(crate) fn shared(&self) -> (Arc<Held>, Share) {
        (Arc::clone(&self.0.held), self.0.decoding.clone())
    }

    /// Takes a part.
    pub(crate) fn take(&self) -> Result<TakenPart, PipelineError> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken == self.0.streams {
            return Err(PipelineError::AllPartsTaken { streams: self.0.streams });
        }
        *taken += 1;
        Ok(TakenPart(self.clone()))
    }
}

fn require_a_stream(streams: usize) -> Result<(), PipelineError> {
    if streams > 0 {
        return Ok(());
    }
    let reason = "resources are shared by at least one stream".into();
    Err(PipelineError::Option { option: "streams", reason })
}

impl Drop for TakenPart {
    fn drop(&mut self) {
        *self.0.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}
