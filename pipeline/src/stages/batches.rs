//! Batches while they are being filled, and the buffers they are made of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_schemas::{Batch, ResumePoint, RowId, Tensor, TensorData};
use millstream_transforms::{Chain, DrawKey};

use super::mailbox::Mailbox;
use super::slots::Slots;
use crate::budget::Admitted;
use crate::{PipelineError, StreamCounters};

/// What all batches of a stream have in common.
#[derive(Debug)]
pub(crate) struct Mould {
    pub(crate) capacity: usize,
    pub(crate) classes: usize,
    pub(crate) input: String,
    pub(crate) shape: Shape,
    pub(crate) chain: Chain,
    pub(crate) seed: u64,
    pub(crate) pool: Pool,
    pub(crate) mailbox: Arc<Mailbox<Letter>>,
}

/// A finished batch, or why there is none, with its bytes.
pub(crate) type Letter = (Result<Batch, PipelineError>, Option<BatchPermit>);

/// The right to hold one more batch.
#[derive(Debug)]
pub(crate) struct BatchPermit {
    pub(crate) _bytes: Admitted,
}

/// What a slot of the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Image { width: u32, height: u32 },
    Text,
}

impl Shape {
    /// Floats a slot takes.
    pub(crate) fn floats(self) -> usize {
        match self {
            Self::Image { width, height } => 3 * width as usize * height as usize,
            Self::Text => 0,
        }
    }
}

impl Mould {
    /// Bytes of a batch's buffers. Texts are counted with their average length in mind, which headers do not say.
    pub(crate) fn batch_bytes(&self) -> u64 {
        let slot = match self.shape {
            Shape::Text => 1024,
            image => image.floats() * 4,
        };
        (self.capacity * (slot + self.classes * 4 + 64)) as u64
    }
}

/// Input buffers that consumers handed back: fresh memory costs a page fault for every 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    most: usize,
    free: Mutex<Vec<Vec<f32>>>,
}

impl Pool {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, free: Mutex::default() }
    }

    /// A buffer with any content.
    pub(crate) fn take(&self, length: usize) -> Vec<f32> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop().filter(|buffer| buffer.len() == length).unwrap_or_else(|| vec![0.0; length])
    }

    pub(crate) fn give_back(&self, batch: Batch) {
        for tensor in batch.inputs.into_values() {
            let TensorData::F32(buffer) = tensor.data else { continue };
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < self.most {
                free.push(buffer);
            }
        }
    }
}

/// A batch that is being filled.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    mould: Arc<Mould>,
    number: u64,
    pub(crate) epoch: u64,
    /// Position of its first row.
    position: u64,
    /// Rows it will have, damaged ones included.
    rows: usize,
    resume: ResumePoint,
    state: Mutex<Filling>,
}

#[derive(Debug)]
struct Filling {
    left: usize,
    rows: Vec<Option<RowId>>,
    labels: Vec<i64>,
    texts: Vec<String>,
    parts: Vec<Slots>,
    failure: Option<(usize, PipelineError)>,
    permit: Option<BatchPermit>,
}

/// What a worker made of some consecutive rows.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub(crate) first_slot: usize,
    /// Label of each row; `None` where it was left out.
    pub(crate) rows: Vec<Option<(RowId, i64)>>,
    pub(crate) texts: Vec<String>,
    pub(crate) slots: Option<Slots>,
    /// The slot of the first failing row, and why.
    pub(crate) failure: Option<(usize, PipelineError)>,
}

impl OpenBatch {
    /// A batch of `rows` rows, with the buffer that they are to be written into.
    pub(crate) fn new(
        mould: &Arc<Mould>,
        number: u64,
        epoch: u64,
        position: u64,
        rows: usize,
        resume: ResumePoint,
        permit: BatchPermit,
    ) -> (Arc<Self>, Slots) {
        let floats = mould.shape.floats();
        let mut buffer = Slots::new(mould.pool.take(mould.capacity * floats));
        let slots = buffer.take_front(rows * floats);
        buffer.fill(0.0);
        let filling = Filling {
            left: rows,
            rows: vec![None; mould.capacity],
            labels: vec![-1; mould.capacity],
            texts: vec![String::new(); if mould.shape == Shape::Text { mould.capacity } else { 0 }],
            parts: vec![buffer],
            failure: None,
            permit: Some(permit),
        };
        let batch =
            Self { mould: Arc::clone(mould), number, epoch, position, rows, resume, state: Mutex::new(filling) };
        (Arc::new(batch), slots)
    }

    /// Takes in finished rows; with the last of them the batch is delivered.
    pub(crate) fn fill(&self, filled: Filled, counts: &Counts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left -= filled.rows.len();
        for (slot, row) in (filled.first_slot..).zip(filled.rows) {
            if let Some((id, label)) = row {
                state.rows[slot] = Some(id);
                state.labels[slot] = label;
            }
        }
        for (slot, text) in (filled.first_slot..).zip(filled.texts) {
            state.texts[slot] = text;
        }
        state.parts.extend(filled.slots);
        // Whichever thread comes first, the earliest row's failure is told.
        state.failure = [state.failure.take(), filled.failure].into_iter().flatten().min_by_key(|(slot, _)| *slot);
        if state.left > 0 {
            return;
        }
        let permit = state.permit.take();
        let batch = match state.failure.take() {
            Some((_, failure)) => Err(failure),
            None => self.assemble(&mut state),
        };
        drop(state);
        if let Ok(batch) = &batch {
            let kept = batch.len() as u64;
            counts.rows.fetch_add(kept, Ordering::Relaxed);
            counts.skipped.fetch_add(self.rows as u64 - kept, Ordering::Relaxed);
        }
        self.mould.mailbox.put(self.number, (batch, permit));
    }

    fn assemble(&self, state: &mut Filling) -> Result<Batch, PipelineError> {
        let mould = &*self.mould;
        let mut targets = vec![0.0; mould.capacity * mould.classes];
        for (slot, label) in state.labels.iter().enumerate() {
            if let Some(target) = usize::try_from(*label).ok().filter(|label| *label < mould.classes) {
                targets[slot * mould.classes + target] = 1.0;
            }
        }
        let input = match mould.shape {
            Shape::Image { width, height } => {
                Tensor::f32([mould.capacity, 3, height as usize, width as usize], Slots::join(state.parts.drain(..)))
            }
            Shape::Text => {
                let texts = std::mem::take(&mut state.texts);
                Tensor { shape: vec![mould.capacity], data: TensorData::Text(texts) }
            }
        };
        let mut batch = Batch {
            inputs: BTreeMap::from([(mould.input.clone(), input)]),
            targets: Tensor::f32([mould.capacity, mould.classes], targets),
            labels: std::mem::take(&mut state.labels),
            rows: std::mem::take(&mut state.rows),
            resume: self.resume.clone(),
        };
        let occupied: Vec<bool> = batch.rows.iter().map(Option::is_some).collect();
        let key = DrawKey { seed: mould.seed, epoch: self.epoch, row: self.position };
        let applied = mould.chain.draw_batch(&occupied, &key).apply(&mut batch);
        let (epoch, position) = (self.epoch, self.position);
        applied.map_err(|source| PipelineError::BatchTransform { epoch, position, source })?;
        Ok(batch)
    }

    /// Delivers an error in the batch's place.
    pub(crate) fn fail(&self, error: PipelineError) {
        self.mould.mailbox.put(self.number, (Err(error), None));
    }
}

/// Counters that threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) rows: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) worker_nanoseconds: AtomicU64,
    pub(crate) decode_nanoseconds: AtomicU64,
    pub(crate) transform_nanoseconds: AtomicU64,
}

impl Counts {
    /// What is known here; the rest is left for the caller to fill in.
    pub(crate) fn snapshot(&self) -> StreamCounters {
        let seconds = |nanoseconds: &AtomicU64| nanoseconds.load(Ordering::Relaxed) as f64 * 1e-9;
        StreamCounters {
            rows: self.rows.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            worker_seconds: seconds(&self.worker_nanoseconds),
            decode_seconds: seconds(&self.decode_nanoseconds),
            transform_seconds: seconds(&self.transform_nanoseconds),
            ..StreamCounters::default()
        }
    }
}
