//! Where the pages of a column chunk lie, and their bytes, checked as the Parquet reader asks for them.

use std::io::Empty;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use millstream_schemas::shown_up_to;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::page_header::{PageHeader, check_unpacked_levels};
use crate::PipelineError;
use crate::stores::OpenFile;

/// Bytes that are read to find a page's header; more when it is longer, as with statistics in it.
const HEADER: u64 = 512;
/// Longer headers are refused.
const LONGEST_HEADER: u64 = 16 << 20;

/// Bytes by which the decompressed pages of a chunk may exceed what the footer says: writers count headers differently.
const UNCOUNTED: u64 = 1 << 20;

/// What is wrong with a page, in our words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PageDamage(pub(super) String);

impl From<PageDamage> for ParquetError {
    fn from(damage: PageDamage) -> Self {
        Self::External(damage.into())
    }
}

/// Where a data page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PagePlace {
    /// In the file.
    pub(super) offset: u64,
    /// With its header.
    pub(super) bytes: u64,
    /// Once decompressed; `None` where only the page index was looked at, which does not say.
    pub(super) unpacked: Option<u64>,
    /// Values of the column before it: as many as rows, unless it holds lists.
    pub(super) first_value: u32,
    pub(super) values: u32,
}

/// Where all pages of a column chunk lie. The column holds one value a row; or lists, whose pages need not begin with a row:
/// how many rows they have is then not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChunkPages {
    /// The dictionary's page, with its header.
    pub(super) dictionary: Option<Range<u64>>,
    /// Bytes of the dictionary once decompressed, where they are known.
    pub(super) unpacked_dictionary: Option<u64>,
    /// In the order of their rows; none is empty.
    pub(super) pages: Vec<PagePlace>,
    /// Whether the column holds lists: its pages are read one after the other, and in which of them a row lies is not known.
    pub(super) lists: bool,
}

impl PagePlace {
    /// Apart from what a page index does not say.
    pub(super) fn same_place(&self, other: &Self) -> bool {
        let place = |page: &Self| (page.offset, page.bytes, page.first_value, page.values);
        place(self) == place(other)
    }
}

impl ChunkPages {
    /// As the page index says; `None` where there is none, or none that makes sense.
    pub(super) fn from_index(stored: &Range<u64>, rows: u32, locations: &[PageLocation]) -> Option<Self> {
        let mut pages = Vec::with_capacity(locations.len());
        let mut at = u64::try_from(locations.first()?.offset).ok()?;
        let dictionary = (at != stored.start).then_some(stored.start..at);
        for (index, location) in locations.iter().enumerate() {
            let next = locations.get(index + 1).map_or(i64::from(rows), |next| next.first_row_index);
            let place = PagePlace {
                offset: u64::try_from(location.offset).ok()?,
                bytes: u64::try_from(location.compressed_page_size).ok()?,
                unpacked: None,
                first_value: u32::try_from(location.first_row_index).ok()?,
                values: u32::try_from(next - location.first_row_index).ok().filter(|rows| *rows > 0)?,
            };
            at = place.offset.checked_add(place.bytes).filter(|end| place.offset >= at && *end <= stored.end)?;
            pages.push(place);
        }
        let lists = false;
        (stored.start <= pages.first()?.offset).then_some(Self { dictionary, unpacked_dictionary: None, pages, lists })
    }

    /// As the headers say, which are walked over from the chunk's first byte. `rows` is how many values there are, and `read`
    /// gives bytes of the file.
    pub(super) fn walk(
        stored: &Range<u64>,
        rows: u32,
        lists: bool,
        mut read: impl FnMut(Range<u64>) -> Result<Bytes, PipelineError>,
    ) -> Result<Self, ParquetError> {
        let mut chunk = Self { dictionary: None, unpacked_dictionary: None, pages: Vec::new(), lists };
        let what = if lists { "values" } else { "rows" };
        let (mut at, mut row) = (stored.start, 0_u32);
        while row < rows {
            let damaged = |reason: String| PageDamage(format!("the page at byte {at}: {reason}"));
            if at >= stored.end {
                let reason = format!("its pages hold {row} {what}, the row group has {rows}");
                return Err(PageDamage(reason).into());
            }
            let mut ahead = HEADER;
            let header = loop {
                let until = stored.end.min(at.saturating_add(ahead));
                let bytes = read(at..until).map_err(|error| ParquetError::External(error.into()))?;
                match PageHeader::read(&bytes) {
                    Ok(header) => break header,
                    Err(_) if until < stored.end && ahead < LONGEST_HEADER => ahead *= 32,
                    Err(reason) => return Err(damaged(reason).into()),
                }
            };
            let end = at + (header.length + header.stored) as u64;
            if end > stored.end {
                let beyond = format!("it ends at byte {end}, the column's bytes at {}", stored.end);
                return Err(damaged(beyond).into());
            }
            if header.is_dictionary() {
                if at != stored.start || end - at > i32::MAX as u64 {
                    return Err(damaged("a dictionary that is not the first page".into()).into());
                }
                chunk.dictionary = Some(at..end);
                chunk.unpacked_dictionary = Some(header.unpacked as u64);
            } else if header.values > rows - row {
                let reason = format!("it has {} values, and only {} {what} are left", header.values, rows - row);
                return Err(damaged(reason).into());
            } else if header.values > 0 {
                let (bytes, unpacked) = (end - at, Some(header.unpacked as u64));
                chunk.pages.push(PagePlace { offset: at, bytes, unpacked, first_value: row, values: header.values });
                row += header.values;
            }
            at = end;
        }
        Ok(chunk)
    }

    /// The page of a row.
    pub(super) fn page_of(&self, row: u32) -> usize {
        self.pages.partition_point(|page| page.first_value <= row).saturating_sub(1)
    }

    /// The bytes that some rows (ascending) lie in, with the dictionary: neighbouring pages together.
    pub(super) fn touched(&self, rows: &[u32]) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = self.dictionary.iter().cloned().collect();
        let mut last = usize::MAX;
        for &row in rows {
            let page = self.page_of(row);
            if page == last {
                continue;
            }
            last = page;
            let PagePlace { offset, bytes, .. } = self.pages[page];
            match ranges.last_mut() {
                Some(range) if range.end == offset => range.end += bytes,
                _ => ranges.push(offset..offset + bytes),
            }
        }
        ranges
    }

    fn locations(&self) -> Vec<PageLocation> {
        let location = |page: &PagePlace| PageLocation {
            offset: page.offset as i64,
            compressed_page_size: page.bytes as i32,
            first_row_index: i64::from(page.first_value),
        };
        self.pages.iter().map(location).collect()
    }
}

/// Where pages come from.
#[derive(Debug)]
pub(super) enum PageBytes {
    /// Ranges in memory, by their first byte, ascending.
    Loaded(Vec<(u64, Bytes)>),
    /// The file, one page at a time.
    Stored(OpenFile),
}

impl PageBytes {
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes, PipelineError> {
        match self {
            Self::Stored(file) => file.read(range),
            Self::Loaded(ranges) => {
                let before = ranges.partition_point(|(start, _)| *start <= range.start);
                let (start, bytes) = &ranges[before.checked_sub(1).expect("a page is asked for after its range")];
                let (from, until) = ((range.start - start) as usize, (range.end - start) as usize);
                assert!(until <= bytes.len(), "a page is asked for that was not fetched");
                Ok(bytes.slice(from..until))
            }
        }
    }
}

/// A column chunk for the Parquet reader.
pub(super) struct Chunk {
    pub(super) bytes: Arc<PageBytes>,
    pub(super) pages: Arc<ChunkPages>,
    pub(super) column: ColumnChunkMetaData,
    /// The first damage that is found: the reader makes one text of all errors.
    pub(super) damage: Arc<OnceLock<String>>,
    /// Bytes of the pages that were asked for, once decompressed.
    pub(super) unpacked: AtomicU64,
}

impl Chunk {
    /// The column's name in messages.
    fn named(&self, reason: impl std::fmt::Display) -> PageDamage {
        let path = shown_up_to(self.column.column_path().string(), 100);
        PageDamage(self.damage.get_or_init(|| format!("column `{path}`: {reason}")).clone())
    }

    /// The pages one after the other.
    pub(super) fn reader(self, rows: usize) -> Result<CheckedPages, ParquetError> {
        let mut column = self.column.clone();
        if self.pages.dictionary.is_none() && column.dictionary_page_offset().is_some() {
            // Some writers state an offset of a dictionary that is not there.
            column = column.into_builder().set_dictionary_page_offset(None).build()?;
        }
        // Where pages of lists begin is counted in values, and so is where they end.
        let values = |pages: &ChunkPages| pages.pages.iter().map(|page| page.values as usize).sum();
        let rows = if self.pages.lists { values(&self.pages) } else { rows };
        let (locations, chunk) = (self.pages.locations(), Arc::new(self));
        let reader = SerializedPageReader::new(Arc::clone(&chunk), &column, rows, Some(locations))?;
        Ok(CheckedPages { reader, chunk })
    }

    fn checked(&self, start: u64, length: u64) -> Result<Bytes, String> {
        let ChunkPages { dictionary, pages, .. } = &*self.pages;
        let page = pages.binary_search_by_key(&start, |page| page.offset).ok().map(|index| &pages[index]);
        let bytes = self.bytes.read(start..start + length).map_err(|error| with_source(&error))?;
        let header = PageHeader::read(&bytes)?;
        if header.is_dictionary() != dictionary.as_ref().is_some_and(|dictionary| dictionary.start == start) {
            return Err("the dictionary is where the page index has none, or the other way round".into());
        }
        if let Some(page) = page.filter(|page| page.values != header.values) {
            return Err(format!("its header says {} values, the page index {} rows", header.values, page.values));
        }
        header.check(&bytes[header.length..], &self.column)?;
        self.count(header.unpacked as u64)?;
        Ok(bytes)
    }

    /// Memory is taken by what the footer says, and pages are decompressed by what their headers say.
    fn count(&self, unpacked: u64) -> Result<(), String> {
        let all = self.unpacked.fetch_add(unpacked, Ordering::Relaxed).saturating_add(unpacked);
        let stated = u64::try_from(self.column.uncompressed_size()).unwrap_or(0);
        if all > stated.saturating_add(UNCOUNTED) {
            return Err(format!(
                "with it the column's pages are {all} bytes once decompressed, and the footer says {stated} of all"
            ));
        }
        Ok(())
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.pages.pages.last().map_or(0, |page| page.offset + page.bytes)
    }
}

impl ChunkReader for Chunk {
    type T = Empty;

    fn get_read(&self, start: u64) -> Result<Empty, ParquetError> {
        Err(self.named(format!("byte {start} was asked for, where no page begins")).into())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let damaged = |reason| self.named(format!("the page at byte {start}: {reason}")).into();
        self.checked(start, length as u64).map_err(damaged)
    }
}

/// The pages of a column chunk: what the Parquet reader makes of them is checked once more, and its errors name the
/// column.
pub(super) struct CheckedPages {
    reader: SerializedPageReader<Chunk>,
    chunk: Arc<Chunk>,
}

impl CheckedPages {
    fn named(&self, error: ParquetError) -> ParquetError {
        match error {
            ParquetError::External(ours) if ours.is::<PageDamage>() => ParquetError::External(ours),
            error => self.chunk.named(format!("a page cannot be decompressed: {}", reader_says(&error))).into(),
        }
    }

    fn check(&self, page: &Page) -> Result<(), ParquetError> {
        let column = self.chunk.column.column_descr();
        let Page::DataPage { buf, num_values, def_level_encoding, rep_level_encoding, .. } = page else {
            return Ok(());
        };
        let damaged = |reason| self.chunk.named(format!("a page cannot be used: {reason}"));
        let levels = [(column.max_rep_level(), rep_level_encoding), (column.max_def_level(), def_level_encoding)];
        let mut rest = &buf[..];
        for (most, encoding) in levels.into_iter().filter(|(most, _)| *most > 0) {
            // The older packed levels have the length that their number gives.
            if *encoding != Encoding::RLE {
                break;
            }
            rest = check_unpacked_levels(rest, *num_values, most).map_err(damaged)?;
        }
        Ok(())
    }
}

/// The reader's own words, cut and escaped.
pub(super) fn reader_says(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) => shown_up_to(text.clone(), 400),
        ParquetError::External(error) => shown_up_to(with_source(&**error), 400),
        error => shown_up_to(error.to_string(), 400),
    }
}

/// What a store said lies below what it was asked for.
fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.reader.get_next_page().map_err(|error| self.named(error))?;
        page.iter().try_for_each(|page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        let next = self.reader.peek_next_page()?;
        // How many rows a page of lists has is not known before its levels are read.
        Ok(next.map(|page| PageMetadata { num_rows: page.num_rows.filter(|_| !self.chunk.pages.lists), ..page }))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.reader.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.reader.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>, ParquetError> {
        self.reader.take_deferred_dictionary().map_err(|error| self.named(error))
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        match self.chunk.pages.lists {
            false => self.reader.at_record_boundary(),
            // A list may go on in the next page.
            true => Ok(self.reader.peek_next_page()?.is_none()),
        }
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The pages of one column chunk, as the Parquet reader wants them.
pub(super) struct OneChunk(pub(super) Option<CheckedPages>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}
