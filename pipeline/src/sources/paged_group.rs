//! A row group that is read a page at a time, so that it need not fit into memory: single rows are copied out of their
//! pages. Where the pages lie is always learnt from their headers, which also say how large pages are once decompressed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::basic::{Compression, Encoding};

use super::columns::{LIST_ELEMENT_BYTES, row_bytes};
use super::pages::{ChunkPages, PageBytes};
use super::row_group::GroupPages;
use super::rows::{Gather, in_group};
use super::{FileColumns, LoadedRows, Part};
use crate::PipelineError;

/// Rows that are decoded at a time, at most.
const LARGEST_STEP: usize = 256;
/// Bytes of pages that are decoded at a time when a single page is smaller, and the part of all memory for rows.
const STEP_BYTES: u64 = 2 << 20;
const STEP_PART: u64 = 16;

/// Where the pages of a row group's read columns lie, and how large they are.
#[derive(Debug)]
pub(crate) struct PagedGroup {
    columns: Arc<FileColumns>,
    group: u32,
    chunks: Vec<(usize, Arc<ChunkPages>)>,
}

/// Rows that were read, or why not.
#[derive(Debug)]
pub(crate) enum Block {
    Read(LoadedRows),
    /// They take more than was allowed.
    TooLarge,
    /// Nobody wants them any more.
    Stopped,
}

impl PagedGroup {
    /// Reads the headers of all pages.
    pub(crate) fn open(columns: &Arc<FileColumns>, group: u32) -> Result<Self, PipelineError> {
        let bytes = PageBytes::Stored(columns.storage.open()?);
        let chunks = in_group(columns, group, || columns.walked(group as usize, &bytes))?;
        Ok(Self { columns: Arc::clone(columns), group, chunks })
    }

    /// How many pages there are.
    pub(crate) fn pages(&self) -> usize {
        self.chunks.iter().map(|(_, chunk)| chunk.pages.len()).sum()
    }

    /// Bytes that reading takes beside the rows: of each column its dictionary, the pages of a step, and a page while it
    /// is decompressed. `limit` is all that there is for rows.
    pub(crate) fn scratch(&self, limit: u64) -> u64 {
        let of_chunk = |leaf: usize, chunk: &ChunkPages| {
            let stored = chunk.pages.iter().map(|page| page.bytes).max().unwrap_or(0);
            let largest = chunk.largest_page();
            let dictionary = chunk.dictionary.as_ref().map_or(0, |range| range.end - range.start);
            // The page before is held until the next is there; one that is not compressed is used as it was read.
            let next = if self.is_unpacked(leaf) { stored.saturating_add(largest) } else { stored };
            // Where the rows of a step lie among pages of lists is not known, and strings may point into any of them.
            let step = if chunk.lists { chunk.listed() } else { chunk.step_bytes(largest, limit) };
            let pages = step.saturating_add(next);
            chunk.unpacked_dictionary.unwrap_or(0).saturating_add(pages.max(dictionary))
        };
        self.chunks.iter().fold(0, |sum: u64, (leaf, chunk)| sum.saturating_add(of_chunk(*leaf, chunk)))
    }

    /// Whether the values of a page take other bytes than the page as it is stored.
    fn is_unpacked(&self, leaf: usize) -> bool {
        let column = self.columns.metadata.metadata().row_group(self.group as usize).column(leaf);
        let mask = column.encodings_mask();
        let delta = [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY];
        column.compression() != Compression::UNCOMPRESSED || delta.into_iter().any(|encoding| mask.is_set(encoding))
    }

    /// Bytes that some rows (ascending) take once they are read, if the rows of a page are alike.
    pub(crate) fn rows_bytes(&self, rows: &[u32]) -> u64 {
        let group_rows = u64::from(self.columns.group_rows(self.group as usize)).max(1);
        let of_chunk = |chunk: &ChunkPages| {
            if chunk.lists {
                return chunk.listed().div_ceil(group_rows).saturating_mul(rows.len() as u64);
            }
            let alike = |row: &u32| {
                let page = &chunk.pages[chunk.page_of(*row)];
                page.unpacked.unwrap_or(0).div_ceil(u64::from(page.values))
            };
            rows.iter().map(alike).fold(0, u64::saturating_add)
        };
        let rows_alone = row_bytes(self.columns.columns.len()).saturating_mul(rows.len() as u64);
        self.chunks.iter().fold(rows_alone, |sum, (_, chunk)| sum.saturating_add(of_chunk(chunk)))
    }

    /// Reads some rows (ascending), of at most `most` bytes.
    pub(crate) fn read(
        &self,
        rows: Vec<u32>,
        most: u64,
        limit: u64,
        stop: &AtomicBool,
    ) -> Result<Block, PipelineError> {
        let bytes = PageBytes::Stored(self.columns.storage.open()?);
        let step = self.step(&rows, limit);
        let part = Part { group: self.group, rows: Some(rows) };
        in_group(&self.columns, self.group, || {
            let rows = part.rows.as_deref();
            let group = GroupPages::of_chunks(&self.columns, self.group as usize, bytes, self.chunks.clone());
            let mut gather = Gather::copying(&self.columns, &part, step);
            for batch in group.batches(rows, step)? {
                let batch = batch?;
                if gather.bytes().saturating_add(gather.copied_bytes(&batch)?) > most {
                    return Ok(Block::TooLarge);
                }
                gather.push(&batch)?;
                if gather.bytes() > most {
                    return Ok(Block::TooLarge);
                }
                if stop.load(Ordering::Relaxed) {
                    return Ok(Block::Stopped);
                }
            }
            gather.finish().map(Block::Read)
        })
    }

    /// How many rows to decode at a time: the decoder holds all pages that these lie in.
    fn step(&self, rows: &[u32], limit: u64) -> usize {
        let fits = |step: usize| {
            self.chunks.iter().filter(|(_, chunk)| !chunk.lists).all(|(_, chunk)| {
                let most = chunk.step_bytes(chunk.largest_page(), limit);
                let mut before = vec![0_u64];
                let mut last = usize::MAX;
                let pages: Vec<usize> = rows.iter().map(|&row| chunk.page_of(row)).collect();
                for &page in &pages {
                    let new = if page == last { 0 } else { chunk.pages[page].unpacked.unwrap_or(0) };
                    last = page;
                    before.push(before[before.len() - 1].saturating_add(new));
                }
                // The page of the first row counts, whether or not an earlier row was in it.
                (0..rows.len()).step_by(step).all(|from| {
                    let until = (from + step).min(rows.len());
                    let first = chunk.pages[pages[from]].unpacked.unwrap_or(0);
                    first.saturating_add(before[until] - before[from + 1]) <= most
                })
            })
        };
        std::iter::successors(Some(LARGEST_STEP), |step| Some(step / 2))
            .find(|&step| step == 1 || fits(step))
            .unwrap_or(1)
    }
}

impl ChunkPages {
    fn largest_page(&self) -> u64 {
        self.pages.iter().filter_map(|page| page.unpacked).max().unwrap_or(0)
    }

    /// Bytes of all pages.
    fn unpacked(&self) -> u64 {
        self.pages.iter().filter_map(|page| page.unpacked).fold(0, u64::saturating_add)
    }

    /// Bytes of all pages of lists, with those of their elements.
    fn listed(&self) -> u64 {
        let values = self.pages.iter().map(|page| u64::from(page.values)).fold(0, u64::saturating_add);
        self.unpacked().saturating_add(values.saturating_mul(LIST_ELEMENT_BYTES))
    }

    /// Bytes of pages that a step may hold: any page must fit.
    fn step_bytes(&self, largest: u64, limit: u64) -> u64 {
        largest.max(STEP_BYTES.min(limit / STEP_PART).min(self.unpacked()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::PagePlace;
    use super::*;

    #[test]
    fn what_reading_lists_takes_has_their_elements_in_it() {
        let page = |values| PagePlace { offset: 0, bytes: 9, unpacked: Some(100), first_value: 0, values };
        for (values, wanted) in [
            (vec![], 0),
            (vec![10, 2], 200 + 12 * LIST_ELEMENT_BYTES),
            (vec![u32::MAX], 100 + u64::from(u32::MAX) * LIST_ELEMENT_BYTES),
        ] {
            let pages = values.iter().copied().map(page).collect();
            let chunk = ChunkPages { dictionary: None, unpacked_dictionary: None, pages, lists: true };
            assert_eq!(chunk.listed(), wanted, "{values:?}");
        }
    }
}
