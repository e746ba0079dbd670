//! Files of predictions: Parquet with a row for each row that a model has answered.
//!
//! | column | |
//! |---|---|
//! | `file`, `row_group`, `row` | which row it is |
//! | `label` | its class, of class scores |
//! | `targets` | what is true of each label, or the numbers |
//! | `logits` | what the model gave, before any softmax or sigmoid |
//!
//! The schema's metadata has a [`PredictionsHeader`] as JSON.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sources::{RowValues, Value};
use crate::stores::LocalFile;
use crate::table_file::TableFile;
use crate::{Dataset, PipelineError};
use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{PredictionTargets, Predictions, PredictionsHeader, RowId, ScoresOf, shown_up_to};

/// Key of the schema's metadata.
const HEADER: &str = "millstream.predictions";
const FILE: &str = "file";
const ROW_GROUP: &str = "row_group";
const ROW: &str = "row";
const LABEL: &str = "label";
const TARGETS: &str = "targets";
const LOGITS: &str = "logits";
/// Writes a file of predictions, batch after batch; the file is there when it is finished, and not before.
pub struct PredictionWriter {
    header: PredictionsHeader,
    schema: SchemaRef,
    file: TableFile,
    path: PathBuf,
    rows: u64,
}

impl PredictionWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, header: PredictionsHeader) -> Result<Self, PipelineError> {
        let schema = schema(&header);
        let file = TableFile::create(path, Arc::clone(&schema))?;
        Ok(Self { header, schema, file, path: path.to_owned(), rows: 0 })
    }

    /// What it says of all rows.
    pub fn header(&self) -> &PredictionsHeader {
        &self.header
    }

    /// Adds rows: `scores` row-major `[rows, columns]`.
    ///
    /// # Errors
    /// Rows, scores and targets do not fit each other, or they cannot be written.
    pub fn add(&mut self, rows: &[RowId], scores: &[f32], targets: &PredictionTargets) -> Result<(), PipelineError> {
        let columns = self.header.columns;
        let targets: ArrayRef = match targets {
            PredictionTargets::Classes(classes) => {
                Arc::new(classes.iter().map(|class| i64::from(*class)).collect::<Int64Array>())
            }
            PredictionTargets::Numbers(numbers) => lists(numbers, columns),
        };
        let text = |of: fn(&RowId) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
        };
        let number = |of: fn(&RowId) -> u32| -> ArrayRef {
            Arc::new(rows.iter().map(|row| i64::from(of(row))).collect::<Int64Array>())
        };
        let arrays = vec![
            text(|row| &row.file),
            number(|row| row.row_group),
            number(|row| row.row),
            targets,
            lists(scores, columns),
        ];
        let batch =
            RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| not_written(&self.path, &error))?;
        self.rows += rows.len() as u64;
        self.file.add(&batch)
    }

    /// Lets the file take its name; gives the number of its rows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<u64, PipelineError> {
        self.file.finish()?;
        Ok(self.rows)
    }
}

fn not_written(path: &Path, error: &dyn std::fmt::Display) -> PipelineError {
    refused(path, format!("predictions cannot be written: {}", shown_up_to(error.to_string(), 200)))
}

fn refused(path: &Path, reason: impl Into<String>) -> PipelineError {
    PipelineError::Entry { path: path.to_owned(), reason: reason.into() }
}

fn schema(header: &PredictionsHeader) -> SchemaRef {
    let list = || DataType::List(Arc::new(Field::new_list_field(DataType::Float32, false)));
    let target = match header.scores_of {
        ScoresOf::Classes => Field::new(LABEL, DataType::Int64, false),
        _ => Field::new(TARGETS, list(), false),
    };
    let fields = vec![
        Field::new(FILE, DataType::Utf8, false),
        Field::new(ROW_GROUP, DataType::Int64, false),
        Field::new(ROW, DataType::Int64, false),
        target,
        Field::new(LOGITS, list(), false),
    ];
    let header = serde_json::to_string(header).expect("our own types have string keys");
    Arc::new(Schema::new(fields).with_metadata([(HEADER.to_owned(), header)]))
}

/// Numbers as lists of so many.
fn lists(numbers: &[f32], columns: usize) -> ArrayRef {
    let mut builder =
        ListBuilder::new(Float32Builder::new()).with_field(Field::new_list_field(DataType::Float32, false));
    for row in numbers.chunks(columns.max(1)) {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// What a file of predictions says of all its rows.
///
/// # Errors
/// It cannot be read, is no such file, or is of another version.
pub fn predictions_header(path: &Path) -> Result<PredictionsHeader, PipelineError> {
    header_of(&opened(path)?, path)
}

/// Reads a file of predictions, of which at most so many bytes are held.
///
/// # Errors
/// It cannot be read, is no such file, is of another version, is not whole, or would take more.
pub fn read_predictions(path: &Path, most_bytes: u64) -> Result<Predictions, PipelineError> {
    let dataset = opened(path)?;
    let header = header_of(&dataset, path)?;
    let is_of_classes = header.scores_of == ScoresOf::Classes;
    let of_scores = (header.columns as u64).saturating_mul(if is_of_classes { 4 } else { 8 });
    let of_row = of_scores.saturating_add(size_of::<RowId>() as u64 + 4);
    let needed = dataset.rows().saturating_mul(of_row);
    if needed > most_bytes {
        let reason = format!(
            "its {} rows of {} scores take {}, more than the {} that may be held; allow more by `--memory`, or by `data.memory` of the \
             recipe where the command has none",
            dataset.rows(),
            header.columns,
            ByteSize(needed),
            ByteSize(most_bytes)
        );
        return Err(refused(path, reason));
    }
    let target = if is_of_classes { LABEL } else { TARGETS };
    let columns: Vec<String> = [FILE, ROW_GROUP, ROW, target, LOGITS].map(str::to_owned).to_vec();
    let mut found = Predictions::new(header);
    let mut last: Option<Arc<str>> = None;
    let mut problem = None;
    dataset.each_row(&columns, |row| {
        if problem.is_none() {
            problem = add(&mut found, &mut last, row).err().map(|reason| (found.rows.len(), reason));
        }
    })?;
    match problem {
        None => Ok(found),
        Some((row, reason)) => Err(refused(path, format!("row {row} (from 0): {reason}; predict anew"))),
    }
}

fn opened(path: &Path) -> Result<Dataset, PipelineError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Dataset::from_stores(vec![(name, Arc::new(LocalFile(path.to_owned())))])
}

fn header_of(dataset: &Dataset, path: &Path) -> Result<PredictionsHeader, PipelineError> {
    let Some(text) = dataset.arrow_schema().metadata().get(HEADER) else {
        let reason = "it is no file of predictions; `millstream evaluate … --predictions FILE.parquet` writes one";
        return Err(refused(path, reason));
    };
    let version =
        serde_json::from_str::<serde_json::Value>(text).ok().and_then(|header| header.get("version")?.as_u64());
    if let Some(version) = version.filter(|version| *version != u64::from(PredictionsHeader::VERSION)) {
        let reason = format!("predictions of version {version}; this build reads {}", PredictionsHeader::VERSION);
        return Err(refused(path, reason));
    }
    let header: Option<PredictionsHeader> = serde_json::from_str(text).ok();
    header
        .filter(|header| header.columns > 0)
        .ok_or_else(|| refused(path, format!("what its metadata `{HEADER}` says is damaged")))
}

fn add(found: &mut Predictions, last: &mut Option<Arc<str>>, row: RowValues<'_>) -> Result<(), String> {
    let Value::Text(file) = row.get(0) else { return Err(format!("`{FILE}` is no text")) };
    let file = match last.as_ref().filter(|known| &***known == file) {
        Some(known) => Arc::clone(known),
        None => Arc::clone(last.insert(file.into())),
    };
    let number = |column: usize, name: &str| {
        match row.get(column) {
            Value::Signed(number) => u32::try_from(number).ok(),
            Value::Unsigned(number) => u32::try_from(number).ok(),
            _ => None,
        }
        .ok_or_else(|| format!("`{name}` is no number of 0 or more"))
    };
    let (row_group, at) = (number(1, ROW_GROUP)?, number(2, ROW)?);
    let columns = found.header.columns;
    let numbers = |column: usize, name: &str, into: &mut Vec<f32>| {
        let Value::List(list) = row.get(column) else { return Err(format!("`{name}` is no list")) };
        if list.len() != columns {
            return Err(format!("`{name}` has {} numbers, wanted {columns}", list.len()));
        }
        for value in list.iter() {
            into.push(value.number().ok_or_else(|| format!("`{name}` has something that is no number"))? as f32);
        }
        Ok(())
    };
    match &mut found.targets {
        PredictionTargets::Classes(classes) => {
            let class = number(3, LABEL)?;
            if class as usize >= columns {
                return Err(format!("class {class} of {columns}"));
            }
            classes.push(class);
        }
        PredictionTargets::Numbers(into) => numbers(3, TARGETS, into)?,
    }
    numbers(4, LOGITS, &mut found.scores)?;
    found.rows.push(RowId { file, row_group, row: at });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_schemas::Fingerprint;
    use parquet::arrow::ArrowWriter;

    fn header(scores_of: ScoresOf, columns: usize) -> PredictionsHeader {
        PredictionsHeader {
            version: PredictionsHeader::VERSION,
            scores_of,
            columns,
            classes: (0..columns).map(|class| format!("class {class}")).collect(),
            model: Fingerprint::of_bytes(b"model"),
            data: Fingerprint::of_bytes(b"data"),
        }
    }

    fn rows(from: u32, count: u32) -> Vec<RowId> {
        (from..from + count)
            .map(|row| RowId { file: format!("part-{}.parquet", row / 3).into(), row_group: row % 2, row })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_and_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/predictions.parquet");
        for scores_of in [ScoresOf::Classes, ScoresOf::Labels] {
            let _ = std::fs::remove_file(&path);
            let targets = |count: usize| match scores_of {
                ScoresOf::Classes => PredictionTargets::Classes((0..count).map(|row| (row % 2) as u32).collect()),
                _ => PredictionTargets::Numbers((0..2 * count).map(|at| at as f32 / 10.0).collect()),
            };
            let scores: Vec<f32> = (0..14).map(|at| at as f32 - 0.1).collect();
            let mut writer = PredictionWriter::create(&path, header(scores_of, 2)).unwrap();
            writer.add(&rows(0, 4), &scores[..8], &targets(4)).unwrap();
            assert!(!path.exists());
            writer.add(&rows(4, 3), &scores[8..], &targets(3)).unwrap();
            assert_eq!(writer.finish().unwrap(), 7);
            assert_eq!(predictions_header(&path).unwrap(), header(scores_of, 2));
            let read = read_predictions(&path, 1 << 20).unwrap();
            assert_eq!((&read.header, read.rows.len(), &read.scores), (&header(scores_of, 2), 7, &scores));
            assert_eq!(read.rows, rows(0, 7));
            match read.targets {
                PredictionTargets::Classes(classes) => assert_eq!(classes, [0, 1, 0, 1, 0, 1, 0]),
                PredictionTargets::Numbers(numbers) => {
                    assert_eq!((numbers.len(), numbers[7], numbers[8]), (14, 0.7, 0.0))
                }
            }
            let message = read_predictions(&path, 100).unwrap_err().to_string();
            assert!(message.contains("more than the 100 B that may be held"), "{message}");
        }
        let before = std::fs::read_dir(folder.path().join("new")).unwrap().count();
        let mut writer = PredictionWriter::create(&path, header(ScoresOf::Classes, 2)).unwrap();
        assert!(
            writer.add(&rows(0, 2), &[1.0, 2.0], &PredictionTargets::Classes(vec![0, 1])).is_err(),
            "a score is missing"
        );
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), before);
    }

    #[test]
    fn files_that_are_no_predictions_or_damaged_are_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.parquet");
        let write = |header: &PredictionsHeader, schema: Option<Schema>, arrays: Vec<ArrayRef>| {
            let schema = schema.map_or_else(|| super::schema(header), Arc::new);
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
            let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), schema, None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            read_predictions(&path, 1 << 20).unwrap_err().to_string()
        };
        let number = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        let row = |label: i64, at: i64, scores: &[f32]| -> Vec<ArrayRef> {
            let file: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
            vec![file, number(0), number(at), number(label), lists(scores, scores.len())]
        };
        let of_classes = header(ScoresOf::Classes, 2);
        let other = PredictionsHeader { version: 2, ..of_classes.clone() };
        for (message, wanted) in [
            (write(&of_classes, None, row(2, 0, &[1.0, 2.0])), "row 0 (from 0): class 2 of 2"),
            (write(&of_classes, None, row(-1, 0, &[1.0, 2.0])), "`label` is no number of 0 or more"),
            (write(&of_classes, None, row(0, -5, &[1.0, 2.0])), "`row` is no number of 0 or more"),
            (write(&of_classes, None, row(0, 0, &[1.0, 2.0, 3.0])), "`logits` has 3 numbers, wanted 2"),
            (write(&other, None, row(0, 0, &[1.0, 2.0])), "predictions of version 2; this build reads 1"),
            (
                write(
                    &of_classes,
                    Some(
                        super::schema(&of_classes)
                            .as_ref()
                            .clone()
                            .with_metadata(std::collections::HashMap::<String, String>::new()),
                    ),
                    row(0, 0, &[1.0]),
                ),
                "it is no file of predictions",
            ),
            (
                write(
                    &of_classes,
                    Some(
                        super::schema(&of_classes)
                            .as_ref()
                            .clone()
                            .with_metadata([(HEADER.to_owned(), "{}".to_owned())]),
                    ),
                    row(0, 0, &[1.0]),
                ),
                "is damaged",
            ),
        ] {
            assert!(message.contains(wanted), "{message}");
        }
        assert!(read_predictions(&folder.path().join("nothing.parquet"), 1).is_err());
    }
}
