//! The rows of a dataset written into other files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::sources::caught;
use crate::table_file::{TableFile, TableSettings};
use crate::{DataFile, Dataset, PipelineError};

/// Decompressed bytes of a row group that is written, about.
const GROUP_BYTES: u64 = 8 << 20;
/// Rows that are read at a time, at most.
const BATCH: usize = 256;

impl Dataset {
    /// Writes each row, with all its columns, into the file whose number `part_of` says, by its index in file order. Columns are those
    /// of the first file with rows.
    ///
    /// # Errors
    /// A file has other columns than the first, is no file of this machine, cannot be read, or cannot be written.
    ///
    /// # Panics
    /// If `part_of` does not have one number below the number of files for each row.
    pub fn divide(&self, part_of: &[u16], files: &[PathBuf]) -> Result<(), PipelineError> {
        assert_eq!(part_of.len() as u64, self.rows(), "a number for each row");
        let schema = self.arrow_schema();
        let rows_a_group = self.rows_a_group();
        let settings = TableSettings { rows_a_group, ..TableSettings::default() };
        let open = |path: &PathBuf| TableFile::create_with(path, Arc::clone(schema), &settings);
        let mut writers = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut done = 0;
        for file in self.files().iter().filter(|file| file.rows > 0) {
            for batch in batches(file, rows_a_group.min(BATCH))? {
                let batch = caught(&file.name, || Ok(batch?))?;
                let batch = with_columns(&batch, schema, file)?;
                let numbers = &part_of[done..done + batch.num_rows()];
                done += batch.num_rows();
                for (part, writer) in writers.iter_mut().enumerate() {
                    let chosen: BooleanArray =
                        numbers.iter().map(|number| Some(usize::from(*number) == part)).collect::<Vec<_>>().into();
                    if chosen.true_count() > 0 {
                        let rows =
                            filter_record_batch(&batch, &chosen).map_err(|error| failed(&files[part], &error))?;
                        writer.add(&rows)?;
                    }
                }
            }
        }
        writers.into_iter().try_for_each(TableFile::finish)
    }

    /// Writes each row, with all its columns, into a file as often as `times` says, by its index in file order, in this order: a sample of
    /// the rows with replacement, or some of them.
    ///
    /// # Errors
    /// As [`Dataset::divide`].
    ///
    /// # Panics
    /// If `times` does not have a number for each row.
    pub fn write_rows(&self, times: &[u32], path: &Path) -> Result<(), PipelineError> {
        assert_eq!(times.len() as u64, self.rows(), "a number for each row");
        let (schema, rows_a_group) = (self.arrow_schema(), self.rows_a_group());
        let at_a_time = rows_a_group.min(BATCH);
        let settings = TableSettings { rows_a_group, ..TableSettings::default() };
        let mut writer = TableFile::create_with(path, Arc::clone(schema), &settings)?;
        let mut done = 0;
        for file in self.files().iter().filter(|file| file.rows > 0) {
            for batch in batches(file, at_a_time)? {
                let batch = caught(&file.name, || Ok(batch?))?;
                let batch = with_columns(&batch, schema, file)?;
                let own = &times[done..done + batch.num_rows()];
                done += batch.num_rows();
                let mut each =
                    own.iter().zip(0_u32..).flat_map(|(times, row)| std::iter::repeat_n(row, *times as usize));
                // a row that is drawn very often must not make a batch that no memory holds
                loop {
                    let rows: Vec<u32> = each.by_ref().take(at_a_time).collect();
                    if rows.is_empty() {
                        break;
                    }
                    let rows = UInt32Array::from(rows);
                    writer.add(&take_record_batch(&batch, &rows).map_err(|error| failed(path, &error))?)?;
                }
            }
        }
        writer.finish()
    }

    /// Rows of a row group that is written, so that it has about so many bytes.
    fn rows_a_group(&self) -> usize {
        let bytes: u64 = self.files().iter().flat_map(|file| &file.row_groups).map(|group| group.uncompressed).sum();
        (GROUP_BYTES * self.rows() / bytes.max(1)).clamp(16, 100_000) as usize
    }
}

/// All rows of a file, a few at a time.
fn batches(
    file: &DataFile,
    rows: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch, arrow_schema::ArrowError>>, PipelineError> {
    let opened = File::open(&file.path).map_err(|source| PipelineError::Io { path: file.path.clone(), source })?;
    caught(&file.name, || ParquetRecordBatchReaderBuilder::try_new(opened)?.with_batch_size(rows).build())
}

/// The columns of a schema, in its order.
fn with_columns(batch: &RecordBatch, schema: &SchemaRef, file: &DataFile) -> Result<RecordBatch, PipelineError> {
    let refused = |reason: String| PipelineError::Entry { path: file.path.clone(), reason };
    let columns = schema.fields().iter().map(|field| {
        let found = batch.column_by_name(field.name()).filter(|column| column.data_type() == field.data_type());
        let name = millstream_schemas::shown(field.name());
        found
            .cloned()
            .ok_or_else(|| refused(format!("its column `{name}` is not as in the first file; rows cannot be divided")))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| refused(error.to_string()))
}

fn failed(path: &Path, error: &dyn std::error::Error) -> PipelineError {
    PipelineError::Entry { path: path.to_owned(), reason: format!("cannot be written: {error}") }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn each_row_lies_in_its_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let names: StringArray = (0..10).map(|at| Some(format!("row {at}"))).collect();
        let numbers: Int32Array = (0..10).map(|at| (at % 4 != 1).then_some(at)).collect();
        let batch = RecordBatch::try_from_iter([
            ("name", Arc::new(names) as arrow_array::ArrayRef),
            ("number", Arc::new(numbers) as arrow_array::ArrayRef),
        ])
        .unwrap();
        let path = folder.path().join("all.parquet");
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let all = Dataset::open("all.parquet", folder.path()).unwrap();
        let files: Vec<PathBuf> = (0..3).map(|part| folder.path().join(format!("part-{part}.parquet"))).collect();
        let part_of: Vec<u16> = (0..10).map(|row| row % 3).collect();
        all.divide(&part_of, &files).unwrap();
        let columns = ["name".to_owned(), "number".to_owned()];
        for part in 0..3_usize {
            let dataset = Dataset::open(&format!("part-{part}.parquet"), folder.path()).unwrap();
            let mut found = Vec::new();
            dataset
                .each_row(&columns, |row| {
                    found.push((format!("{:?}", row.get(0)), row.get(1).number()));
                })
                .unwrap();
            let wanted = (0..10).filter(|row| row % 3 == part).map(|row| row as i32);
            let numbers: Vec<Option<f64>> = found.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbers, wanted.clone().map(|row| (row % 4 != 1).then_some(f64::from(row))).collect::<Vec<_>>());
            assert!(found.iter().zip(wanted).all(|((name, _), row)| name.contains(&format!("row {row}"))), "{found:?}");
        }
        let times = [0, 2, 0, 1, 0, 0, 700, 0, 0, 1];
        all.write_rows(&times, &folder.path().join("drawn.parquet")).unwrap();
        let (drawn, mut found) = (Dataset::open("drawn.parquet", folder.path()).unwrap(), Vec::new());
        drawn.each_row(&columns, |row| found.push(row.get(1).number())).unwrap();
        let wanted = times.iter().enumerate().flat_map(|(row, times)| vec![row; *times as usize]);
        assert_eq!(found, wanted.map(|row| (row % 4 != 1).then_some(row as f64)).collect::<Vec<_>>());
    }
}
