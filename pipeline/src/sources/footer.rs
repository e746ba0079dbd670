//! Reads a file's footer, after a scan of our own that refuses what would make the Parquet reader overflow its stack,
//! allocate without bound or panic.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use millstream_schemas::{Fingerprint, shown_up_to};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::other_formats;
use super::pages::reader_says;
use super::thrift::Scan;
use crate::PipelineError;
use crate::error::panic_message;
use crate::stores::Storage;
use crate::stores::Whole;

/// Length and magic at the very end.
const TAIL: u64 = 8;
/// Longer footers than this are refused; real ones have a few kilobytes a row group.
const LONGEST_FOOTER: u64 = 128 << 20;
/// Column chunks that claim to be larger than this once decompressed are refused.
const LARGEST_CHUNK: i64 = 1 << 40;

/// What a file's end says.
pub(crate) struct Footer {
    /// Page locations included, where the file has them.
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// Of its bytes.
    pub(crate) fingerprint: Fingerprint,
    /// Columns, by their place in a row group, that are encrypted.
    pub(crate) encrypted: BTreeSet<usize>,
}

/// The footer of a file.
pub(crate) fn read(storage: &Storage, name: &str) -> Result<Footer, PipelineError> {
    let damaged = |reason: String| PipelineError::Footer { file: name.into(), reason: shown_up_to(reason, 400) };
    let length = storage.length()?;
    let other = || -> Result<String, PipelineError> {
        Ok(other_formats::describe(&storage.read(0..length.min(other_formats::BEGINNING))?))
    };
    if length < TAIL + 4 {
        return Err(damaged(format!("{length} bytes are too few: {}", other()?)));
    }
    let tail = storage.read(length - TAIL..length)?;
    match &tail[4..] {
        b"PAR1" => {}
        b"PARE" => return Err(damaged("the footer is encrypted; encrypted files are not read".into())),
        _ => return Err(damaged(other()?)),
    }
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if footer > length - TAIL - 4 {
        return Err(damaged(format!("a footer of {footer} bytes in a file of {length}")));
    }
    if footer > LONGEST_FOOTER {
        return Err(damaged(format!("a footer of {footer} bytes; at most {LONGEST_FOOTER} are read")));
    }
    let bytes = storage.read(length - TAIL - footer..length - TAIL)?;
    let encrypted = Scan::check(&bytes).map_err(damaged)?;
    let metadata = caught(name, || ParquetMetaDataReader::decode_metadata(&bytes))?;
    check_ranges(&metadata, length - TAIL - footer).map_err(damaged)?;
    let metadata = with_page_locations(metadata, storage, length, name);
    Ok(Footer { metadata: Arc::new(metadata), fingerprint: Fingerprint::of_bytes(&bytes), encrypted })
}

/// Runs the Parquet reader's code and turns its panics into errors that name the file.
pub(crate) fn caught<T>(name: &str, work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, PipelineError> {
    let reason = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => reader_says(&error),
        Err(payload) => panic_message(&*payload),
    };
    Err(PipelineError::Footer { file: name.into(), reason })
}

/// Every offset and length must lie in the file, before its footer.
fn check_ranges(metadata: &ParquetMetaData, data_end: u64) -> Result<(), String> {
    let mut rows = 0_i64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let place = |what: &str, value: i64| format!("row group {index}: {what} {value} is out of range");
        if group.num_rows() < 0 || group.num_rows() > i64::from(u32::MAX) {
            return Err(place("row count", group.num_rows()));
        }
        rows = rows.saturating_add(group.num_rows());
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let start = if start > 0 { start } else { column.data_page_offset() };
            let inside = |value: i64| u64::try_from(value).is_ok_and(|value| value <= data_end);
            if !inside(column.data_page_offset()) || !inside(start) {
                return Err(place("page offset", start));
            }
            if !inside(column.compressed_size()) || start as u64 + column.compressed_size() as u64 > data_end {
                return Err(place("compressed size", column.compressed_size()));
            }
            if !(0..=LARGEST_CHUNK).contains(&column.uncompressed_size()) {
                return Err(place("uncompressed size", column.uncompressed_size()));
            }
            if column.num_values() < 0 {
                return Err(place("value count", column.num_values()));
            }
        }
    }
    if rows != metadata.file_metadata().num_rows() {
        let total = metadata.file_metadata().num_rows();
        return Err(format!("the row groups hold {rows} rows, the footer says {total}"));
    }
    Ok(())
}

/// Adds the offset index. It only saves reading, so a file whose index is damaged is read without it.
fn with_page_locations(metadata: ParquetMetaData, storage: &Storage, length: u64, name: &str) -> ParquetMetaData {
    let ranges = metadata.row_groups().iter().flat_map(|group| group.columns()).filter_map(|column| {
        let (offset, size) = (column.offset_index_offset()?, column.offset_index_length()?);
        Some((u64::try_from(offset).ok(), u64::try_from(size).ok()))
    });
    let mut any = false;
    for range in ranges {
        any = true;
        if !matches!(range, (Some(offset), Some(size)) if offset.checked_add(size).is_some_and(|end| end <= length)) {
            return metadata;
        }
    }
    if !any {
        return metadata;
    }
    let plain = metadata.clone();
    let chunk = Whole { storage: storage.clone(), length };
    let read = caught(name, || {
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        reader.read_page_indexes(&chunk)?;
        reader.finish()
    });
    match read {
        Ok(metadata) if page_locations_are_sane(&metadata, length) => metadata,
        _ => {
            tracing::warn!(file = name, "the page index is damaged; reading without it");
            plain
        }
    }
}

fn page_locations_are_sane(metadata: &ParquetMetaData, length: u64) -> bool {
    metadata.row_groups().iter().enumerate().all(|(index, group)| {
        let pages = metadata.page_index_for_row_group(index);
        (0..group.num_columns()).all(|column| {
            let Some(pages) = pages.offset_index(column) else { return true };
            let mut row = -1;
            pages.page_locations().iter().all(|page| {
                let size = u64::try_from(page.compressed_page_size).ok();
                let end = u64::try_from(page.offset).ok().zip(size).and_then(|(offset, size)| offset.checked_add(size));
                let ascends = page.first_row_index > row && page.first_row_index < group.num_rows().max(1);
                row = page.first_row_index;
                ascends && end.is_some_and(|end| end <= length)
            }) && pages.page_locations().first().is_none_or(|page| page.first_row_index == 0)
        })
    })
}
