//! Reads rows in order, ahead of the work, and cuts them into tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_schemas::{BatchSpec, ResumePoint, RowId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batches::OpenBatch;
use super::blocks::{Blocks, HeldPart};
use super::feeder::{Feeder, task_failed};
use super::tensor_parts::TensorPart;
use super::worker::{HeldRows, Task, TaskRow};
use super::workers::TaskQueue;
use crate::PipelineError;
use crate::budget::Admitted;
use crate::error::panic_message;
use crate::order::EpochOrder;
use crate::place::Place;
use crate::sources::{Part, read_part};

/// Units and parts read ahead, whatever the budget allows.
const AHEAD: usize = 64;

/// The rows of a unit that lie in one row group.
struct UnitPart {
    /// In file order over the dataset.
    group: usize,
    part: Part,
    /// What reading it takes.
    bytes: u64,
}

/// How a unit is read.
enum UnitParts {
    /// Row groups or rows of them, all at once.
    Whole(Vec<UnitPart>),
    /// It was too large: a block of it was read.
    Block(Vec<HeldPart>),
}

impl UnitParts {
    fn len(&self) -> usize {
        match self {
            Self::Whole(parts) => parts.len(),
            Self::Block(parts) => parts.len(),
        }
    }
}

/// What the reading half hands to the feeding half.
enum Read {
    /// Rows that are held together, in order, and the parts that hold them.
    Unit {
        epoch: u64,
        position: u64,
        end: u64,
        places: Vec<(usize, Place)>,
        parts: usize,
    },
    /// A part of the unit before, on its way.
    Part {
        rows: Option<Vec<u32>>,
        reading: JoinHandle<Result<HeldRows, PipelineError>>,
        place: String,
    },
    /// A part of the unit before, read already.
    Held(HeldPart),
    Failed(PipelineError),
    /// There are no more rows; without it, the reading half ended before its time.
    Done,
}

/// The batch at the front.
struct Open {
    batch: Arc<OpenBatch>,
    /// What no task has yet; `None` after the last, because whoever finishes the batch must find all parts given.
    parts: Option<Vec<TensorPart>>,
    next_slot: usize,
    rows: usize,
    pending: Vec<TaskRow>,
}

impl Feeder {
    /// Feeds all epochs, or until an error or nobody listens any more.
    pub(crate) async fn run(self: Arc<Self>, tasks: TaskQueue) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let reader = Arc::clone(&self);
        let reading = tokio::spawn(async move { reader.read(&sender).await });
        let reader = reading.abort_handle();
        let mut number = 0;
        let mut open = None;
        match self.feed(receiver, reading, &tasks, &mut number, &mut open).await {
            Ok(()) => self.layout.finished.end(number),
            Err(error) => {
                match open {
                    Some(Open { batch, .. }) => batch.fail(error),
                    None => self.layout.finished.put(number, error.into()),
                }
                self.layout.finished.end(number + 1);
            }
        }
        reader.abort();
    }

    /// The first position that no batch of this epoch holds.
    fn end(&self, from: u64) -> u64 {
        let rows = self.order.rows();
        let batch = self.layout.spec.capacity as u64;
        if self.drop_last { from + (rows - from) / batch * batch } else { rows }
    }

    async fn read(&self, out: &mpsc::Sender<Read>) {
        if let Err(error) = self.read_all(out).await {
            // Without a receiver the stream is being taken down.
            let _ = out.send(Read::Failed(error)).await;
        }
    }

    /// Until all is read or nobody listens any more.
    async fn read_all(&self, out: &mpsc::Sender<Read>) -> Result<(), PipelineError> {
        let mut from = self.from.position;
        let mut blocks = Blocks::new();
        for epoch in self.from.epoch..self.epochs {
            let order = self.order.epoch(epoch);
            let end = self.end(from);
            let mut position = from;
            from = 0;
            while position < end {
                let (places, parts) = if self.fits(&order, position) {
                    let mut places = order.unit(position, u64::MAX);
                    places.truncate((end - position) as usize);
                    let parts = self.parts(&places);
                    let index: BTreeMap<usize, usize> =
                        parts.iter().enumerate().map(|(i, part)| (part.group, i)).collect();
                    (places.into_iter().map(|place| (index[&place.group], place)).collect(), UnitParts::Whole(parts))
                } else {
                    let Some(block) = blocks.next(self, &order, position, end).await? else { return Ok(()) };
                    (block.places, UnitParts::Block(block.parts))
                };
                let rows = places.len() as u64;
                let unit = Read::Unit { epoch, position, end, places, parts: parts.len() };
                if out.send(unit).await.is_err() {
                    return Ok(());
                }
                let parts: Vec<Read> = match parts {
                    UnitParts::Whole(parts) => {
                        let mut bytes = self.admit(&parts).await?;
                        let start = |part: UnitPart| {
                            let bytes = bytes.split(part.bytes);
                            self.start_reading(part, bytes)
                        };
                        parts.into_iter().map(start).collect()
                    }
                    UnitParts::Block(parts) => parts.into_iter().map(Read::Held).collect(),
                };
                for part in parts {
                    if out.send(part).await.is_err() {
                        return Ok(());
                    }
                }
                position += rows;
            }
        }
        // Without a receiver the stream is being taken down.
        let _ = out.send(Read::Done).await;
        Ok(())
    }

    /// Whether the row groups that come together from here on fit into memory, and are read whole.
    fn fits(&self, order: &EpochOrder<'_>, position: u64) -> bool {
        let bytes = |group: usize| {
            let place = &self.groups[group];
            self.files[place.file as usize].group_bytes(place.group as usize).0
        };
        let together = order.groups(position).into_iter().map(bytes).fold(0, u64::saturating_add);
        !self.order.is_global() && together <= self.rows_share.limit()
    }

    /// The rows of a unit by row group.
    fn parts(&self, places: &[Place]) -> Vec<UnitPart> {
        let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        places.iter().for_each(|place| rows.entry(place.group).or_default().push(place.row));
        let part = |(group, mut rows): (usize, Vec<u32>)| {
            let place = &self.groups[group];
            rows.sort_unstable();
            rows.dedup();
            let rows = (rows.len() < place.rows as usize).then_some(rows);
            let columns = &self.files[place.file as usize];
            let (bytes, _) = match &rows {
                None => columns.group_bytes(place.group as usize),
                Some(rows) => columns.rows_bytes(place.group as usize, rows),
            };
            UnitPart { group, part: Part { group: place.group, rows }, bytes }
        };
        rows.into_iter().map(part).collect()
    }

    /// Admits all parts of a unit together: one that waited while others of the unit are held could wait for itself.
    async fn admit(&self, parts: &[UnitPart]) -> Result<Admitted, PipelineError> {
        let bytes = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
        self.rows_share.admit(bytes).await.map_err(|_| self.too_small(self.place(parts[0].group), bytes))
    }

    /// Reads on its own.
    fn start_reading(&self, UnitPart { group, part, .. }: UnitPart, mut bytes: Admitted) -> Read {
        let columns = Arc::clone(&self.files[self.groups[group].file as usize]);
        let (place, rows) = (self.place(group), part.rows.clone());
        let reading = tokio::spawn(async move {
            let rows = read_part(&columns, &part).await?;
            bytes.settle(rows.bytes);
            Ok(HeldRows { rows, _bytes: bytes })
        });
        Read::Part { rows, reading, place }
    }

    async fn feed(
        &self,
        mut read: mpsc::Receiver<Read>,
        reading: JoinHandle<()>,
        tasks: &TaskQueue,
        number: &mut u64,
        open: &mut Option<Open>,
    ) -> Result<(), PipelineError> {
        loop {
            let (epoch, position, end, places, parts) = match read.recv().await {
                Some(Read::Unit { epoch, position, end, places, parts }) => (epoch, position, end, places, parts),
                Some(Read::Failed(error)) => return Err(error),
                Some(Read::Done) => return Ok(()),
                Some(Read::Part { .. } | Read::Held(_)) => unreachable!("parts are received with their unit"),
                None => return Err(ended_early(reading).await),
            };
            let mut held = Vec::with_capacity(parts);
            for _ in 0..parts {
                match read.recv().await {
                    Some(Read::Part { rows, reading, place }) => {
                        let done = reading.await.unwrap_or_else(|error| Err(task_failed(error, place)));
                        held.push((Arc::new(done?), rows));
                    }
                    Some(Read::Held(part)) => held.push(part),
                    Some(Read::Failed(error)) => return Err(error),
                    _ => return Err(ended_early(reading).await),
                }
            }
            for (position, (part, place)) in (position..).zip(places) {
                if open.is_none() {
                    *open = Some(self.open_batch(*number, epoch, position, end).await);
                }
                let front = open.as_mut().expect("opened just above");
                front.pending.push(self.task_row(place, &held[part]));
                let full = front.next_slot + front.pending.len() == front.rows;
                if full || front.pending.len() >= self.chunk {
                    front.flush(tasks, &self.layout.spec);
                }
                if full {
                    *open = None;
                    *number += 1;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            // Rows that wait for the next unit would keep this one in memory, and so keep the next one out.
            if let Some(front) = open.as_mut() {
                front.flush(tasks, &self.layout.spec);
            }
        }
    }

    fn task_row(&self, place: Place, (held, rows): &(Arc<HeldRows>, Option<Vec<u32>>)) -> TaskRow {
        let group = &self.groups[place.group];
        let file = Arc::clone(&self.files[group.file as usize].name);
        let index = match rows {
            None => place.row as usize,
            Some(rows) => rows.binary_search(&place.row).expect("the part was made from these rows"),
        };
        let id = RowId { file, row_group: group.group, row: place.row };
        TaskRow { id, held: Arc::clone(held), index, turn: place.turn }
    }

    async fn open_batch(&self, number: u64, epoch: u64, position: u64, end: u64) -> Open {
        let bytes = self.batches_share.admit(self.layout.batch_bytes()).await;
        let bytes = bytes.expect("the share was made for two batches or more");
        let rows = (self.layout.spec.capacity as u64).min(end - position);
        let (next_epoch, next) = if position + rows == end { (epoch + 1, 0) } else { (epoch, position + rows) };
        let resume = ResumePoint { epoch: next_epoch, position: next, ..self.from.clone() };
        let (batch, parts) = OpenBatch::new(&self.layout, number, epoch, position, rows as usize, resume, bytes);
        Open { batch, parts: Some(parts), next_slot: 0, rows: rows as usize, pending: Vec::with_capacity(self.chunk) }
    }
}

impl Open {
    fn flush(&mut self, tasks: &TaskQueue, spec: &BatchSpec) {
        let rows = std::mem::take(&mut self.pending);
        let (first_slot, batch) = (self.next_slot, Arc::clone(&self.batch));
        self.next_slot += rows.len();
        let last = self.next_slot == self.rows;
        let parts = match &mut self.parts {
            Some(_) if last => self.parts.take(),
            rest => rest.as_mut().map(|rest| {
                let parts = spec.tensors.iter().zip(rest);
                parts.map(|(spec, rest)| rest.take_front(spec, rows.len())).collect()
            }),
        };
        if let Some(parts) = parts.filter(|_| !rows.is_empty()) {
            tasks.put(Task { batch, first_slot, rows, parts });
        }
    }
}

/// Why there are no more rows, though not all were read.
async fn ended_early(reading: JoinHandle<()>) -> PipelineError {
    let message = match reading.await.map_err(tokio::task::JoinError::try_into_panic) {
        Err(Ok(payload)) => panic_message(&*payload),
        _ => "it ended before the last row".into(),
    };
    PipelineError::Panicked { place: "reading".into(), message }
}
