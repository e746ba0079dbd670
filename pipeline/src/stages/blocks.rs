//! Units that do not fit into memory, cut into blocks of the order that do. How they are cut decides no order and no
//! byte: a block is the next few rows, copied out of their pages.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::feeder::Feeder;
use super::worker::HeldRows;
use crate::PipelineError;
use crate::order::EpochOrder;
use crate::place::Place;
use crate::sources::{Block, LoadedRows, PagedGroup};

/// Rows of a stream's first block; each may have twice as many as the one before, so that a stream begins soon.
const FIRST_BLOCK: u64 = 1024;
/// Rows of any block.
const LARGEST_BLOCK: u64 = 1 << 20;
/// Places of pages that are remembered; beyond, their headers are read again for each block.
const REMEMBERED_PAGES: usize = 1 << 17;

/// The row groups that blocks are read from.
#[derive(Debug)]
pub(super) struct Blocks {
    groups: HashMap<usize, Arc<PagedGroup>>,
    pages: usize,
    /// Rows of the next block, at most.
    most_rows: u64,
}

/// A row group's rows and where they are, as tasks want them.
pub(super) type HeldPart = (Arc<HeldRows>, Option<Vec<u32>>);

/// Some rows of the order, in memory.
#[derive(Debug)]
pub(super) struct ReadBlock {
    /// In order, each with the part that holds it.
    pub(super) places: Vec<(usize, Place)>,
    pub(super) parts: Vec<HeldPart>,
}

/// The rows that a block has in one row group.
struct Wanted {
    group: Arc<PagedGroup>,
    rows: Vec<u32>,
}

/// What reading together needs, if rows are as large as their pages say.
struct Need {
    rows: u64,
    scratch: u64,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self { groups: HashMap::new(), pages: 0, most_rows: FIRST_BLOCK }
    }

    /// Reads the next rows of an epoch, from `position` on and before `end`; `None` when the stream is being taken down.
    pub(super) async fn next(
        &mut self,
        feeder: &Feeder,
        order: &EpochOrder<'_>,
        position: u64,
        end: u64,
    ) -> Result<Option<ReadBlock>, PipelineError> {
        let mut count = self.most_rows.min(end - position);
        self.most_rows = (self.most_rows * 2).min(LARGEST_BLOCK);
        loop {
            let places = order.unit(position, count);
            count = places.len() as u64;
            let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
            places.iter().for_each(|place| rows.entry(place.group).or_default().push(place.row));
            let mut wanted = Vec::with_capacity(rows.len());
            for (&group, rows) in &mut rows {
                rows.sort_unstable();
                rows.dedup();
                wanted.push(Wanted { group: self.group(feeder, group).await?, rows: std::mem::take(rows) });
            }
            let limit = feeder.rows_share.limit();
            let need = Need::of(&wanted, limit);
            // One block is read while the one before is being used.
            let most = limit.saturating_sub(need.scratch) / 2;
            if count > 1 && need.rows > most {
                let share = u128::from(count) * u128::from(most) * 7 / 8 / u128::from(need.rows);
                count = u64::try_from(share).unwrap_or(1).clamp(1, count - 1);
                continue;
            }
            let most = if count == 1 { limit.saturating_sub(need.scratch) } else { most };
            let place = feeder.place(places[0].group);
            let too_small = |rows: u64| {
                feeder.too_small(format!("{place}: reading its pages one by one"), need.scratch.saturating_add(rows))
            };
            if most == 0 {
                return Err(too_small(need.rows));
            }
            // What rows may take in the end is held from the beginning: they are as large as they are.
            let admitted = feeder.rows_share.admit(need.scratch + most).await;
            let mut bytes = admitted.map_err(|_| too_small(need.rows))?;
            let Some(loaded) = read(feeder, wanted, most).await? else { return Ok(None) };
            let Some(loaded) = loaded else {
                if count == 1 {
                    return Err(too_small(most.max(need.rows).saturating_mul(2)));
                }
                count /= 2;
                // The next block is as likely to be as large.
                self.most_rows = count;
                continue;
            };
            bytes.settle(loaded.iter().map(|(rows, _)| rows.bytes).sum());
            let parts = loaded.into_iter().map(|(rows, asked)| {
                let held = HeldRows { _bytes: bytes.split(rows.bytes), rows };
                (Arc::new(held), Some(asked))
            });
            let parts = parts.collect();
            let index: HashMap<usize, usize> = rows.keys().enumerate().map(|(index, &group)| (group, index)).collect();
            let places = places.into_iter().map(|place| (index[&place.group], place)).collect();
            return Ok(Some(ReadBlock { places, parts }));
        }
    }

    async fn group(&mut self, feeder: &Feeder, group: usize) -> Result<Arc<PagedGroup>, PipelineError> {
        if let Some(known) = self.groups.get(&group) {
            return Ok(Arc::clone(known));
        }
        let place = feeder.groups[group];
        let columns = Arc::clone(&feeder.files[place.file as usize]);
        let opened = tokio::task::spawn_blocking(move || PagedGroup::open(&columns, place.group)).await;
        let opened = Arc::new(opened.map_err(|error| super::feeder::task_failed(error, feeder.place(group)))??);
        if self.pages + opened.pages() <= REMEMBERED_PAGES {
            self.pages += opened.pages();
            self.groups.insert(group, Arc::clone(&opened));
        }
        Ok(opened)
    }
}

impl Need {
    fn of(wanted: &[Wanted], limit: u64) -> Self {
        let rows = wanted.iter().map(|part| part.group.rows_bytes(&part.rows)).fold(0, u64::saturating_add);
        let scratch = wanted.iter().map(|part| part.group.scratch(limit)).max().unwrap_or(0);
        Self { rows, scratch }
    }
}

/// Rows of one row group, and which they are.
type LoadedPart = (LoadedRows, Vec<u32>);

/// Reads one row group after the other. `None` when the stream is being taken down, and within when the rows turn out to
/// take more than `most` bytes.
async fn read(
    feeder: &Feeder,
    wanted: Vec<Wanted>,
    most: u64,
) -> Result<Option<Option<Vec<LoadedPart>>>, PipelineError> {
    let limit = feeder.rows_share.limit();
    let stop = Arc::clone(&feeder.stop);
    let reading = tokio::task::spawn_blocking(move || {
        let mut left = most;
        let mut loaded = Vec::with_capacity(wanted.len());
        for Wanted { group, rows } in wanted {
            match group.read(rows.clone(), left, limit, &stop)? {
                Block::Stopped => return Ok(None),
                Block::TooLarge => return Ok(Some(None)),
                Block::Read(read) if read.bytes > left => return Ok(Some(None)),
                Block::Read(read) => {
                    left -= read.bytes;
                    loaded.push((read, rows));
                }
            }
        }
        Ok(Some(Some(loaded)))
    });
    reading.await.map_err(|error| super::feeder::task_failed(error, "a block of rows".into()))?
}
