//! What a worker thread does with a task: decode, draw, render, in place.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use millstream_schemas::{RowId, TensorSpec};

use super::batches::{Filled, OpenBatch};
use super::damage::DamagedRow;
use super::tensor_parts::TensorPart;
use crate::PipelineError;
use crate::budget::Admitted;
use crate::encodings::{EncodeError, Encoders, RowBuffers, RowTensor, RowWork, Sample};
use crate::error::panic_message;
use crate::sources::LoadedRows;

/// Some consecutive rows of one batch.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) first_slot: usize,
    pub(crate) rows: Vec<TaskRow>,
    /// Of each tensor where they are written.
    pub(crate) parts: Vec<TensorPart>,
}

/// One row, as stored.
#[derive(Debug)]
pub(crate) struct TaskRow {
    pub(crate) id: RowId,
    pub(crate) held: Arc<HeldRows>,
    /// Within `held`.
    pub(crate) index: usize,
    /// How often it has come in the epoch before.
    pub(crate) turn: u32,
}

/// Rows in memory, with their bytes.
#[derive(Debug)]
pub(crate) struct HeldRows {
    pub(crate) rows: LoadedRows,
    pub(crate) _bytes: Admitted,
}

/// What every worker needs.
#[derive(Debug)]
pub(crate) struct WorkerContext {
    pub(crate) encoders: Encoders,
    pub(crate) tensors: Vec<TensorSpec>,
    /// Of each encoder which of the tensors it makes.
    pub(crate) tensors_of: Vec<Range<usize>>,
    pub(crate) work: RowWork,
    /// Whether a damaged row ends the stream.
    pub(crate) fail_on_damage: bool,
    /// How many epochs have draws of their own, where not all have.
    pub(crate) draws: Option<u64>,
    pub(crate) stop: AtomicBool,
}

impl WorkerContext {
    /// Carries a task out and puts its rows into their batch.
    pub(super) fn work(&self, task: Task, buffers: &mut RowBuffers) {
        let started = Instant::now();
        let batch = Arc::clone(&task.batch);
        let filled = self.carry_out(task, buffers);
        batch.fill(filled);
        self.work.times.all.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    fn carry_out(&self, task: Task, buffers: &mut RowBuffers) -> Filled {
        let mut parts = task.parts;
        let mut filled = Filled { first_slot: task.first_slot, ..Filled::default() };
        for (index, row) in task.rows.into_iter().enumerate() {
            let tensors = self.tensors.iter().zip(&mut parts);
            let mut out: Vec<RowTensor<'_>> = tensors.map(|(spec, part)| part.row(spec, index)).collect();
            let slot = task.first_slot + index;
            let mut weight = None;
            if filled.failure.is_none() {
                let worked = catch_unwind(AssertUnwindSafe(|| self.row(&row, task.batch.epoch, buffers, &mut out)));
                let worked = worked.unwrap_or_else(|payload| {
                    *buffers = RowBuffers::default();
                    let place = row.id.to_string();
                    Err(EncodeError::Fatal(PipelineError::Panicked { place, message: panic_message(&*payload) }))
                });
                match worked {
                    Ok(of_row) => weight = Some(of_row),
                    Err(EncodeError::Damaged(damage)) if !self.fail_on_damage => {
                        filled.damaged.push(DamagedRow { slot, id: row.id.clone(), damage });
                    }
                    Err(error) => filled.failure = Some((slot, error.of_row(&row.id))),
                }
            }
            if weight.is_none() {
                out.iter_mut().for_each(RowTensor::clear);
            }
            filled.rows.push(weight.map(|weight| (row.id, weight)));
        }
        filled.parts = parts;
        filled
    }

    /// The weight of a row that was written.
    fn row(
        &self,
        row: &TaskRow,
        epoch: u64,
        buffers: &mut RowBuffers,
        out: &mut [RowTensor<'_>],
    ) -> Result<f32, EncodeError> {
        let values = row.held.rows.row(row.index);
        let draw = match self.draws {
            Some(draws) => epoch % draws.max(1),
            // each time that a row comes in an epoch it is drawn anew
            None => epoch ^ u64::from(row.turn) << 32,
        };
        let mut sample = Sample::new(&row.id, draw, &self.work, buffers);
        for index in self.encoders.cheapest_first() {
            self.encoders.encode(*index, values, &mut sample, &mut out[self.tensors_of[*index].clone()])?;
        }
        Ok(sample.weight())
    }
}
