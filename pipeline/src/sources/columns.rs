//! Which leaves of a file are read, as what type, and how many bytes that takes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::ParquetMetaData;

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

    /// Reads every column of a file, none of them as input or label.
    pub(crate) fn all(
        name: &Arc<str>,
        storage: &Storage,
        metadata: &Arc<ParquetMetaData>,
    ) -> Result<Self, PipelineError> {
        let metadata = caught(name, || ArrowReaderMetadata::try_new(Arc::clone(metadata), ArrowReaderOptions::new()))?;
        Ok(Self {
            name: Arc::clone(name),
            storage: storage.clone(),
            mask: ProjectionMask::all(),
            leaves: (0..metadata.parquet_schema().num_columns()).collect(),
            metadata,
            input: None,
            label: None,
        })
    }

    /// Bytes that reading a row group takes while it is decoded, and that it keeps afterwards.
    pub(crate) fn group_bytes(&self, group: usize) -> (u64, u64) {
        let metadata = self.metadata.metadata().row_group(group);
        let (mut compressed, mut kept) = (0_u64, metadata.num_rows() as u64 * ROW_BYTES);
        for &leaf in &self.leaves {
            let column = metadata.column(leaf);
            compressed += column.compressed_size() as u64;
            kept += column.uncompressed_size() as u64;
        }
        (compressed.saturating_add(kept), kept)
    }

    /// The same for some rows of it (ascending): only the pages they lie in, where the file says where pages are.
    pub(crate) fn rows_bytes(&self, group: usize, rows: &[u32]) -> (u64, u64) {
        let metadata = self.metadata.metadata();
        let pages = metadata.page_index_for_row_group(group);
        let (mut compressed, mut kept) = (0_u64, rows.len() as u64 * ROW_BYTES);
        for &leaf in &self.leaves {
            let column = metadata.row_group(group).column(leaf);
            let (whole, unpacked) = (column.compressed_size() as u64, column.uncompressed_size() as u64);
            let touched = match pages.offset_index(leaf) {
                Some(pages) if !pages.page_locations().is_empty() => {
                    let pages = pages.page_locations();
                    let data: u64 = pages.iter().map(|page| page.compressed_page_size as u64).sum();
                    let mut touched = whole.saturating_sub(data); // the dictionary
                    let mut last = usize::MAX;
                    for &row in rows {
                        let page = pages.partition_point(|page| page.first_row_index <= i64::from(row)) - 1;
                        if page != last {
                            touched += pages[page].compressed_page_size as u64;
                            last = page;
                        }
                    }
                    touched.min(whole)
                }
                _ => whole,
            };
            compressed += touched;
            kept += (u128::from(unpacked) * u128::from(touched)).div_ceil(u128::from(whole.max(1))) as u64;
        }
        (compressed.saturating_add(kept), kept)
    }

    /// The most that reading any single row of the file takes.
    pub(crate) fn dearest_row(&self) -> u64 {
        let metadata = self.metadata.metadata();
        let dearest = |group: usize| {
            let rows = metadata.row_group(group).num_rows().max(0) as u32;
            let starts = self.leaves.iter().filter_map(|&leaf| {
                let index = metadata.page_index_for_row_group(group).offset_index(leaf)?.clone();
                Some(index.page_locations().iter().map(|page| page.first_row_index as u32).collect::<Vec<_>>())
            });
            let mut candidates: Vec<u32> = starts.flatten().filter(|&row| row < rows).collect();
            if candidates.is_empty() && rows > 0 {
                candidates.push(0);
            }
            candidates.into_iter().map(|row| self.rows_bytes(group, &[row]).0).max().unwrap_or(0)
        };
        (0..metadata.num_row_groups()).map(dearest).max().unwrap_or(0)
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
