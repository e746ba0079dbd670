//! The pages of one row group, for the Parquet reader.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups, RowSelection};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::PageIterator;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::FileColumns;
use super::pages::{Chunk, ChunkPages, OneChunk, PageBytes, PageDamage, reader_says};
use crate::PipelineError;
use crate::error::panic_message;

/// The read columns of a row group: where their pages lie, and their bytes.
#[derive(Debug)]
pub(super) struct GroupPages<'a> {
    columns: &'a FileColumns,
    group: usize,
    bytes: Arc<PageBytes>,
    /// By leaf.
    chunks: Vec<(usize, Arc<ChunkPages>)>,
    damage: Arc<OnceLock<String>>,
}

/// What must be fetched of a row group before it is decoded.
pub(super) struct Wanted {
    /// Ascending, apart.
    pub(super) ranges: Vec<Range<u64>>,
}

impl Wanted {
    /// All of the columns, or only the pages of some rows (ascending) where the page index says where they are.
    pub(super) fn new(columns: &FileColumns, group: usize, rows: Option<&[u32]>) -> Self {
        let indexed = |leaf| rows.zip(columns.indexed(group, leaf)).map(|(rows, pages)| pages.touched(rows));
        let chunks = columns.leaves().iter().zip(columns.stored(group));
        let ranges = chunks.flat_map(|(&leaf, stored)| indexed(leaf).unwrap_or_else(|| vec![stored]));
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_unstable_by_key(|range| range.start);
        Self { ranges }
    }

    /// With the bytes of the ranges.
    pub(super) fn fetched(self, bytes: Vec<Bytes>) -> PageBytes {
        PageBytes::Loaded(self.ranges.into_iter().map(|range| range.start).zip(bytes).collect())
    }
}

impl<'a> GroupPages<'a> {
    /// Pages whose bytes are at hand: where they lie is said by the page index or, without one, by their headers.
    pub(super) fn new(columns: &'a FileColumns, group: usize, bytes: PageBytes) -> Result<Self, ParquetError> {
        let chunk = |(&leaf, stored): (&usize, Range<u64>)| {
            columns.check_values(group, leaf)?;
            let pages = columns.indexed(group, leaf).map_or_else(|| columns.walk(group, leaf, &stored, &bytes), Ok)?;
            Ok((leaf, Arc::new(pages)))
        };
        let chunks = columns.leaves().iter().zip(columns.stored(group)).map(chunk);
        let chunks = chunks.collect::<Result<_, ParquetError>>()?;
        Ok(Self::of_chunks(columns, group, bytes, chunks))
    }

    /// Pages whose places are known.
    pub(super) fn of_chunks(
        columns: &'a FileColumns,
        group: usize,
        bytes: PageBytes,
        chunks: Vec<(usize, Arc<ChunkPages>)>,
    ) -> Self {
        Self { columns, group, bytes: Arc::new(bytes), chunks, damage: Arc::default() }
    }

    /// Decodes some rows (ascending) or all, `step` at a time. Errors name the column.
    pub(super) fn batches<'b>(
        &'b self,
        rows: Option<&'b [u32]>,
        step: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ParquetError>> + 'b, ParquetError> {
        let levels = self.columns.levels();
        let mut reader = ParquetRecordBatchReader::try_new_with_row_groups(levels, self, step, rows.map(selection))?;
        let named = move |error| self.named(error, rows, step);
        Ok(std::iter::from_fn(move || next(&mut reader)).map(move |batch| batch.map_err(named)))
    }

    /// The error with its column: the one where damage was found, or else the one that cannot be decoded alone.
    fn named(&self, error: ParquetError, rows: Option<&[u32]>, step: usize) -> ParquetError {
        let damage = || self.damage.get().map(|reason| PageDamage(reason.clone()).into());
        if let Some(damage) = damage() {
            return damage;
        }
        let metadata = &self.columns.metadata;
        let alone = |leaf: usize| {
            let mask = ProjectionMask::leaves(metadata.parquet_schema(), [leaf]);
            let fields = Some(metadata.schema().fields());
            let levels: FieldLevels = parquet_to_arrow_field_levels(metadata.parquet_schema(), mask, fields).ok()?;
            let mut reader =
                ParquetRecordBatchReader::try_new_with_row_groups(&levels, self, step, rows.map(selection)).ok()?;
            std::iter::from_fn(|| next(&mut reader)).find_map(Result::err)
        };
        let blamed = self.chunks.iter().find_map(|(leaf, _)| alone(*leaf).map(|error| (*leaf, error)));
        let blamed = blamed.map(|(leaf, error)| {
            let says = reader_says(&error);
            self.columns.named(leaf, &PageDamage(format!("it cannot be decoded: {says}")).into())
        });
        damage().or(blamed).unwrap_or(error)
    }
}

/// The next rows; a panic of the reader is an error.
fn next(reader: &mut ParquetRecordBatchReader) -> Option<Result<RecordBatch, ParquetError>> {
    match catch_unwind(AssertUnwindSafe(|| reader.next())) {
        Ok(batch) => batch.map(|batch| batch.map_err(ParquetError::from)),
        Err(payload) => Some(Err(ParquetError::General(panic_message(&*payload)))),
    }
}

/// Rows as runs that are read and skipped. Many short runs the reader would take for a mask, and read all rows between them,
/// whose pages nobody fetched and no budget counted. A long skip behind the last row, which it cuts off again, makes the
/// runs long on the average.
fn selection(rows: &[u32]) -> RowSelection {
    const LONG: usize = 64;
    let end = rows.last().map_or(0, |&row| row as usize + 1);
    let ranges = rows.iter().map(|&row| row as usize..row as usize + 1);
    RowSelection::from_consecutive_ranges(ranges, end + LONG * (rows.len() + 1))
}

impl RowGroups for GroupPages<'_> {
    fn num_rows(&self) -> usize {
        self.columns.group_rows(self.group) as usize
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let pages = self.chunks.iter().find(|(known, _)| *known == leaf).map(|(_, pages)| Arc::clone(pages));
        let pages = pages.ok_or_else(|| PageDamage(format!("column {leaf} was asked for, and is not read")))?;
        let column = self.columns.metadata.metadata().row_group(self.group).column(leaf).clone();
        let (bytes, damage) = (Arc::clone(&self.bytes), Arc::clone(&self.damage));
        let chunk = Chunk { bytes, pages, column, damage, unpacked: AtomicU64::new(0) };
        Ok(Box::new(OneChunk(Some(chunk.reader(self.num_rows())?))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.columns.metadata.metadata().row_group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.columns.metadata.metadata()
    }
}

/// Reads the bytes of a part in one go.
pub(super) async fn fetch(columns: &FileColumns, wanted: Wanted) -> Result<PageBytes, PipelineError> {
    let (storage, ranges) = (columns.storage.clone(), wanted.ranges.clone());
    let read = tokio::task::spawn_blocking(move || storage.read_all(&ranges)).await;
    let bytes =
        read.map_err(|error| PipelineError::Panicked { place: columns.name.to_string(), message: error.to_string() })??;
    Ok(wanted.fetched(bytes))
}
