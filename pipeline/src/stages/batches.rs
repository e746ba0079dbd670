//! Batches while they are being filled, and the buffers they are made of.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_schemas::{Batch, ResumePoint, RowId, Tensor, TensorData};
use millstream_transforms::{Chain, DrawKey};

use super::damage::DamagedRow;
use super::reorder_buffer::ReorderBuffer;
use super::slots::Slots;
use crate::PipelineError;
use crate::budget::Admitted;

/// What all batches of a stream have in common.
#[derive(Debug)]
pub(crate) struct BatchLayout {
    pub(crate) capacity: usize,
    pub(crate) classes: usize,
    pub(crate) input: String,
    pub(crate) shape: Shape,
    /// Bytes that a text is taken for before it is read.
    pub(crate) text: u64,
    pub(crate) chain: Chain,
    pub(crate) seed: u64,
    pub(crate) pool: Pool,
    pub(crate) finished: Arc<ReorderBuffer<FinishedBatch>>,
}

/// A finished batch, or why there is none.
#[derive(Debug)]
pub(crate) struct FinishedBatch {
    pub(crate) batch: Result<Batch, PipelineError>,
    /// The rows that were left out of it, in their order.
    pub(crate) damaged: Vec<DamagedRow>,
    /// Its bytes, until it is taken.
    _bytes: Option<Admitted>,
}

impl From<PipelineError> for FinishedBatch {
    fn from(error: PipelineError) -> Self {
        Self { batch: Err(error), damaged: Vec::new(), _bytes: None }
    }
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
            Self::Image { width, height } => (width as usize).saturating_mul(height as usize).saturating_mul(3),
            Self::Text => 0,
        }
    }
}

/// Bytes that a text is taken for at least before it is read.
pub(crate) const TEXT: u64 = 1024;
/// Bytes of a slot's row identity and label, and more than they need.
const SLOT: u64 = 64;

impl BatchLayout {
    /// Bytes of a batch's buffers; of texts, an estimate that is set right when they are there.
    pub(crate) fn batch_bytes(&self) -> u64 {
        let slot = match self.shape {
            Shape::Text => self.text,
            image => (image.floats() as u64).saturating_mul(4),
        };
        slot.saturating_add(self.beside_input()).saturating_mul(self.capacity as u64)
    }

    /// Bytes that a batch turned out to take.
    fn bytes_of(&self, batch: &Batch) -> u64 {
        let texts = batch.inputs.values().filter_map(Tensor::as_text).flatten();
        match self.shape {
            Shape::Image { .. } => self.batch_bytes(),
            Shape::Text => {
                self.beside_input() * self.capacity as u64 + texts.map(|text| text.capacity() as u64).sum::<u64>()
            }
        }
    }

    /// Bytes of a slot without its input.
    fn beside_input(&self) -> u64 {
        self.classes as u64 * 4 + SLOT
    }
}

/// Buffers that consumers handed back: fresh memory costs a page fault for every 4 KiB.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Buffers of each length that are kept.
    most: usize,
    /// By length; other lengths are not kept.
    free: Mutex<BTreeMap<usize, Vec<Vec<f32>>>>,
}

impl Pool {
    pub(crate) fn new(most: usize, lengths: impl IntoIterator<Item = usize>) -> Self {
        Self { most, free: Mutex::new(lengths.into_iter().map(|length| (length, Vec::new())).collect()) }
    }

    /// A buffer with any content.
    pub(crate) fn take(&self, length: usize) -> Vec<f32> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_mut(&length).and_then(Vec::pop).unwrap_or_else(|| vec![0.0; length])
    }

    pub(crate) fn give_back(&self, batch: Batch) {
        for tensor in batch.inputs.into_values().chain([batch.targets]) {
            let TensorData::F32(buffer) = tensor.data else { continue };
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(kept) = free.get_mut(&buffer.len()).filter(|kept| kept.len() < self.most) {
                kept.push(buffer);
            }
        }
    }
}

/// A batch that is being filled.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    layout: Arc<BatchLayout>,
    number: u64,
    pub(crate) epoch: u64,
    /// Position of its first row.
    position: u64,
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
    damaged: Vec<DamagedRow>,
    failure: Option<(usize, PipelineError)>,
    bytes: Option<Admitted>,
}

/// What a worker made of some consecutive rows.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub(crate) first_slot: usize,
    /// Label of each row; `None` where it was left out.
    pub(crate) rows: Vec<Option<(RowId, i64)>>,
    pub(crate) texts: Vec<String>,
    pub(crate) slots: Option<Slots>,
    pub(crate) damaged: Vec<DamagedRow>,
    /// The slot of the first failing row, and why.
    pub(crate) failure: Option<(usize, PipelineError)>,
}

impl OpenBatch {
    /// A batch of `rows` rows, with the buffer that they are to be written into.
    pub(crate) fn new(
        layout: &Arc<BatchLayout>,
        number: u64,
        epoch: u64,
        position: u64,
        rows: usize,
        resume: ResumePoint,
        bytes: Admitted,
    ) -> (Arc<Self>, Slots) {
        let floats = layout.shape.floats();
        let mut buffer = Slots::new(layout.pool.take(layout.capacity * floats));
        let slots = buffer.take_front(rows * floats);
        buffer.fill(0.0);
        let filling = Filling {
            left: rows,
            rows: vec![None; layout.capacity],
            labels: vec![-1; layout.capacity],
            texts: vec![String::new(); if layout.shape == Shape::Text { layout.capacity } else { 0 }],
            parts: vec![buffer],
            damaged: Vec::new(),
            failure: None,
            bytes: Some(bytes),
        };
        let batch = Self { layout: Arc::clone(layout), number, epoch, position, resume, state: Mutex::new(filling) };
        (Arc::new(batch), slots)
    }

    /// Takes in finished rows; with the last of them the batch is delivered.
    pub(crate) fn fill(&self, filled: Filled) {
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
        state.damaged.extend(filled.damaged);
        // Whichever thread comes first, the earliest row's failure is told.
        state.failure = [state.failure.take(), filled.failure].into_iter().flatten().min_by_key(|(slot, _)| *slot);
        if state.left > 0 {
            return;
        }
        let batch = match state.failure.take() {
            Some((_, failure)) => Err(failure),
            None => self.assemble(&mut state),
        };
        let finished = match batch {
            Err(failure) => failure.into(),
            Ok(batch) => {
                let (mut damaged, mut bytes) = (std::mem::take(&mut state.damaged), state.bytes.take());
                damaged.sort_unstable_by_key(|row| row.slot);
                bytes.iter_mut().for_each(|bytes| bytes.settle(self.layout.bytes_of(&batch)));
                FinishedBatch { batch: Ok(batch), damaged, _bytes: bytes }
            }
        };
        drop(state);
        self.layout.finished.put(self.number, finished);
    }

    fn assemble(&self, state: &mut Filling) -> Result<Batch, PipelineError> {
        let layout = &*self.layout;
        let mut targets = layout.pool.take(layout.capacity * layout.classes);
        targets.fill(0.0);
        for (slot, label) in state.labels.iter().enumerate() {
            if let Some(target) = usize::try_from(*label).ok().filter(|label| *label < layout.classes) {
                targets[slot * layout.classes + target] = 1.0;
            }
        }
        let input = match layout.shape {
            Shape::Image { width, height } => {
                Tensor::f32([layout.capacity, 3, height as usize, width as usize], Slots::join(state.parts.drain(..)))
            }
            Shape::Text => {
                let texts = std::mem::take(&mut state.texts);
                Tensor { shape: vec![layout.capacity], data: TensorData::Text(texts) }
            }
        };
        let mut batch = Batch {
            inputs: BTreeMap::from([(layout.input.clone(), input)]),
            targets: Tensor::f32([layout.capacity, layout.classes], targets),
            labels: std::mem::take(&mut state.labels),
            rows: std::mem::take(&mut state.rows),
            resume: self.resume.clone(),
        };
        // a row whose label is unknown would take weight from the row it is mixed into
        let known = |(row, label): (&Option<RowId>, &i64)| row.is_some() && (layout.classes == 0 || *label >= 0);
        let taking_part: Vec<bool> = batch.rows.iter().zip(&batch.labels).map(known).collect();
        let key = DrawKey { seed: layout.seed, epoch: self.epoch, row: self.position };
        let applied = layout.chain.draw_batch(&taking_part, &key).apply(&mut batch);
        let (epoch, position) = (self.epoch, self.position);
        applied.map_err(|source| PipelineError::BatchTransform { epoch, position, source })?;
        Ok(batch)
    }

    /// Delivers an error in the batch's place.
    pub(crate) fn fail(&self, error: PipelineError) {
        self.layout.finished.put(self.number, error.into());
    }
}

/// Time that workers spent, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct WorkTimes {
    pub(crate) all: AtomicU64,
    pub(crate) memory_wait: AtomicU64,
    pub(crate) decode: AtomicU64,
    pub(crate) transform: AtomicU64,
}
