//! Reads rows of one row group into memory, asynchronously for streams and blocking for single rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryViewArray, RecordBatch, StringViewArray};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use parquet::errors::ParquetError;

use super::columns::ROW_BYTES;
use super::pages::{PageBytes, PageDamage, reader_says};
use super::row_group::{GroupPages, Wanted, fetch};
use super::{FileColumns, LabelReading, caught};
use crate::PipelineError;
use millstream_schemas::shown;

/// Rows that are decoded at a time.
const STEP: usize = 256;
/// Bytes of an array beside its rows.
const STEP_BYTES: u64 = 512;

/// Some or all rows of one row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Row group within the file.
    pub(crate) group: u32,
    /// Ascending; `None` for all.
    pub(crate) rows: Option<Vec<u32>>,
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
#[derive(Debug)]
pub(crate) struct LoadedRows {
    /// Rows in each of the inputs.
    step: usize,
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
        let (step, index) = (index / self.step, index % self.step);
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

    fn new(step: usize) -> Self {
        Self { step, inputs: Vec::new(), labels: Vec::new(), buffers: HashSet::new(), bytes: 0 }
    }

    fn push(
        &mut self,
        batch: &RecordBatch,
        columns: &FileColumns,
        classes: Option<(LabelReading, &HashMap<String, i64>)>,
        copying: bool,
    ) -> Result<(), ParquetError> {
        let column = |name: &str| {
            let missing = || ParquetError::General(format!("no column `{}` came out of the reader", shown(name)));
            batch.column_by_name(name).cloned().ok_or_else(missing)
        };
        if let Some(name) = &columns.input {
            let mut input = input_array(&column(name)?)?;
            if copying {
                input = input.copied()?;
            }
            let buffers = match &input {
                Input::Bytes { bytes, .. } => bytes.data_buffers(),
                Input::Text(text) => text.data_buffers(),
            };
            for buffer in buffers.iter() {
                if self.buffers.insert(buffer.data_ptr().as_ptr() as usize) {
                    self.bytes += buffer.capacity() as u64;
                }
            }
            self.bytes += batch.num_rows() as u64 * ROW_BYTES + STEP_BYTES;
            self.inputs.push(input);
        }
        if let (Some(name), Some((reading, classes))) = (&columns.label, classes) {
            push_labels(&column(name)?, reading, classes, &mut self.labels)?;
        }
        Ok(())
    }
}

impl Input {
    /// The same in a buffer of its own, so that the pages can go.
    fn copied(self) -> Result<Self, ParquetError> {
        let arrow = |error: arrow_schema::ArrowError| ParquetError::External(error.into());
        Ok(match self {
            Self::Bytes { bytes, outer } => {
                let (views, buffers, nulls) = bytes.into_parts();
                let (views, buffer) = copied(&views, &buffers)?;
                let bytes = BinaryViewArray::try_new(views, Vec::from_iter(buffer), nulls).map_err(arrow)?;
                Self::Bytes { bytes, outer }
            }
            Self::Text(text) => {
                let (views, buffers, nulls) = text.into_parts();
                let (views, buffer) = copied(&views, &buffers)?;
                Self::Text(StringViewArray::try_new(views, Vec::from_iter(buffer), nulls).map_err(arrow)?)
            }
        })
    }
}

/// A view has the length in its lowest 32 bits; when that is above 12, it has the buffer's number and the place in it in its
/// two highest.
const INLINE: u128 = 12;
const LOW: u128 = u32::MAX as u128;

/// Bytes that views point to; values of a dictionary count as often as they occur.
fn pointed_to(views: &[u128]) -> u64 {
    views.iter().map(|&view| if view & LOW > INLINE { (view & LOW) as u64 } else { 0 }).sum()
}

/// Views into one new buffer.
fn copied(views: &[u128], buffers: &[Buffer]) -> Result<(ScalarBuffer<u128>, Option<Buffer>), ParquetError> {
    let length = |view: u128| (view & LOW) as usize;
    let total = pointed_to(views);
    // A place in a buffer has 32 bits.
    if total > u64::from(u32::MAX) {
        return Err(
            PageDamage(format!("{} rows together have {total} bytes; at most 4 GiB are copied", views.len())).into()
        );
    }
    let mut packed: Vec<u8> = Vec::with_capacity(total as usize);
    let moved = views.iter().map(|&view| {
        if view & LOW <= INLINE {
            return view;
        }
        let (buffer, offset) = ((view >> 64 & LOW) as usize, (view >> 96) as usize);
        let place = packed.len() as u128;
        packed.extend_from_slice(&buffers[buffer][offset..offset + length(view)]);
        view & (LOW << 32 | LOW) | place << 96
    });
    let moved: Vec<u128> = moved.collect();
    Ok((moved.into(), (!packed.is_empty()).then(|| packed.into())))
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
    let wanted = Wanted::new(columns, part.group as usize, part.rows.as_deref());
    let bytes = fetch(columns, wanted).await?;
    decode(columns, part, classes, bytes)
}

/// Reads a part on this thread, a page at a time.
pub(crate) fn read_blocking(
    columns: &FileColumns,
    part: &Part,
    classes: &Classes,
) -> Result<LoadedRows, PipelineError> {
    decode(columns, part, classes, PageBytes::Stored(columns.storage.open()?))
}

/// Hands every label of a row group to `each`, holding a few rows at a time.
pub(crate) fn each_label(
    columns: &FileColumns,
    group: u32,
    classes: &Classes,
    mut each: impl FnMut(&LabelValue),
) -> Result<(), PipelineError> {
    each_step(columns, group, classes, |loaded, _| loaded.labels.iter().for_each(&mut each))
}

/// Hands the input of every row of a group to `each` (`None` when null), in order, holding a few rows at a time.
pub(crate) fn each_input(
    columns: &FileColumns,
    group: u32,
    mut each: impl FnMut(Option<&[u8]>),
) -> Result<(), PipelineError> {
    each_step(columns, group, &None, |loaded, rows| (0..rows).for_each(|row| each(loaded.input(row))))
}

/// Hands over the rows of a group, some at a time, with their number.
fn each_step(
    columns: &FileColumns,
    group: u32,
    classes: &Classes,
    mut each: impl FnMut(&LoadedRows, usize),
) -> Result<(), PipelineError> {
    let bytes = PageBytes::Stored(columns.storage.open()?);
    in_group(columns, group, || {
        let pages = GroupPages::new(columns, group as usize, bytes)?;
        let classes = classes.as_ref().map(|(reading, names)| (*reading, &**names));
        for batch in pages.batches(None, STEP)? {
            let batch = batch?;
            let mut loaded = LoadedRows::new(STEP);
            loaded.push(&batch, columns, classes, false)?;
            each(&loaded, batch.num_rows());
        }
        Ok(())
    })
}

fn decode(
    columns: &FileColumns,
    part: &Part,
    classes: &Classes,
    bytes: PageBytes,
) -> Result<LoadedRows, PipelineError> {
    let rows = part.rows.as_deref();
    let read = || {
        let group = GroupPages::new(columns, part.group as usize, bytes)?;
        let mut gather = Gather::new(columns, part, classes);
        for batch in group.batches(rows, STEP)? {
            gather.push(&batch?)?;
        }
        gather.finish()
    };
    in_group(columns, part.group, read)
}

/// What we found ourselves, however deep the reader put it.
fn our_words(error: &ParquetError) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(PageDamage(reason)) = error.downcast_ref() {
            return Some(reason.clone());
        }
        cause = match error.downcast_ref() {
            Some(ParquetError::External(inner)) => Some(&**inner),
            _ => error.source(),
        };
    }
    None
}

/// Runs the Parquet reader's code for a row group and turns errors and panics into ones that name the place.
pub(super) fn in_group<T>(
    columns: &FileColumns,
    row_group: u32,
    work: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, PipelineError> {
    let said = |error: ParquetError| {
        let reason = our_words(&error);
        PageDamage(reason.unwrap_or_else(|| format!("it cannot be decoded: {}", reader_says(&error)))).into()
    };
    caught(&columns.name, || work().map_err(said)).map_err(|error| match error {
        PipelineError::Footer { file, reason } => PipelineError::RowGroup { file, row_group, reason },
        other => other,
    })
}

/// Makes whole steps of what the reader hands out in pieces of its own choice.
pub(super) struct Gather<'a> {
    columns: &'a FileColumns,
    part: &'a Part,
    classes: &'a Classes,
    /// Whether rows are copied out of their pages.
    copying: bool,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    rows: usize,
    loaded: LoadedRows,
}

impl<'a> Gather<'a> {
    fn new(columns: &'a FileColumns, part: &'a Part, classes: &'a Classes) -> Self {
        let loaded = LoadedRows::new(STEP);
        Self { columns, part, classes, copying: false, pending: Vec::new(), pending_rows: 0, rows: 0, loaded }
    }

    /// Copies rows out of their pages, `step` at a time.
    pub(super) fn copying(columns: &'a FileColumns, part: &'a Part, classes: &'a Classes, step: usize) -> Self {
        Self { copying: true, loaded: LoadedRows::new(step), ..Self::new(columns, part, classes) }
    }

    /// Bytes of the rows so far.
    pub(super) fn bytes(&self) -> u64 {
        self.loaded.bytes
    }

    /// Bytes of these rows once they are copied, beside those of each row.
    pub(super) fn copied_bytes(&self, batch: &RecordBatch) -> Result<u64, ParquetError> {
        let column = self.columns.input.as_ref().and_then(|name| batch.column_by_name(name));
        Ok(match column.map(input_array).transpose()? {
            Some(Input::Bytes { bytes, .. }) => pointed_to(bytes.views()),
            Some(Input::Text(text)) => pointed_to(text.views()),
            None => 0,
        })
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let mut from = 0;
        while from < batch.num_rows() {
            let step = self.loaded.step;
            let take = (step - self.pending_rows).min(batch.num_rows() - from);
            self.pending.push(batch.slice(from, take));
            self.pending_rows += take;
            from += take;
            if self.pending_rows == step {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let joined = match self.pending.as_slice() {
            [] => return Ok(()),
            [batch] => batch.clone(),
            batches => arrow_select::concat::concat_batches(&batches[0].schema(), batches)
                .map_err(|error| ParquetError::External(error.into()))?,
        };
        self.rows += joined.num_rows();
        let classes = self.classes.as_ref().map(|(reading, names)| (*reading, &**names));
        self.loaded.push(&joined, self.columns, classes, self.copying)?;
        self.pending.clear();
        self.pending_rows = 0;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<LoadedRows, ParquetError> {
        self.flush()?;
        let group = self.columns.group_rows(self.part.group as usize) as usize;
        let wanted = self.part.rows.as_ref().map_or(group, Vec::len);
        match self.rows == wanted {
            true => Ok(self.loaded),
            false => Err(PageDamage(format!("{} rows came out, the footer says {wanted}", self.rows)).into()),
        }
    }
}
