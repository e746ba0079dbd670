//! Which leaves of a file are read, as what type, and how many bytes that takes.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::{Storage, caught};
use crate::PipelineError;

/// How the label column becomes class indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelReading {
    /// Integers or booleans, as they are.
    Number,
    /// Strings, looked up among the class names.
    Name,
}

/// The columns that are read of one file.
#[derive(Clone, Debug)]
pub(crate) struct FileColumns {
    pub(crate) name: Arc<str>,
    pub(crate) storage: Storage,
    pub(crate) metadata: ArrowReaderMetadata,
    pub(crate) mask: ProjectionMask,
    pub(crate) input: Option<String>,
    pub(crate) label: Option<String>,
    leaves: Vec<usize>,
}

impl FileColumns {
    /// Reads `input` (of a struct, only its `bytes`) and `label` of a file.
    pub(crate) fn new(
        name: &Arc<str>,
        storage: &Storage,
        metadata: &Arc<ParquetMetaData>,
        schema: &Schema,
        input: Option<&str>,
        label: Option<&str>,
    ) -> Result<Self, PipelineError> {
        let viewed = |field: &Arc<Field>| match [input, label].contains(&Some(field.name())) {
            true => Arc::new(Field::clone(field).with_data_type(as_views(field.data_type()))),
            false => Arc::clone(field),
        };
        let fields: Vec<_> = schema.fields().iter().map(viewed).collect();
        let viewed = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        // Views point into the decompressed pages: no copy, and repeated values of a dictionary stay one.
        let metadata = caught(name, || {
            let options = ArrowReaderOptions::new().with_schema(viewed);
            ArrowReaderMetadata::try_new(Arc::clone(metadata), options)
                .or_else(|_| ArrowReaderMetadata::try_new(Arc::clone(metadata), ArrowReaderOptions::new()))
        })?;
        let parquet = metadata.parquet_schema();
        let wanted = |parts: &[String]| match parts {
            [column] => [input, label].contains(&Some(column)),
            [column, leaf] => input == Some(column) && leaf == "bytes",
            _ => false,
        };
        let leaves: Vec<usize> =
            (0..parquet.num_columns()).filter(|&leaf| wanted(parquet.column(leaf).path().parts())).collect();
        Ok(Self {
            name: Arc::clone(name),
            storage: storage.clone(),
            mask: ProjectionMask::leaves(parquet, leaves.iter().copied()),
            metadata,
            input: input.map(str::to_owned),
            label: label.map(str::to_owned),
            leaves,
        })
    }

    /// Where the bytes of a row group's columns lie in the file.
    pub(crate) fn stored(&self, group: usize) -> impl Iterator<Item = Range<u64>> {
        let group = self.metadata.metadata().row_group(group);
        self.leaves.iter().map(|&leaf| {
            let column = group.column(leaf);
            let start = column.dictionary_page_offset().filter(|&start| start > 0);
            let start = start.unwrap_or(column.data_page_offset()).max(0) as u64;
            start..start.saturating_add(column.compressed_size().max(0) as u64)
        })
    }

    /// Whether the file says of every column where its pages are, so that single rows can be read.
    pub(crate) fn has_page_locations(&self) -> bool {
        let metadata = self.metadata.metadata();
        (0..metadata.num_row_groups()).all(|group| {
            let index = metadata.page_index_for_row_group(group);
            self.leaves
                .iter()
                .all(|&leaf| index.offset_index(leaf).is_some_and(|pages| !pages.page_locations().is_empty()))
        })
    }

    /// Bytes that reading a row group takes while it is decoded, and that it keeps afterwards.
    pub(crate) fn group_bytes(&self, group: usize) -> (u64, u64) {
        let rows = self.metadata.metadata().row_group(group).num_rows().max(0) as u64;
        let mut bytes = ReadBytes::of_rows(rows);
        self.chunks(group).iter().for_each(|chunk| bytes.add(chunk, chunk.whole));
        bytes.both()
    }

    /// The same for some rows of it (ascending): only the pages they lie in, where the file says where pages are.
    pub(crate) fn rows_bytes(&self, group: usize, rows: &[u32]) -> (u64, u64) {
        Self::touched(&self.chunks(group), rows)
    }

    /// The most that reading any single row of the file takes.
    pub(crate) fn dearest_row(&self) -> u64 {
        let metadata = self.metadata.metadata();
        let dearest = |group: usize| {
            let rows = metadata.row_group(group).num_rows().max(0) as u64;
            let chunks = self.chunks(group);
            // What a row takes only changes where a page begins.
            let starts = chunks.iter().flat_map(|chunk| &chunk.pages).map(|page| page.first_row);
            let candidates = starts.chain([0]).filter(|&row| row < rows);
            candidates.map(|row| Self::touched(&chunks, &[row as u32]).0).max().unwrap_or(0)
        };
        (0..metadata.num_row_groups()).map(dearest).max().unwrap_or(0)
    }

    fn touched(chunks: &[ColumnChunk], rows: &[u32]) -> (u64, u64) {
        let mut bytes = ReadBytes::of_rows(rows.len() as u64);
        chunks.iter().for_each(|chunk| bytes.add(chunk, chunk.touched_by(rows)));
        bytes.both()
    }

    /// The read columns of a row group.
    fn chunks(&self, group: usize) -> Vec<ColumnChunk> {
        let metadata = self.metadata.metadata();
        let index = metadata.page_index_for_row_group(group);
        let chunk = |&leaf: &usize| {
            let column = metadata.row_group(group).column(leaf);
            let whole = column.compressed_size().max(0) as u64;
            let locations = index.offset_index(leaf).map_or(&[][..], |pages| pages.page_locations());
            let page = |page: &PageLocation| Page {
                first_row: page.first_row_index.max(0) as u64,
                bytes: page.compressed_page_size.max(0) as u64,
            };
            let pages: Vec<Page> = locations.iter().map(page).collect();
            let data = pages.iter().fold(0_u64, |sum, page| sum.saturating_add(page.bytes));
            let unpacked = column.uncompressed_size().max(0) as u64;
            ColumnChunk { whole, unpacked, dictionary: whole.saturating_sub(data), pages }
        };
        self.leaves.iter().map(chunk).collect()
    }
}

/// One column of a row group.
struct ColumnChunk {
    /// Bytes in the file.
    whole: u64,
    /// Bytes once decompressed.
    unpacked: u64,
    /// What is not in data pages.
    dictionary: u64,
    /// Empty where the file does not say.
    pages: Vec<Page>,
}

/// A data page.
struct Page {
    first_row: u64,
    /// In the file.
    bytes: u64,
}

impl ColumnChunk {
    /// Bytes in the file that must be read for some rows (ascending).
    fn touched_by(&self, rows: &[u32]) -> u64 {
        if self.pages.is_empty() {
            return self.whole;
        }
        let (mut touched, mut last) = (self.dictionary, usize::MAX);
        for &row in rows {
            let page = self.pages.partition_point(|page| page.first_row <= u64::from(row)).saturating_sub(1);
            if page != last {
                touched = touched.saturating_add(self.pages[page].bytes);
                last = page;
            }
        }
        touched.min(self.whole)
    }
}

/// Bytes of a read: as stored, and as kept. A footer may claim anything, so sums do not overflow.
struct ReadBytes {
    compressed: u64,
    kept: u64,
}

impl ReadBytes {
    fn of_rows(rows: u64) -> Self {
        Self { compressed: 0, kept: rows.saturating_mul(ROW_BYTES) }
    }

    fn add(&mut self, chunk: &ColumnChunk, touched: u64) {
        let kept = (u128::from(chunk.unpacked) * u128::from(touched)).div_ceil(u128::from(chunk.whole.max(1)));
        self.compressed = self.compressed.saturating_add(touched);
        self.kept = self.kept.saturating_add(u64::try_from(kept).unwrap_or(u64::MAX));
    }

    /// What it takes while it is decoded, and what stays.
    fn both(&self) -> (u64, u64) {
        (self.compressed.saturating_add(self.kept), self.kept)
    }
}

/// A view and a label for each row.
const ROW_BYTES: u64 = 48;

fn as_views(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Dictionary(_, value) if millstream_schemas::features::is_text(value) => DataType::Utf8View,
        DataType::Struct(fields) => {
            let viewed = |field: &Arc<Field>| match field.name() == "bytes" {
                true => Arc::new(Field::clone(field).with_data_type(as_views(field.data_type()))),
                false => Arc::clone(field),
            };
            DataType::Struct(fields.iter().map(viewed).collect())
        }
        other => other.clone(),
    }
}
