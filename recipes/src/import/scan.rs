use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::boxes_outside::AllOutside;
use super::layout::{Layout, NumberedClasses};
use super::row_reader::{RowFault, RowReader};
use super::source_files::SourceFiles;
use super::values::Value;
use crate::{Event, Events, RecipeError, Stop};

/// Rows that a thread takes at a time.
const ROWS_AT_A_TIME: usize = 64;
/// Threads at most: more wait for the disk.
const MOST_THREADS: usize = 8;
/// Between two reports of progress.
const GLANCE: Duration = Duration::from_millis(50);

/// What is known of a row that was read once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScannedRow {
    /// Of its images, or of all of it where it has none.
    pub(super) identity: u128,
    /// Of all of it.
    pub(super) content: u128,
    /// Bytes that it takes in a file, about.
    pub(super) bytes: u64,
    pub(super) class: Option<u32>,
}

impl ScannedRow {
    /// `divided_by` says where the class stands that has no name.
    pub(super) fn of(cells: &[Value], divided_by: Option<&NumberedClasses>) -> Self {
        let (mut images, mut all) = (Sha256::new(), Sha256::new());
        let mut class = divided_by.and_then(|classes| classes.class(cells));
        let mut has_images = false;
        for cell in cells {
            let told = match cell {
                Value::Image { .. } => {
                    has_images = true;
                    // an image is gone through once
                    let mut own = Sha256::new();
                    let told = cell.tell(&mut own);
                    let own = own.finalize();
                    images.update(own);
                    told.and_then(|()| all.write_all(&own))
                }
                _ => cell.tell(&mut all),
            };
            told.expect("a hash can always be written to");
            if let Value::Class(own) = cell {
                class = Some(*own);
            }
        }
        let content = first_half(all);
        let identity = if has_images { first_half(images) } else { content };
        Self { identity, content, bytes: cells.iter().map(Value::bytes).sum(), class }
    }
}

fn first_half(hash: Sha256) -> u128 {
    let hash = hash.finalize();
    hash.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

/// Says how far an import is.
pub(super) struct Progress<'a> {
    events: &'a mut dyn Events,
    doing: &'static str,
    total: u64,
    begun: Instant,
    last: Option<Instant>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(events: &'a mut dyn Events, doing: &'static str, total: u64) -> Self {
        Self { events, doing, total, begun: Instant::now(), last: None }
    }

    pub(super) fn tell(&mut self, rows: u64, bytes: u64) {
        if self.last.is_some_and(|last| last.elapsed() < GLANCE) && rows < self.total {
            return;
        }
        self.last = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-3);
        let rate = rows as f64 / seconds;
        let left = self.total.saturating_sub(rows) as f64;
        self.events.event(&Event::Importing {
            doing: self.doing,
            rows,
            total: self.total,
            bytes,
            rows_per_second: rate,
            seconds_left: if rate > 0.0 { left / rate } else { 0.0 },
        });
    }
}

/// What reading every row once brought.
pub(super) struct Scanned {
    /// Of each row, what tells it from others, or why it cannot be used.
    pub(super) rows: Vec<Result<ScannedRow, String>>,
    /// Boxes that do not lie in their pictures.
    pub(super) boxes_outside: AllOutside,
}

/// Reads every row once: what of it cannot be used, and what tells it from others. `None` where it was stopped.
///
/// # Errors
/// A table cannot be read any more.
pub(super) fn scan(
    layout: &Layout,
    files: &SourceFiles,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<Scanned>, RecipeError> {
    let rows = &layout.rows;
    let next = AtomicUsize::new(0);
    let (done, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let found: Mutex<Vec<Option<Result<ScannedRow, String>>>> = Mutex::new(vec![None; rows.len()]);
    let failed: Mutex<Option<RecipeError>> = Mutex::new(None);
    let boxes_outside = Mutex::new(AllOutside::default());
    let lock = "no thread panics while it holds this";
    let work = || {
        let mut reader = RowReader::new(layout, files);
        loop {
            let first = next.fetch_add(ROWS_AT_A_TIME, Ordering::Relaxed);
            if first >= rows.len() || stop.is_requested() || failed.lock().expect(lock).is_some() {
                return;
            }
            let last = (first + ROWS_AT_A_TIME).min(rows.len());
            let mut own = Vec::with_capacity(ROWS_AT_A_TIME);
            for (at, row) in rows[first..last].iter().enumerate() {
                let read = reader.read(row).and_then(|mut cells| {
                    let outside = layout.boxes.apply(&mut cells)?;
                    Ok((cells, outside))
                });
                own.push(match read {
                    Ok((cells, outside)) => {
                        let scanned = ScannedRow::of(&cells, layout.divided_by.as_ref());
                        bytes.fetch_add(scanned.bytes, Ordering::Relaxed);
                        if let Some(outside) = outside {
                            boxes_outside.lock().expect(lock).add(first + at, outside);
                        }
                        Some(Ok(scanned))
                    }
                    Err(RowFault::LeftOut(reason)) => Some(Err(reason)),
                    Err(RowFault::Failed(error)) => {
                        failed.lock().expect(lock).get_or_insert(error);
                        return;
                    }
                });
                done.fetch_add(1, Ordering::Relaxed);
            }
            found.lock().expect(lock)[first..last].clone_from_slice(&own);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let threads = threads.min(rows.len().div_ceil(ROWS_AT_A_TIME));
    let mut progress = Progress::new(events, "read", rows.len() as u64);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            progress.tell(done.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
            thread::sleep(GLANCE / 10);
        }
    });
    if let Some(error) = failed.into_inner().expect(lock) {
        return Err(error);
    }
    if stop.is_requested() {
        return Ok(None);
    }
    let found = found.into_inner().expect(lock).into_iter();
    let rows = found.map(|row| row.expect("every row was read")).collect();
    Ok(Some(Scanned { rows, boxes_outside: boxes_outside.into_inner().expect(lock) }))
}
