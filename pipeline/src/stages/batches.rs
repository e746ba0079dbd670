//! Batches while they are being filled, and the buffers they are made of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_schemas::{Batch, BatchSpec, BufferPool, ResumePoint, RowId, TensorData};
use millstream_transforms::{Chain, DrawKey};

use super::damage::DamagedRow;
use super::reorder_buffer::ReorderBuffer;
use super::tensor_parts::{TensorPart, row_bytes, tensor_bytes};
use crate::PipelineError;
use crate::budget::Admitted;

/// What all batches of a stream have in common.
#[derive(Debug)]
pub(crate) struct BatchLayout {
    pub(crate) spec: BatchSpec,
    pub(crate) chain: Chain,
    /// Of each tensor that marks missing numbers by NaN what the model puts in their place, a number a column.
    pub(crate) fills: Vec<(String, Vec<f32>)>,
    pub(crate) seed: u64,
    pub(crate) pool: BufferPool,
    pub(crate) finished: Arc<ReorderBuffer<FinishedBatch>>,
}

/// A finished batch, or why there is none.
#[derive(Debug)]
pub(crate) struct FinishedBatch {
    pub(crate) batch: Result<Batch, PipelineError>,
    /// The rows that were left out of it, in their order.
    pub(crate) damaged: Vec<DamagedRow>,
    /// Its bytes, until it is taken.
    pub(crate) bytes: Option<Admitted>,
}

impl From<PipelineError> for FinishedBatch {
    fn from(error: PipelineError) -> Self {
        Self { batch: Err(error), damaged: Vec::new(), bytes: None }
    }
}

/// Bytes of a slot's row identity and weight, and more than they need.
const SLOT: u64 = 64;

impl BatchLayout {
    /// Bytes of a batch's buffers; where rows have lengths of their own, the most, or of texts an estimate, that is set
    /// right when they are there.
    pub(crate) fn batch_bytes(&self) -> u64 {
        let row = self.spec.tensors.iter().map(row_bytes).fold(SLOT, u64::saturating_add);
        row.saturating_mul(self.spec.capacity as u64)
    }

    /// Bytes that a batch turned out to take.
    fn bytes_of(&self, batch: &Batch) -> u64 {
        SLOT * self.spec.capacity as u64 + batch.tensors.values().map(tensor_bytes).sum::<u64>()
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
    weights: Vec<f32>,
    /// Of each tensor its parts, with their first slots.
    parts: Vec<Vec<(usize, TensorPart)>>,
    damaged: Vec<DamagedRow>,
    failure: Option<(usize, PipelineError)>,
    bytes: Option<Admitted>,
}

/// What a worker made of some consecutive rows.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub(crate) first_slot: usize,
    /// Each row with its weight; `None` where it was left out.
    pub(crate) rows: Vec<Option<(RowId, f32)>>,
    /// Of each tensor the part that they were written into.
    pub(crate) parts: Vec<TensorPart>,
    pub(crate) damaged: Vec<DamagedRow>,
    /// The slot of the first failing row, and why.
    pub(crate) failure: Option<(usize, PipelineError)>,
}

/// Puts in place of missing numbers what the model would: mixed with others, they would make these missing too.
fn fill_missing(batch: &mut Batch, fills: &[(String, Vec<f32>)]) {
    for (name, fill) in fills {
        let Some(TensorData::F32(values)) = batch.tensors.get_mut(name).map(|tensor| &mut tensor.data) else {
            continue;
        };
        for row in values.chunks_exact_mut(fill.len().max(1)) {
            let missing = row.iter_mut().zip(fill).filter(|(value, _)| value.is_nan());
            missing.for_each(|(value, fill)| *value = *fill);
        }
    }
}

impl OpenBatch {
    /// A batch of `rows` rows, with the buffers that they are to be written into.
    pub(crate) fn new(
        layout: &Arc<BatchLayout>,
        number: u64,
        epoch: u64,
        position: u64,
        rows: usize,
        resume: ResumePoint,
        bytes: Admitted,
    ) -> (Arc<Self>, Vec<TensorPart>) {
        let capacity = layout.spec.capacity;
        let (mut parts, mut open) = (Vec::new(), Vec::new());
        for spec in &layout.spec.tensors {
            let mut rest = TensorPart::whole(spec, capacity, rows, &layout.pool);
            open.push(rest.take_front(spec, rows));
            parts.push(vec![(rows, rest)]);
        }
        let filling = Filling {
            left: rows,
            rows: vec![None; capacity],
            weights: vec![0.0; capacity],
            parts,
            damaged: Vec::new(),
            failure: None,
            bytes: Some(bytes),
        };
        let batch = Self { layout: Arc::clone(layout), number, epoch, position, resume, state: Mutex::new(filling) };
        (Arc::new(batch), open)
    }

    /// Takes in finished rows; with the last of them the batch is delivered.
    pub(crate) fn fill(&self, filled: Filled) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left -= filled.rows.len();
        for (slot, row) in (filled.first_slot..).zip(filled.rows) {
            if let Some((id, weight)) = row {
                state.rows[slot] = Some(id);
                state.weights[slot] = weight;
            }
        }
        for (all, part) in state.parts.iter_mut().zip(filled.parts) {
            all.push((filled.first_slot, part));
        }
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
                FinishedBatch { batch: Ok(batch), damaged, bytes }
            }
        };
        drop(state);
        self.layout.finished.put(self.number, finished);
    }

    fn assemble(&self, state: &mut Filling) -> Result<Batch, PipelineError> {
        let layout = &*self.layout;
        let (mut tensors, mut lengths) = (BTreeMap::new(), BTreeMap::new());
        for (spec, parts) in layout.spec.tensors.iter().zip(state.parts.drain(..)) {
            let joined = TensorPart::join(spec, layout.spec.capacity, parts, &layout.pool);
            tensors.insert(spec.name.clone(), joined.tensor);
            lengths.extend(joined.lengths.map(|lengths| (spec.name.clone(), lengths)));
        }
        let mut batch = Batch {
            tensors,
            lengths,
            weights: std::mem::take(&mut state.weights),
            rows: std::mem::take(&mut state.rows),
            resume: self.resume.clone(),
        };
        // A row without a target would take weight from the row it is mixed into.
        let taking_part: Vec<bool> = batch.weights.iter().map(|weight| *weight > 0.0).collect();
        let key = DrawKey { seed: layout.seed, epoch: self.epoch, row: self.position };
        let drawing = layout.chain.draw_batch(&taking_part, &key);
        if !drawing.steps.is_empty() {
            fill_missing(&mut batch, &layout.fills);
        }
        let applied = drawing.apply(&mut batch);
        let (epoch, position) = (self.epoch, self.position);
        applied.map_err(|source| PipelineError::BatchTransform { epoch, position, source })?;
        Ok(batch)
    }

    /// Delivers an error in the batch's place.
    pub(crate) fn fail(&self, error: PipelineError) {
        self.layout.finished.put(self.number, error.into());
    }
}
