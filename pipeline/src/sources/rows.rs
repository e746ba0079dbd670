//! Reads rows of one row group into memory, asynchronously for streams and blocking for single rows.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use parquet::errors::ParquetError;

use super::columns::row_bytes;
use super::pages::{PageBytes, PageDamage, reader_says};
use super::row_group::{GroupPages, Wanted, fetch};
use super::values::ColumnValues;
use super::{FileColumns, Value, caught};
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

/// Rows in memory; an index counts the rows that were asked for.
#[derive(Debug)]
pub(crate) struct LoadedRows {
    /// Rows in each of the steps.
    step: usize,
    /// Of each step its columns, in the order in which they were asked for.
    steps: Vec<Vec<ColumnValues>>,
    buffers: HashSet<usize>,
    /// Bytes of the distinct buffers that the rows point into, and of the rows themselves.
    pub(crate) bytes: u64,
}

/// The values of one row.
#[derive(Clone, Copy, Debug)]
pub struct RowValues<'a> {
    columns: &'a [ColumnValues],
    index: usize,
    /// Of each column its place among those that were read; `None` for all as they are.
    places: Option<&'a [usize]>,
}

impl<'a> RowValues<'a> {
    /// The value in a column, by its place among those that were asked for.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn get(&self, column: usize) -> Value<'a> {
        self.columns[self.places.map_or(column, |places| places[column])].get(self.index)
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.places.map_or(self.columns.len(), <[usize]>::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of all columns.
    pub(crate) fn of(self, places: &'a [usize]) -> Self {
        Self { places: Some(places), ..self }
    }
}

impl LoadedRows {
    pub(crate) fn row(&self, index: usize) -> RowValues<'_> {
        RowValues { columns: &self.steps[index / self.step], index: index % self.step, places: None }
    }

    fn new(step: usize) -> Self {
        Self { step, steps: Vec::new(), buffers: HashSet::new(), bytes: 0 }
    }

    fn push(&mut self, batch: &RecordBatch, columns: &FileColumns, copying: bool) -> Result<(), ParquetError> {
        let mut step = Vec::with_capacity(columns.columns.len());
        for name in &columns.columns {
            let values = ColumnValues::new(column(batch, name)?)?;
            let values = if copying { values.copied()? } else { values };
            let (buffers, bytes) = (&mut self.buffers, &mut self.bytes);
            values.each_buffer(&mut |buffer| {
                if buffers.insert(buffer.data_ptr().as_ptr() as usize) {
                    *bytes += buffer.capacity() as u64;
                }
            });
            self.bytes += values.nested();
            step.push(values);
        }
        self.bytes += batch.num_rows() as u64 * row_bytes(columns.columns.len()) + STEP_BYTES;
        self.steps.push(step);
        Ok(())
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow_array::ArrayRef, ParquetError> {
    let missing = || ParquetError::General(format!("no column `{}` came out of the reader", shown(name)));
    batch.column_by_name(name).ok_or_else(missing)
}

/// Reads a part; runs on the stream's own runtime.
pub(crate) async fn read_part(columns: &FileColumns, part: &Part) -> Result<LoadedRows, PipelineError> {
    let wanted = Wanted::new(columns, part.group as usize, part.rows.as_deref());
    let bytes = fetch(columns, wanted).await?;
    decode(columns, part, bytes)
}

/// Reads a part on this thread, a page at a time.
pub(crate) fn read_blocking(columns: &FileColumns, part: &Part) -> Result<LoadedRows, PipelineError> {
    decode(columns, part, PageBytes::Stored(columns.storage.open()?))
}

/// Hands every row of a group to `each`, in order, holding a few rows at a time.
pub(crate) fn each_row(
    columns: &FileColumns,
    group: u32,
    mut each: impl FnMut(RowValues<'_>),
) -> Result<(), PipelineError> {
    each_step(columns, group, |loaded, rows| (0..rows).for_each(|row| each(loaded.row(row))))
}

/// The same, some rows at a time, with how many they are.
pub(crate) fn each_step(
    columns: &FileColumns,
    group: u32,
    mut each: impl FnMut(LoadedRows, usize),
) -> Result<(), PipelineError> {
    let bytes = PageBytes::Stored(columns.storage.open()?);
    in_group(columns, group, || {
        let pages = GroupPages::new(columns, group as usize, bytes)?;
        for batch in pages.batches(None, STEP)? {
            let batch = batch?;
            let mut loaded = LoadedRows::new(batch.num_rows().max(1));
            loaded.push(&batch, columns, false)?;
            each(loaded, batch.num_rows());
        }
        Ok(())
    })
}

fn decode(columns: &FileColumns, part: &Part, bytes: PageBytes) -> Result<LoadedRows, PipelineError> {
    let rows = part.rows.as_deref();
    let read = || {
        let group = GroupPages::new(columns, part.group as usize, bytes)?;
        let mut gather = Gather::new(columns, part);
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
    /// Whether rows are copied out of their pages.
    copying: bool,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    rows: usize,
    loaded: LoadedRows,
}

impl<'a> Gather<'a> {
    fn new(columns: &'a FileColumns, part: &'a Part) -> Self {
        let loaded = LoadedRows::new(STEP);
        Self { columns, part, copying: false, pending: Vec::new(), pending_rows: 0, rows: 0, loaded }
    }

    /// Copies rows out of their pages, `step` at a time.
    pub(super) fn copying(columns: &'a FileColumns, part: &'a Part, step: usize) -> Self {
        Self { copying: true, loaded: LoadedRows::new(step), ..Self::new(columns, part) }
    }

    /// Bytes of the rows so far.
    pub(super) fn bytes(&self) -> u64 {
        self.loaded.bytes
    }

    /// Bytes of these rows once they are copied, beside those of each row.
    pub(super) fn copied_bytes(&self, batch: &RecordBatch) -> Result<u64, ParquetError> {
        let bytes = |name: &String| {
            let values = ColumnValues::new(column(batch, name)?)?;
            Ok(values.pointed_to() + values.nested())
        };
        self.columns.columns.iter().map(bytes).sum()
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
        self.loaded.push(&joined, self.columns, self.copying)?;
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
