//! Reads rows of one row group into memory, asynchronously for streams and blocking for single rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryViewArray, RecordBatch, StringViewArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use futures::StreamExt;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;

use super::storage::Chunk;
use super::{FileColumns, LabelReading, StorageReader, caught};
use crate::PipelineError;
use millstream_schemas::{shown, shown_up_to};

/// Rows that are decoded at a time.
const STEP: usize = 256;

/// Some or all rows of one row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Row group within the file.
    pub(crate) group: u32,
    /// Ascending; `None` for all.
    pub(crate) rows: Option<Vec<u32>>,
}

impl Part {
    fn selection(&self) -> Option<RowSelection> {
        let rows = self.rows.as_ref()?;
        let end = rows.last().map_or(0, |&row| row as usize + 1);
        Some(RowSelection::from_consecutive_ranges(rows.iter().map(|&row| row as usize..row as usize + 1), end))
    }
}

/// A label as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LabelValue {
    /// Not checked against the number of classes.
    Class(i64),
    /// A whole number that is too large for [`LabelValue::Class`].
    Beyond(u64),
    /// A fraction, or a number beyond all whole ones.
    NotWhole(f64),
    /// Null, or NaN, which some writers put for it.
    Null,
    /// A name that is none of the classes', as it is.
    Unknown(Box<str>),
}

/// Rows in memory; an index counts the rows that were asked for.
#[derive(Debug, Default)]
pub(crate) struct LoadedRows {
    inputs: Vec<Input>,
    labels: Vec<LabelValue>,
    buffers: HashSet<usize>,
    /// Bytes of the distinct buffers that the rows point into.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
enum Input {
    Bytes { bytes: BinaryViewArray, outer: Option<arrow_buffer::NullBuffer> },
    Text(StringViewArray),
}

impl LoadedRows {
    /// The input's bytes (UTF-8 for text); `None` when null.
    pub(crate) fn input(&self, index: usize) -> Option<&[u8]> {
        let (step, index) = (index / STEP, index % STEP);
        match self.inputs.get(step)? {
            Input::Bytes { outer: Some(outer), .. } if outer.is_null(index) => None,
            Input::Bytes { bytes, .. } => bytes.is_valid(index).then(|| bytes.value(index)),
            Input::Text(text) => text.is_valid(index).then(|| text.value(index).as_bytes()),
        }
    }

    pub(crate) fn label(&self, index: usize) -> LabelValue {
        // A dataset without labels is unlabelled throughout.
        self.labels.get(index).cloned().unwrap_or(LabelValue::Class(-1))
    }

    pub(crate) fn labels(&self) -> &[LabelValue] {
        &self.labels
    }

    fn push(
        &mut self,
        batch: &RecordBatch,
        columns: &FileColumns,
        classes: Option<(LabelReading, &HashMap<String, i64>)>,
    ) -> Result<(), ParquetError> {
        let column = |name: &str| {
            let missing = || ParquetError::General(format!("no column `{}` came out of the reader", shown(name)));
            batch.column_by_name(name).cloned().ok_or_else(missing)
        };
        if let Some(name) = &columns.input {
            let input = input_array(&column(name)?)?;
            let buffers = match &input {
                Input::Bytes { bytes, .. } => bytes.data_buffers(),
                Input::Text(text) => text.data_buffers(),
            };
            for buffer in buffers.iter() {
                if self.buffers.insert(buffer.data_ptr().as_ptr() as usize) {
                    self.bytes += buffer.capacity() as u64;
                }
            }
            self.bytes += batch.num_rows() as u64 * 16;
            self.inputs.push(input);
        }
        if let (Some(name), Some((reading, classes))) = (&columns.label, classes) {
            push_labels(&column(name)?, reading, classes, &mut self.labels)?;
        }
        Ok(())
    }
}

fn input_array(array: &ArrayRef) -> Result<Input, ParquetError> {
    Ok(match array.data_type() {
        DataType::Struct(_) => {
            let outer = array.as_struct();
            let bytes = outer.column_by_name("bytes");
            let bytes = bytes.ok_or_else(|| ParquetError::General("the image struct has no `bytes`".into()))?;
            Input::Bytes { bytes: binary_views(bytes)?, outer: outer.nulls().cloned() }
        }
        data_type if millstream_schemas::features::is_text(data_type) => {
            Input::Text(converted(array, &DataType::Utf8View)?.as_string_view().clone())
        }
        _ => Input::Bytes { bytes: binary_views(array)?, outer: None },
    })
}

fn binary_views(array: &ArrayRef) -> Result<BinaryViewArray, ParquetError> {
    let array = without_dictionary(array)?;
    // Values of a fixed size become views on the way over those of any size.
    let array = match array.data_type() {
        DataType::FixedSizeBinary(_) => converted(&array, &DataType::Binary)?,
        _ => array,
    };
    Ok(converted(&array, &DataType::BinaryView)?.as_binary_view().clone())
}

fn without_dictionary(array: &ArrayRef) -> Result<ArrayRef, ParquetError> {
    match array.data_type() {
        DataType::Dictionary(_, value) => converted(array, value),
        _ => Ok(Arc::clone(array)),
    }
}

/// Refuses what the wanted type cannot hold, instead of making nulls of it.
fn converted(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ParquetError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options).map_err(|error| ParquetError::External(error.into()))
}

fn push_labels(
    array: &ArrayRef,
    reading: LabelReading,
    classes: &HashMap<String, i64>,
    labels: &mut Vec<LabelValue>,
) -> Result<(), ParquetError> {
    let array = without_dictionary(array)?;
    match (reading, array.data_type()) {
        (LabelReading::Number, DataType::UInt64) => {
            let value = |number: u64| i64::try_from(number).map_or(LabelValue::Beyond(number), LabelValue::Class);
            let numbers = array.as_primitive::<UInt64Type>().iter();
            labels.extend(numbers.map(|number| number.map_or(LabelValue::Null, value)));
        }
        (LabelReading::Number, data_type) if data_type.is_floating() => {
            let numbers = converted(&array, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>().iter();
            labels.extend(numbers.map(|number| number.map_or(LabelValue::Null, whole)));
        }
        (LabelReading::Number, _) => {
            let numbers = converted(&array, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>().iter();
            labels.extend(numbers.map(|number| number.map_or(LabelValue::Null, LabelValue::Class)));
        }
        (LabelReading::Name, _) => {
            let names = converted(&array, &DataType::Utf8View)?;
            let value = |name: Option<&str>| match name.map(|name| (name, classes.get(name))) {
                None => LabelValue::Null,
                Some((_, Some(&class))) => LabelValue::Class(class),
                Some((name, None)) => LabelValue::Unknown(name.into()),
            };
            labels.extend(names.as_string_view().iter().map(value));
        }
    }
    Ok(())
}

/// A label that is stored as a float, as tables with a missing value become when they pass through pandas.
fn whole(number: f64) -> LabelValue {
    /// Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number {
        number if number.is_nan() => LabelValue::Null,
        number if number.fract() == 0.0 && number.abs() <= EXACT => LabelValue::Class(number as i64),
        number => LabelValue::NotWhole(number),
    }
}

/// Class names and how the label column gives them.
pub(crate) type Classes = Option<(LabelReading, Arc<HashMap<String, i64>>)>;

/// Reads a part; runs on the stream's own runtime.
pub(crate) async fn read_part(
    columns: &FileColumns,
    part: &Part,
    classes: &Classes,
) -> Result<LoadedRows, PipelineError> {
    let failed = |error: ParquetError| group_error(columns, part.group, &error);
    let reader = StorageReader { storage: columns.storage.clone(), metadata: Arc::clone(columns.metadata.metadata()) };
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, columns.metadata.clone())
        .with_projection(columns.mask.clone())
        .with_row_groups(vec![part.group as usize])
        .with_batch_size(STEP);
    if let Some(selection) = part.selection() {
        builder = builder.with_row_selection(selection);
    }
    let mut stream = builder.build().map_err(failed)?;
    let mut gather = Gather::new(columns, part, classes);
    while let Some(batch) = stream.next().await {
        gather.push(&batch.map_err(failed)?)?;
    }
    gather.finish()
}

/// Reads a part on this thread.
pub(crate) fn read_blocking(
    columns: &FileColumns,
    part: &Part,
    classes: &Classes,
) -> Result<LoadedRows, PipelineError> {
    let chunk = Chunk { storage: columns.storage.clone(), length: columns.storage.length()? };
    let read = || {
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunk, columns.metadata.clone())
            .with_projection(columns.mask.clone())
            .with_row_groups(vec![part.group as usize])
            .with_batch_size(STEP);
        if let Some(selection) = part.selection() {
            builder = builder.with_row_selection(selection);
        }
        let mut gather = Gather::new(columns, part, classes);
        for batch in builder.build()? {
            let batch = batch.map_err(|error| ParquetError::External(error.into()))?;
            gather.push(&batch).map_err(|error| ParquetError::External(error.into()))?;
        }
        gather.finish().map_err(|error| ParquetError::External(error.into()))
    };
    caught(&columns.name, read).map_err(|error| match error {
        PipelineError::Footer { file, reason } => PipelineError::RowGroup { file, row_group: part.group, reason },
        other => other,
    })
}

/// Hands on the input of every row of a group, in order (`None` when null), holding some rows at a time.
pub(crate) fn for_each_input(
    columns: &FileColumns,
    group: u32,
    each: &mut impl FnMut(Option<&[u8]>),
) -> Result<(), PipelineError> {
    let chunk = Chunk { storage: columns.storage.clone(), length: columns.storage.length()? };
    let read = || {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunk, columns.metadata.clone())
            .with_projection(columns.mask.clone())
            .with_row_groups(vec![group as usize])
            .with_batch_size(STEP);
        for batch in builder.build()? {
            let batch = batch.map_err(|error| ParquetError::External(error.into()))?;
            let mut rows = LoadedRows::default();
            rows.push(&batch, columns, None)?;
            (0..batch.num_rows()).for_each(|row| each(rows.input(row)));
        }
        Ok(())
    };
    caught(&columns.name, read).map_err(|error| match error {
        PipelineError::Footer { file, reason } => PipelineError::RowGroup { file, row_group: group, reason },
        other => other,
    })
}

/// Makes whole steps of what the reader hands out in pieces of its own choice.
struct Gather<'a> {
    columns: &'a FileColumns,
    part: &'a Part,
    classes: &'a Classes,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    rows: usize,
    loaded: LoadedRows,
}

impl<'a> Gather<'a> {
    fn new(columns: &'a FileColumns, part: &'a Part, classes: &'a Classes) -> Self {
        Self { columns, part, classes, pending: Vec::new(), pending_rows: 0, rows: 0, loaded: LoadedRows::default() }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), PipelineError> {
        let mut from = 0;
        while from < batch.num_rows() {
            let take = (STEP - self.pending_rows).min(batch.num_rows() - from);
            self.pending.push(batch.slice(from, take));
            self.pending_rows += take;
            from += take;
            if self.pending_rows == STEP {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PipelineError> {
        let failed = |error: ParquetError| group_error(self.columns, self.part.group, &error);
        let joined = match self.pending.as_slice() {
            [] => return Ok(()),
            [batch] => batch.clone(),
            batches => arrow_select::concat::concat_batches(&batches[0].schema(), batches)
                .map_err(|error| failed(ParquetError::External(error.into())))?,
        };
        self.rows += joined.num_rows();
        let classes = self.classes.as_ref().map(|(reading, names)| (*reading, &**names));
        self.loaded.push(&joined, self.columns, classes).map_err(failed)?;
        self.pending.clear();
        self.pending_rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<LoadedRows, PipelineError> {
        self.flush()?;
        let group = self.columns.metadata.metadata().row_group(self.part.group as usize);
        let wanted = self.part.rows.as_ref().map_or(group.num_rows() as usize, Vec::len);
        match self.rows == wanted {
            true => Ok(self.loaded),
            false => Err(PipelineError::RowGroup {
                file: self.columns.name.to_string(),
                row_group: self.part.group,
                reason: format!("{} rows came out, the footer says {wanted}", self.rows),
            }),
        }
    }
}

fn group_error(columns: &FileColumns, group: u32, error: &dyn std::error::Error) -> PipelineError {
    PipelineError::RowGroup {
        file: columns.name.to_string(),
        row_group: group,
        reason: shown_up_to(error.to_string(), 400),
    }
}
