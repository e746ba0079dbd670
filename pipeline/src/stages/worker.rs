//! What each worker thread does: decode, draw, render, in place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::Receiver;
use millstream_schemas::RowId;
use millstream_schemas::recipe::{ByteSize, TransparencyPolicy};
use millstream_transforms::{Chain, DrawKey, Raster, Scratch};

use super::batches::{Filled, FinishedBatch, OpenBatch, Shape, WorkTimes};
use super::damage::DamagedRow;
use super::reorder_buffer::ReorderBuffer;
use super::slots::Slots;
use crate::budget::{Admitted, Share};
use crate::decode::{self, DecodeScratch};
use crate::division::LargestImage;
use crate::error::{Damage, panic_message};
use crate::sources::LoadedRows;
use crate::{Columns, PipelineError, label};

/// Some consecutive rows of one batch.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) first_slot: usize,
    pub(crate) rows: Vec<TaskRow>,
    pub(crate) slots: Slots,
}

/// One row, as stored.
#[derive(Debug)]
pub(crate) struct TaskRow {
    pub(crate) id: RowId,
    pub(crate) held: Arc<HeldRows>,
    /// Within `held`.
    pub(crate) index: usize,
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
    pub(crate) chain: Chain,
    pub(crate) columns: Columns,
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
    pub(crate) transparency: TransparencyPolicy,
    /// Whether a damaged row ends the stream.
    pub(crate) fail_on_damage: bool,
    pub(crate) decoding: Share,
    pub(crate) largest_image: LargestImage,
    pub(crate) times: WorkTimes,
    pub(crate) stop: AtomicBool,
}

/// Buffers of images that took more than this are not kept for the next.
const LARGEST_KEPT: u64 = 16 << 20;

/// Buffers of one worker.
#[derive(Default)]
struct WorkerBuffers {
    decode: DecodeScratch,
    image: Raster,
    scratch: Scratch,
}

/// Why a row is not in its batch.
enum Failure {
    Damaged(Damage),
    Fatal(PipelineError),
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// Works until there are no more tasks. A panic outside a row's own work ends the stream with an error.
pub(crate) fn work(context: &WorkerContext, tasks: &Receiver<Task>, finished: &ReorderBuffer<FinishedBatch>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work_until_done(context, tasks))) {
        let message = panic_message(&*payload);
        finished.fail(PipelineError::Panicked { place: "a batch".into(), message }.into());
    }
}

fn work_until_done(context: &WorkerContext, tasks: &Receiver<Task>) {
    let mut buffers = WorkerBuffers::default();
    for task in tasks {
        if context.stop.load(Ordering::Relaxed) {
            return;
        }
        let mut clock = Clock::start();
        let batch = Arc::clone(&task.batch);
        let filled = context.carry_out(task, &mut buffers);
        batch.fill(filled);
        clock.lap(&context.times.all);
    }
}

/// Tells where time goes.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Adds the time since the last lap to a counter of nanoseconds.
    fn lap(&mut self, counter: &AtomicU64) {
        let now = Instant::now();
        counter.fetch_add((now - self.0).as_nanos() as u64, Ordering::Relaxed);
        self.0 = now;
    }
}

impl WorkerContext {
    fn carry_out(&self, mut task: Task, buffers: &mut WorkerBuffers) -> Filled {
        let floats = self.shape.floats();
        let mut filled = Filled { first_slot: task.first_slot, ..Filled::default() };
        for (index, row) in task.rows.into_iter().enumerate() {
            let out = &mut task.slots[index * floats..(index + 1) * floats];
            if filled.failure.is_some() {
                out.fill(0.0);
                filled.rows.push(None);
                continue;
            }
            let worked =
                catch_unwind(AssertUnwindSafe(|| self.row(&row, task.batch.epoch, buffers, out, &mut filled.texts)));
            let worked = worked.unwrap_or_else(|payload| {
                *buffers = WorkerBuffers::default();
                let place = row.id.to_string();
                Err(Failure::Fatal(PipelineError::Panicked { place, message: panic_message(&*payload) }))
            });
            let slot = task.first_slot + index;
            let done = match worked {
                Ok(label) => Ok(Some(label)),
                Err(Failure::Fatal(error)) => Err(error),
                Err(Failure::Damaged(damage)) if self.fail_on_damage => {
                    Err(PipelineError::Damaged { row: row.id.clone(), damage })
                }
                Err(Failure::Damaged(damage)) => {
                    filled.damaged.push(DamagedRow { slot, id: row.id.clone(), damage });
                    Ok(None)
                }
            };
            if self.shape == Shape::Text {
                filled.texts.resize(index + 1, String::new());
            }
            let label = done.unwrap_or_else(|error| {
                filled.failure = Some((slot, error));
                None
            });
            if label.is_none() {
                out.fill(0.0);
                if let Some(text) = filled.texts.get_mut(index) {
                    text.clear();
                }
            }
            filled.rows.push(label.map(|label| (row.id, label)));
        }
        filled.slots = Some(task.slots);
        filled
    }

    fn row(
        &self,
        row: &TaskRow,
        epoch: u64,
        buffers: &mut WorkerBuffers,
        out: &mut [f32],
        texts: &mut Vec<String>,
    ) -> Result<i64, Failure> {
        let label = label::class(row.held.rows.label(row.index), &self.columns)?;
        let bytes = row.held.rows.input(row.index).ok_or_else(|| self.columns.kind.null())?;
        let key = DrawKey { seed: self.seed, epoch, row: row.id.key() };
        match self.shape {
            Shape::Image { width, height } => self.image(row, bytes, &key, (width, height), buffers, out)?,
            Shape::Text => {
                let mut clock = Clock::start();
                let text = String::from_utf8_lossy(bytes);
                let drawing = self.chain.draw_text(&text, &key).map_err(|error| transform_error(row, error))?;
                texts.push(drawing.apply(&text).map_err(|error| transform_error(row, error))?);
                clock.lap(&self.times.transform);
            }
        }
        Ok(label)
    }

    fn image(
        &self,
        row: &TaskRow,
        bytes: &[u8],
        key: &DrawKey,
        wanted: (u32, u32),
        buffers: &mut WorkerBuffers,
        out: &mut [f32],
    ) -> Result<(), Failure> {
        let mut clock = Clock::start();
        let header = decode::header(bytes).map_err(Damage::Image)?;
        clock.lap(&self.times.decode);
        let drawing = self.chain.draw_image(&header.facts, key).map_err(|error| transform_error(row, error))?;
        let got = drawing.output_size(&header.facts);
        if got != wanted {
            return Err(Failure::Fatal(PipelineError::ImageSize {
                row: row.id.clone(),
                wanted_width: wanted.0,
                wanted_height: wanted.1,
                got_width: got.0,
                got_height: got.1,
            }));
        }
        let plan = drawing.plan(&header.facts).map_err(|error| transform_error(row, error))?;
        let needed = header.memory.saturating_add(plan.memory());
        clock.lap(&self.times.transform);
        let _admitted = self.admit(&header, needed)?;
        clock.lap(&self.times.memory_wait);
        let request = plan.decode_request();
        let decoded =
            decode::decode_into(bytes, &header, &request, self.transparency, &mut buffers.decode, &mut buffers.image);
        clock.lap(&self.times.decode);
        let rendered = decoded.map(|part| plan.render(&part, &mut buffers.scratch, out));
        clock.lap(&self.times.transform);
        if needed > LARGEST_KEPT {
            *buffers = WorkerBuffers::default();
        }
        rendered.map_err(Damage::Image)?.map_err(|error| transform_error(row, error))
    }

    fn admit(&self, header: &decode::Header, needed: u64) -> Result<Admitted, Damage> {
        let (limit, facts) = (self.largest_image, &header.facts);
        let too_large = || Damage::Memory {
            width: facts.width,
            height: facts.height,
            needed: ByteSize(needed),
            ceiling: limit.ceiling,
            enough: limit.ceiling_for(needed).rounded_up(),
        };
        if needed > limit.bytes() {
            return Err(too_large());
        }
        self.decoding.admit_blocking(needed).map_err(|_| too_large())
    }
}

fn transform_error(row: &TaskRow, source: millstream_transforms::TransformError) -> Failure {
    match Damage::of_transform(source) {
        Ok(damage) => Failure::Damaged(damage),
        Err(source) => Failure::Fatal(PipelineError::Transform { row: row.id.clone(), source }),
    }
}
