//! Which leaves of a file are read, as what type, and how many bytes that takes.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use millstream_schemas::features::image_storage;
use millstream_schemas::shown_up_to;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::caught;
use super::pages::{ChunkPages, PageBytes, PageDamage, reader_says};
use crate::PipelineError;
use crate::stores::Storage;

/// The columns that are read of one file.
#[derive(Clone, Debug)]
pub(crate) struct FileColumns {
    pub(crate) name: Arc<str>,
    pub(crate) storage: Storage,
    pub(crate) metadata: ArrowReaderMetadata,
    /// Their names, in the order in which they were asked for.
    pub(crate) columns: Vec<String>,
    leaves: Vec<usize>,
    levels: FieldLevels,
}

impl FileColumns {
    /// Reads these columns of a file; of structs that are images, only the field `of_images`.
    pub(crate) fn new(
        name: &Arc<str>,
        storage: &Storage,
        metadata: &Arc<ParquetMetaData>,
        schema: &Schema,
        columns: &[String],
        of_images: &str,
    ) -> Result<Self, PipelineError> {
        let viewed = |field: &Arc<Field>| match columns.contains(field.name()) {
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
        let is_image = |column: &String| {
            let field = schema.fields().iter().find(|field| field.name() == column);
            field.is_some_and(|field| image_storage(field.data_type()).is_some())
        };
        let wanted = |parts: &[String]| match parts {
            [column, below @ ..] if columns.contains(column) => {
                below.is_empty() || !is_image(column) || below.len() == 1 && below[0] == of_images
            }
            _ => false,
        };
        let leaves: Vec<usize> =
            (0..parquet.num_columns()).filter(|&leaf| wanted(parquet.column(leaf).path().parts())).collect();
        let left_out = leaves.iter().find_map(|&leaf| Some((leaf, left_out(metadata.metadata(), leaf)?)));
        if let Some((leaf, codec)) = left_out {
            let column = parquet.column(leaf).path().string();
            return Err(PipelineError::Codec { file: name.to_string(), column, codec });
        }
        let mask = ProjectionMask::leaves(parquet, leaves.iter().copied());
        let levels = caught(name, || parquet_to_arrow_field_levels(parquet, mask, Some(metadata.schema().fields())))?;
        Ok(Self {
            name: Arc::clone(name),
            storage: storage.clone(),
            levels,
            metadata,
            columns: columns.to_vec(),
            leaves,
        })
    }

    /// Indices of the columns that are read, among all that hold values.
    pub(crate) fn leaves(&self) -> &[usize] {
        &self.leaves
    }

    pub(super) fn levels(&self) -> &FieldLevels {
        &self.levels
    }

    pub(super) fn group_rows(&self, group: usize) -> u32 {
        let rows = self.metadata.metadata().row_group(group).num_rows();
        u32::try_from(rows).expect("footers with more rows in a row group are refused")
    }

    /// A column's name in messages.
    pub(crate) fn leaf_name(&self, leaf: usize) -> String {
        shown_up_to(self.metadata.parquet_schema().column(leaf).path().string(), 100)
    }

    /// An error that says which column it is about.
    pub(super) fn named(&self, leaf: usize, error: &ParquetError) -> ParquetError {
        PageDamage(format!("column `{}`: {}", self.leaf_name(leaf), reader_says(error))).into()
    }

    /// Whether a column holds lists.
    pub(crate) fn is_list(&self, leaf: usize) -> bool {
        self.metadata.parquet_schema().column(leaf).max_rep_level() > 0
    }

    /// Each row must have one value in each column, null or not: otherwise rows of two columns would not be the same. A list
    /// has one for each of its elements, and one when it is empty.
    pub(super) fn check_values(&self, group: usize, leaf: usize) -> Result<(), ParquetError> {
        let rows = self.group_rows(group);
        let values = self.metadata.metadata().row_group(group).column(leaf).num_values();
        let wrong = |what: String| self.named(leaf, &PageDamage(what).into());
        match self.metadata.parquet_schema().column(leaf).max_rep_level() {
            0 if values == i64::from(rows) => Ok(()),
            0 => Err(wrong(format!("the footer counts {values} values in {rows} rows"))),
            _ => check_lists(values, rows).map_err(wrong),
        }
    }

    /// Values of a column in a row group, null or not.
    fn values(&self, group: usize, leaf: usize) -> u64 {
        u64::try_from(self.metadata.metadata().row_group(group).column(leaf).num_values()).unwrap_or(0)
    }

    /// Where the pages of a column lie, if the page index says so. Lists are read whole: few indexes tell where they begin.
    pub(super) fn indexed(&self, group: usize, leaf: usize) -> Option<ChunkPages> {
        if self.is_list(leaf) {
            return None;
        }
        let place = self.leaves.iter().position(|known| *known == leaf)?;
        let index = self.metadata.metadata().page_index_for_row_group(group);
        let locations = index.offset_index(leaf)?.page_locations();
        ChunkPages::from_index(&self.stored(group).nth(place)?, self.group_rows(group), locations)
    }

    /// Where the pages of a column lie, as their headers say.
    pub(super) fn walk(
        &self,
        group: usize,
        leaf: usize,
        stored: &Range<u64>,
        bytes: &PageBytes,
    ) -> Result<ChunkPages, ParquetError> {
        let lists = self.is_list(leaf);
        let values = match lists {
            true => u32::try_from(self.values(group, leaf)).unwrap_or(u32::MAX),
            false => self.group_rows(group),
        };
        let walked = ChunkPages::walk(stored, values, lists, |range| bytes.read(range));
        walked.map_err(|error| self.named(leaf, &error))
    }

    /// The same of all columns that are read, held against the page index, if there is one.
    pub(super) fn walked(
        &self,
        group: usize,
        bytes: &PageBytes,
    ) -> Result<Vec<(usize, Arc<ChunkPages>)>, ParquetError> {
        let chunk = |(&leaf, stored): (&usize, Range<u64>)| {
            self.check_values(group, leaf)?;
            let walked = self.walk(group, leaf, &stored, bytes)?;
            if let Some(indexed) = self.indexed(group, leaf)
                && let Some((page, _)) =
                    walked.pages.iter().zip(&indexed.pages).find(|(got, said)| !got.same_place(said))
            {
                let place = format!("the page at byte {} begins with row {}", page.offset, page.first_value);
                return Err(self.named(leaf, &PageDamage(format!("{place}; the page index says otherwise")).into()));
            }
            Ok((leaf, Arc::new(walked)))
        };
        self.leaves.iter().zip(self.stored(group)).map(chunk).collect()
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
            let located = |leaf| index.offset_index(leaf).is_some_and(|pages| !pages.page_locations().is_empty());
            self.leaves.iter().all(|&leaf| self.is_list(leaf) || located(leaf))
        })
    }

    /// Bytes that reading a row group takes while it is decoded, and that it keeps afterwards.
    pub(crate) fn group_bytes(&self, group: usize) -> (u64, u64) {
        let rows = self.metadata.metadata().row_group(group).num_rows().max(0) as u64;
        let mut bytes = ReadBytes::of_rows(rows, self.columns.len());
        self.chunks(group).iter().for_each(|chunk| bytes.add(chunk, chunk.whole));
        bytes.both()
    }

    /// The same for some rows of it (ascending): only the pages they lie in, where the file says where pages are.
    pub(crate) fn rows_bytes(&self, group: usize, rows: &[u32]) -> (u64, u64) {
        self.touched(&self.chunks(group), rows)
    }

    /// How many pages the column with the most has, by the page index; none where there is no index.
    pub(crate) fn pages_at_least(&self) -> u64 {
        let groups = 0..self.metadata.metadata().num_row_groups();
        let pages = |group| self.chunks(group).iter().map(|chunk| chunk.pages.len() as u64).max().unwrap_or(0);
        groups.map(pages).sum()
    }

    /// Bytes of the columns that are read once decompressed, by the footer, each value of a dictionary as often as it
    /// occurs where the footer says.
    pub(crate) fn unpacked(&self, group: usize) -> u64 {
        let group = self.metadata.metadata().row_group(group);
        let bytes = |&leaf: &usize| {
            let column = group.column(leaf);
            let values = column.unencoded_byte_array_data_bytes().unwrap_or(0);
            u64::try_from(values.max(column.uncompressed_size())).unwrap_or(0)
        };
        self.leaves.iter().map(bytes).fold(0, u64::saturating_add)
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
            candidates.map(|row| self.touched(&chunks, &[row as u32]).0).max().unwrap_or(0)
        };
        (0..metadata.num_row_groups()).map(dearest).max().unwrap_or(0)
    }

    fn touched(&self, chunks: &[ColumnChunk], rows: &[u32]) -> (u64, u64) {
        let mut bytes = ReadBytes::of_rows(rows.len() as u64, self.columns.len());
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
            let lists = self.is_list(leaf);
            let located = index.offset_index(leaf).filter(|_| !lists);
            let locations = located.map_or(&[][..], |pages| pages.page_locations());
            let page = |page: &PageLocation| Page {
                first_row: page.first_row_index.max(0) as u64,
                bytes: page.compressed_page_size.max(0) as u64,
            };
            let pages: Vec<Page> = locations.iter().map(page).collect();
            let data = pages.iter().fold(0_u64, |sum, page| sum.saturating_add(page.bytes));
            let values = if lists { self.values(group, leaf).saturating_mul(LIST_ELEMENT_BYTES) } else { 0 };
            let unpacked = (column.uncompressed_size().max(0) as u64).saturating_add(values);
            ColumnChunk { whole, unpacked, dictionary: whole.saturating_sub(data), pages }
        };
        self.leaves.iter().map(chunk).collect()
    }
}

/// One column of a row group.
struct ColumnChunk {
    /// Bytes in the file.
    whole: u64,
    /// Bytes once decompressed, those of a list's elements included.
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
    fn of_rows(rows: u64, columns: usize) -> Self {
        Self { compressed: 0, kept: rows.saturating_mul(row_bytes(columns)) }
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

/// A place in the order for each row, and of each column a view or a number.
pub(crate) fn row_bytes(columns: usize) -> u64 {
    48 + 16 * columns as u64
}

/// A view or a number of each element of a list, and where the list begins.
pub(super) const LIST_ELEMENT_BYTES: u64 = 24;

/// Values of a list column in a row group: more are refused before they are decoded, whatever memory there is. Runs of one value
/// take next to nothing in a file.
const MOST_LIST_VALUES: i64 = 1 << 28;

/// Whether a list column can have so many values, as a footer says.
fn check_lists(values: i64, rows: u32) -> Result<(), String> {
    let says = format!("the footer counts {values} values in lists of {rows} rows");
    match values {
        _ if values < i64::from(rows) => Err(says),
        _ if values > MOST_LIST_VALUES => {
            Err(format!("{says}; more than {MOST_LIST_VALUES} are not read; write smaller row groups"))
        }
        _ => Ok(()),
    }
}

/// The codec of a column that this build was made without, if any of its chunks has one.
fn left_out(metadata: &ParquetMetaData, leaf: usize) -> Option<&'static str> {
    let chunks = metadata.row_groups().iter().map(|group| group.column(leaf).compression());
    chunks.into_iter().find_map(|codec| left_out_codec(codec, cfg!(feature = "brotli")))
}

fn left_out_codec(codec: Compression, with_brotli: bool) -> Option<&'static str> {
    match codec {
        Compression::BROTLI(_) if !with_brotli => Some("brotli"),
        _ => None,
    }
}

fn as_views(data_type: &DataType) -> DataType {
    let within = |field: &Arc<Field>| Arc::new(Field::clone(field).with_data_type(as_views(field.data_type())));
    match data_type {
        DataType::List(field) => DataType::List(within(field)),
        DataType::LargeList(field) => DataType::LargeList(within(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(within(field), *length),
        DataType::Struct(fields) if image_storage(data_type).is_none() => {
            DataType::Struct(fields.iter().map(within).collect())
        }
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

#[cfg(test)]
mod tests {
    use parquet::basic::{BrotliLevel, ZstdLevel};

    use super::*;

    #[test]
    fn lists_of_more_values_than_can_be_held_are_refused_before_they_are_decoded() {
        for (values, rows, wanted) in [
            (5, 5, None),
            (0, 0, None),
            (MOST_LIST_VALUES, 1, None),
            (4, 5, Some("the footer counts 4 values in lists of 5 rows")),
            (-1, 0, Some("the footer counts -1 values")),
            (MOST_LIST_VALUES + 1, 1, Some("more than 268435456 are not read; write smaller row groups")),
            (i64::MAX, 1, Some("are not read")),
        ] {
            match (check_lists(values, rows), wanted) {
                (Ok(()), None) => {}
                (Err(got), Some(part)) => assert!(got.contains(part), "{values} {rows}: {got}"),
                (got, _) => panic!("{values} {rows}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_codec_that_a_build_leaves_out_is_told_with_its_feature() {
        let brotli = Compression::BROTLI(BrotliLevel::default());
        for (codec, with_brotli, wanted) in [
            (brotli, false, Some("brotli")),
            (brotli, true, None),
            (Compression::ZSTD(ZstdLevel::default()), false, None),
            (Compression::UNCOMPRESSED, false, None),
        ] {
            assert_eq!(left_out_codec(codec, with_brotli), wanted, "{codec}");
        }
        let error = PipelineError::Codec { file: "a.parquet".into(), column: "image".into(), codec: "brotli" };
        let message = error.to_string();
        assert!(message.starts_with("a.parquet: column `image` is compressed with brotli"), "{message}");
        assert!(message.ends_with("build millstream with its feature `brotli`"), "{message}");
    }
}
