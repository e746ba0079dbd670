//! Damage inside pages: rows as they were written or an error that names the column, whatever byte is wrong.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use bytes::Bytes;
use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, Dataset, PipelineError, StreamOptions};
use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use parquet::basic::Compression;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, PageIndexPolicy, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;

use crate::corpus::{chain, labels, pages_of_four, write_with};

/// A page of a file that is being rewritten.
struct PageOf<'a> {
    column: usize,
    /// Within its column chunk, the dictionary first.
    number: usize,
    header: &'a mut Vec<u8>,
}

/// Writes a file anew with a checksum in the header of each page; `edit` may change headers, `index` the page index.
fn rewrite(
    path: &Path,
    checksums: bool,
    mut edit: impl FnMut(PageOf<'_>),
    index: impl Fn(usize, &mut OffsetIndexMetaData),
) {
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    let mut reader = ParquetMetaDataReader::new()
        .with_metadata_options(Some(options))
        .with_offset_index_policy(PageIndexPolicy::Required)
        .with_column_index_policy(PageIndexPolicy::Skip);
    reader.try_parse(&bytes).unwrap();
    let metadata = reader.finish().unwrap();
    let file = metadata.file_metadata();
    let properties = WriterProperties::builder().set_key_value_metadata(file.key_value_metadata().cloned());
    let schema = file.schema_descr().root_schema_ptr();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let pages = metadata.page_index_for_row_group(number);
        let mut out = writer.next_row_group().unwrap();
        for (column, chunk) in group.columns().iter().enumerate() {
            let mut offsets = pages.offset_index(column).unwrap().clone();
            let (mut written, mut data_page) = (Vec::new(), 0);
            let dictionary = chunk.dictionary_page_offset().map(|start| (start, chunk.data_page_offset() - start));
            let data = offsets.page_locations.iter().map(|page| (page.offset, i64::from(page.compressed_page_size)));
            let all: Vec<_> = dictionary.into_iter().chain(data).collect();
            for (page, (offset, size)) in all.into_iter().enumerate() {
                let page_bytes = &bytes[offset as usize..(offset + size) as usize];
                let (mut header, body) = taken_apart(page_bytes);
                edit(PageOf { column, number: page, header: &mut header });
                if checksums {
                    add_checksum(&mut header, crc32fast::hash(body));
                }
                let start = written.len() as i64;
                written.extend(header.into_iter().chain(body.iter().copied()));
                if dictionary.is_some() && page == 0 {
                    continue;
                }
                let location = &mut offsets.page_locations[data_page];
                (location.offset, location.compressed_page_size) = (start, (written.len() as i64 - start) as i32);
                data_page += 1;
            }
            let first = offsets.page_locations[0].offset;
            let metadata = chunk.clone().into_builder();
            let metadata = metadata
                .set_data_page_offset(first)
                .set_dictionary_page_offset(dictionary.map(|_| 0))
                .set_total_compressed_size(written.len() as i64)
                .build()
                .unwrap();
            index(column, &mut offsets);
            let close = ColumnCloseResult {
                bytes_written: written.len() as u64,
                rows_written: group.num_rows() as u64,
                metadata,
                bloom_filter: None,
                column_index: None,
                offset_index: Some(offsets),
            };
            out.append_column(&Bytes::from(written), close).unwrap();
        }
        out.close().unwrap();
    }
    std::fs::write(path, writer.into_inner().unwrap()).unwrap();
}

/// The header and the rest: its third number is the length of the rest.
fn taken_apart(page: &[u8]) -> (Vec<u8>, &[u8]) {
    let stored = numbers(page)[2].1 >> 1;
    let (header, body) = page.split_at(page.len() - stored as usize);
    (header.to_vec(), body)
}

/// Where each of a header's first three fields begins, its number as written, and where it ends.
fn numbers(header: &[u8]) -> [(usize, u64, usize); 3] {
    let mut at = 0;
    std::array::from_fn(|_| {
        assert_eq!(header[at], 0x15);
        let start = at;
        at += 1;
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            number |= u64::from(header[at] & 0x7f) << shift;
            at += 1;
            if header[at - 1] & 0x80 == 0 {
                break;
            }
        }
        (start, number, at)
    })
}

fn add_checksum(header: &mut Vec<u8>, checksum: u32) {
    let at = numbers(header)[2].2;
    header[at] -= 0x10; // one field nearer to the one before
    let number = checksum.cast_signed();
    let mut left = (number << 1 ^ number >> 31).cast_unsigned();
    let mut field = vec![0x15];
    while left > 0x7f {
        field.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    field.push(left as u8);
    header.splice(at..at, field);
}

const ROWS: usize = 22;

fn label(row: usize) -> i64 {
    (row * 7 % 5) as i64
}

fn write_rows(path: &Path, properties: WriterPropertiesBuilder, index: bool) {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("row {row}"))));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(label)));
    let properties = properties.set_max_row_group_row_count(Some(12)).set_offset_index_disabled(!index);
    write_with(path, &[("text", texts), ("label", labels)], Some(&["a", "b", "c", "d", "e"]), properties);
}

fn open(folder: &Path) -> (Dataset, StreamOptions) {
    let dataset = Dataset::open("a.parquet", folder).unwrap();
    let columns = Encoders::standard(&dataset, None, "label").unwrap();
    let options = StreamOptions { batch: 5, workers: 1, ..StreamOptions::new(chain(serde_json::json!([])), columns) };
    (dataset, options)
}

/// Each row's text and label, in the order of the file.
fn rows(dataset: &Dataset, options: &StreamOptions) -> Result<Vec<(u32, u32, String, i64)>, PipelineError> {
    let mut rows = Vec::new();
    for batch in Batches::open(dataset, options.clone(), None)? {
        let batch = batch?;
        let texts = batch.tensors["input"].as_text().unwrap();
        for ((id, text), label) in batch.rows.iter().zip(texts).zip(labels(&batch)) {
            if let Some(id) = id {
                rows.push((id.row_group, id.row, text.clone(), label));
            }
        }
    }
    rows.sort();
    Ok(rows)
}

/// Byte ranges of a column in the file.
fn stored(path: &Path, column: usize) -> Vec<std::ops::Range<usize>> {
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let range = |(start, length): (u64, u64)| start as usize..(start + length) as usize;
    metadata.row_groups().iter().map(|group| range(group.column(column).byte_range())).collect()
}

fn kinds() -> Vec<(&'static str, WriterPropertiesBuilder)> {
    let v2 = || pages_of_four().set_writer_version(WriterVersion::PARQUET_2_0);
    vec![
        ("v1, dictionary", pages_of_four()),
        ("v1, plain", pages_of_four().set_dictionary_enabled(false)),
        ("v1, compressed", pages_of_four().set_compression(Compression::SNAPPY)),
        ("v2, dictionary", v2()),
        ("v2, no dictionary", v2().set_dictionary_enabled(false)),
        ("v2, compressed", v2().set_compression(Compression::SNAPPY)),
    ]
}

#[test]
fn no_flipped_byte_of_a_label_page_with_a_checksum_gives_another_label() {
    for (name, properties) in kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write_rows(&path, properties, true);
        rewrite(&path, true, |_| {}, |_, _| {});
        let (dataset, options) = open(folder.path());
        let right = rows(&dataset, &options).unwrap();
        assert!(right.iter().enumerate().all(|(row, got)| got.3 == label(row)), "{name}");
        let bytes = std::fs::read(&path).unwrap();
        let mut told = 0;
        for (group, range) in stored(&path, 1).into_iter().enumerate() {
            for at in range {
                // single bits and whole bytes by turns, each read in both ways
                let mask = [1 << (at % 8), 0x80 >> (at % 5), 0xff][at % 3];
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                std::fs::write(&path, damaged).unwrap();
                for order in [OrderStrength::Windowed, OrderStrength::Global] {
                    match rows(&dataset, &StreamOptions { order, ..options.clone() }) {
                        Ok(got) => assert!(got == right, "{name}: byte {at} ^ {mask:#x}, {order:?}"),
                        Err(error) => {
                            let message = error.to_string();
                            let place = format!("a.parquet, row group {group}: column `label`");
                            assert!(message.starts_with(&place) && message.len() < 400, "{name}: {message}");
                            told += 1;
                        }
                    }
                }
            }
        }
        assert!(told > 160, "{name}: {told}");
    }
}

#[test]
fn a_flipped_byte_without_checksums_gives_an_error_or_as_many_rows() {
    for (name, properties) in kinds() {
        for index in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.parquet");
            write_rows(&path, properties.clone(), index);
            let (dataset, options) = open(folder.path());
            let identities = |rows: Vec<(u32, u32, String, i64)>| -> Vec<_> {
                rows.into_iter().map(|(group, row, _, _)| (group, row)).collect()
            };
            let right = identities(rows(&dataset, &options).unwrap());
            let bytes = std::fs::read(&path).unwrap();
            for at in [0, 1].into_iter().flat_map(|column| stored(&path, column)).flatten() {
                let mut damaged = bytes.clone();
                damaged[at] ^= [1 << (at % 8), 0xff][at % 2];
                std::fs::write(&path, damaged).unwrap();
                match rows(&dataset, &options) {
                    Ok(got) => assert!(identities(got) == right, "{name}: byte {at}"),
                    Err(PipelineError::RowGroup { reason, .. }) => {
                        assert!(reason.starts_with("column `"), "{name}: byte {at}: {reason}");
                    }
                    Err(PipelineError::Damaged { .. }) => {}
                    Err(error) => panic!("{name}: byte {at}: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_page_index_that_disagrees_with_the_pages_is_told_and_shifts_no_row() {
    for checksums in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write_rows(&path, pages_of_four(), true);
        let shifted = |column: usize, index: &mut OffsetIndexMetaData| {
            if column == 1 {
                index.page_locations[1].first_row_index += 1;
            }
        };
        rewrite(&path, checksums, |_| {}, shifted);
        let (dataset, options) = open(folder.path());
        for order in [OrderStrength::Sequential, OrderStrength::Windowed, OrderStrength::Global] {
            let message = rows(&dataset, &StreamOptions { order, ..options.clone() }).unwrap_err().to_string();
            assert!(message.contains("column `label`: the page at byte"), "{message}");
            assert!(message.contains("the page index"), "{message}");
        }
        let message = dataset.class_histogram(&options.encoders).unwrap_err().to_string();
        assert!(message.contains("values, the page index"), "{message}");
    }
}

#[test]
fn pages_that_count_other_values_than_the_row_group_has_rows_shift_no_label() {
    for index in [true, false] {
        for change in [-1_i8, 1] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.parquet");
            write_rows(&path, pages_of_four().set_dictionary_enabled(false), true);
            let edit = |page: PageOf<'_>| {
                if page.column == 1 && page.number == 1 {
                    // The header of a data page follows, its first number is that of the values.
                    let at = numbers(page.header)[2].2 + 2;
                    page.header[at] = page.header[at].checked_add_signed(change * 2).unwrap();
                }
            };
            rewrite(&path, true, edit, |_, _| {});
            if !index {
                without_index(&path);
            }
            let (dataset, options) = open(folder.path());
            let message = rows(&dataset, &options).unwrap_err().to_string();
            assert!(message.starts_with("a.parquet, row group 0: column `label`: "), "{message}");
        }
    }
}

#[test]
fn pages_that_are_larger_than_the_footer_says_are_refused_before_they_take_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..4000).map(|row| format!("{row} {}", "x".repeat(1000)))));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..4000).map(label)));
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(Compression::SNAPPY);
    write_with(&path, &[("text", texts), ("label", labels)], Some(&["a", "b", "c", "d", "e"]), properties);
    let (dataset, options) = open(folder.path());
    assert_eq!(rows(&dataset, &options).unwrap().len(), 4000);
    with_columns(&path, |column| {
        let stated = column.uncompressed_size().min(300_000);
        column.into_builder().set_total_uncompressed_size(stated)
    });
    for order in [OrderStrength::Sequential, OrderStrength::Windowed, OrderStrength::Global] {
        let (dataset, options) = open(folder.path());
        let message = rows(&dataset, &StreamOptions { order, ..options }).unwrap_err().to_string();
        assert!(message.starts_with("a.parquet, row group 0: column `text`: the page at byte "), "{message}");
        assert!(message.ends_with("bytes once decompressed, and the footer says 300000 of all"), "{message}");
    }
    let (dataset, options) = open(folder.path());
    let skipping = StreamOptions { damaged: DamagedPolicy::Skip, ..options };
    let message = rows(&dataset, &skipping).unwrap_err().to_string();
    assert!(message.contains("; `data.damaged` leaves out single rows, and here a part of a file"), "{message}");
}

/// Takes the page index out of the footer: pages are then found by their headers.
fn without_index(path: &Path) {
    with_columns(path, |column| column.into_builder().set_offset_index_offset(None).set_offset_index_length(None));
}

/// Writes the footer anew, without a page index, with other facts of each column chunk.
fn with_columns(path: &Path, edit: impl Fn(ColumnChunkMetaData) -> ColumnChunkMetaDataBuilder) {
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let mut reader = ParquetMetaDataReader::new()
        .with_offset_index_policy(PageIndexPolicy::Skip)
        .with_column_index_policy(PageIndexPolicy::Skip);
    reader.try_parse(&bytes).unwrap();
    let metadata = reader.finish().unwrap();
    let groups = metadata.row_groups().iter().map(|group| {
        let columns = group.columns().iter().map(|column| edit(column.clone()).build().unwrap());
        group.clone().into_builder().set_column_metadata(columns.collect()).build().unwrap()
    });
    let metadata = metadata.clone().into_builder().set_row_groups(groups.collect()).build();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let mut out = bytes[..bytes.len() - 8 - footer].to_vec();
    let mut tail = Vec::new();
    parquet::file::metadata::ParquetMetaDataWriter::new(&mut tail, &metadata).finish().unwrap();
    out.extend(tail);
    std::fs::write(path, out).unwrap();
}
