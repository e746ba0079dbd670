use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_pipeline::TableFile;
use millstream_pipeline::arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use millstream_pipeline::arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use millstream_pipeline::arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_schemas::files::NewFile;
use millstream_schemas::shown_path;
use serde::Serialize;
use serde_json::{Map, Value};

use super::predict_report::PredictedBy;
use super::predicted_as::PredictedAs;
use super::predicted_row::{PredictedRow, RowAnswer};
use crate::RecipeError;
use crate::folder_files::extension;

/// Rows of a Parquet file that are gathered before they are written.
const ROWS_A_BATCH: usize = 4096;

/// Of a box, in pixels.
const SIDES: [&str; 4] = ["left", "top", "right", "bottom"];

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionFormat {
    /// A JSON object a line.
    JsonLines,
    /// Comma-separated values (RFC 4180) with a heading.
    Csv,
    /// Parquet.
    Parquet,
}

impl PredictionFormat {
    /// As a file's name says.
    ///
    /// # Errors
    /// It says something else.
    pub fn of(path: &Path) -> Result<Self, RecipeError> {
        match extension(path).as_str() {
            "jsonl" | "ndjson" | "json" => Ok(Self::JsonLines),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ => {
                let message = "how to write it is told by the name's end: `.jsonl`, `.csv` or `.parquet`";
                Err(RecipeError::mismatch(shown_path(path), message))
            }
        }
    }
}

/// A file of predictions, written row after row; it is there when it is finished, and not before.
pub struct PredictionRows {
    path: PathBuf,
    to: To,
}

enum To {
    JsonLines(NewFile),
    Csv { writer: Box<csv::Writer<NewFile>>, kind: PredictedAs, columns: usize },
    Parquet { file: Box<TableFile>, by: PredictedBy, schema: SchemaRef, waiting: Vec<PredictedRow> },
}

impl PredictionRows {
    /// Begins a file, of the kind that its name says.
    ///
    /// # Errors
    /// Its name says no kind, or it cannot be made.
    pub fn create(path: &Path, by: &PredictedBy) -> Result<Self, RecipeError> {
        let format = PredictionFormat::of(path)?;
        let new = || NewFile::create(path).map_err(RecipeError::io("write", path));
        let to = match format {
            PredictionFormat::JsonLines => To::JsonLines(new()?),
            PredictionFormat::Csv => {
                let mut writer = csv::Writer::from_writer(new()?);
                let headings: &[&str] = match by.predicts {
                    PredictedAs::Classes => &["input", "class", "probability", "error"],
                    PredictedAs::Labels => &["input", "labels", "error"],
                    PredictedAs::Numbers => &["input", "values", "error"],
                    PredictedAs::Box => &["input", "left", "top", "right", "bottom", "class", "error"],
                    PredictedAs::Boxes => &["input", "boxes", "class", "error"],
                    PredictedAs::Things => &["input", "things", "error"],
                };
                let all = headings.iter().map(|heading| (*heading).to_owned());
                let has_probabilities = matches!(by.predicts, PredictedAs::Classes | PredictedAs::Labels);
                let of_classes = by.classes.iter().filter(|_| has_probabilities);
                let of_classes = of_classes.map(|class| format!("probability of {class}"));
                let headings: Vec<String> = all.chain(of_classes).collect();
                writer.write_record(&headings).map_err(failed(path))?;
                To::Csv { writer: Box::new(writer), kind: by.predicts, columns: headings.len() }
            }
            PredictionFormat::Parquet => {
                let schema = schema(by);
                let file = Box::new(TableFile::create(path, Arc::clone(&schema))?);
                To::Parquet { file, by: by.clone(), schema, waiting: Vec::new() }
            }
        };
        Ok(Self { path: path.to_owned(), to })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, row: &PredictedRow) -> Result<(), RecipeError> {
        match &mut self.to {
            To::JsonLines(file) => {
                let line = serde_json::to_string(row).expect("our own types have string keys");
                writeln!(file, "{line}").map_err(RecipeError::io("write", &self.path))
            }
            To::Csv { writer, kind, columns } => {
                let mut cells = cells(row, *kind);
                cells.resize(*columns, String::new());
                writer.write_record(cells).map_err(failed(&self.path))
            }
            To::Parquet { file, by, schema, waiting } => {
                waiting.push(row.clone());
                if waiting.len() == ROWS_A_BATCH {
                    file.add(&record_batch(&std::mem::take(waiting), by, schema, &self.path)?)?;
                }
                Ok(())
            }
        }
    }

    /// Lets the file take its name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(), RecipeError> {
        let Self { path, to } = self;
        match to {
            To::JsonLines(file) => file.commit().map_err(RecipeError::io("write", &path)),
            To::Csv { writer, .. } => {
                let file = writer.into_inner().map_err(|error| RecipeError::io("write", &path)(error.into_error()))?;
                file.commit().map_err(RecipeError::io("write", &path))
            }
            To::Parquet { mut file, by, schema, waiting } => {
                if !waiting.is_empty() {
                    file.add(&record_batch(&waiting, &by, &schema, &path)?)?;
                }
                Ok(file.finish()?)
            }
        }
    }
}

fn failed(path: &Path) -> impl Fn(csv::Error) -> RecipeError {
    move |error| RecipeError::mismatch(shown_path(path), format!("cannot be written: {error}"))
}

/// Several names in one cell, so that they can be told apart again whatever they hold.
fn json(names: &impl Serialize) -> String {
    serde_json::to_string(names).expect("names and numbers always serialize")
}

/// What a row is called, what it is said to be, and why not; then a probability of each class.
fn cells(row: &PredictedRow, kind: PredictedAs) -> Vec<String> {
    let mut cells = vec![row.input.clone()];
    match &row.answer {
        RowAnswer::Class { class, probability, probabilities, .. } => {
            cells.extend([class.clone(), probability.to_string(), String::new()]);
            cells.extend(probabilities.iter().map(f32::to_string));
        }
        RowAnswer::Labels { labels, probabilities, .. } => {
            cells.extend([json(labels), String::new()]);
            cells.extend(probabilities.iter().map(f32::to_string));
        }
        RowAnswer::Numbers { values } => {
            let values: Vec<String> = values.iter().map(f32::to_string).collect();
            cells.extend([values.join(" "), String::new()]);
        }
        RowAnswer::Box { r#box, class } => {
            cells.extend(r#box.iter().map(f32::to_string));
            cells.extend([class.clone().unwrap_or_default(), String::new()]);
        }
        RowAnswer::Boxes { boxes, class } => {
            let one = |own: &[f32; 4]| own.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
            let all: Vec<String> = boxes.iter().map(one).collect();
            cells.extend([all.join("; "), class.clone().unwrap_or_default(), String::new()]);
        }
        RowAnswer::Things { things } => cells.extend([json(things), String::new()]),
        RowAnswer::Tokens { classes } => cells.extend([json(classes), String::new(), String::new()]),
        RowAnswer::Mask { mask: Some(mask), .. } => {
            cells.extend([mask.display().to_string(), String::new(), String::new()]);
        }
        RowAnswer::Mask { mask: None, shares, .. } => {
            let shares: Map<String, Value> = shares.iter().map(|own| (own.class.clone(), own.share.into())).collect();
            cells.extend([json(&shares), String::new(), String::new()]);
        }
        RowAnswer::Unusable { error } => {
            let empty = match kind {
                PredictedAs::Labels | PredictedAs::Numbers | PredictedAs::Things => 1,
                PredictedAs::Classes | PredictedAs::Boxes => 2,
                PredictedAs::Box => 5,
            };
            cells.extend(std::iter::repeat_n(String::new(), empty));
            cells.push(error.clone());
        }
    }
    cells
}

fn list() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))
}

fn boxes() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(list(), true)))
}

fn texts() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

fn schema(by: &PredictedBy) -> SchemaRef {
    let mut fields = vec![Field::new("input", DataType::Utf8, false)];
    fields.extend(match by.predicts {
        PredictedAs::Classes => vec![
            Field::new("class", DataType::Utf8, true),
            Field::new("class_index", DataType::Int64, true),
            Field::new("probability", DataType::Float32, true),
            Field::new("probabilities", list(), true),
            Field::new("classes", texts(), true),
            Field::new("mask", DataType::Utf8, true),
            Field::new("shares", list(), true),
        ],
        PredictedAs::Labels => vec![Field::new("labels", texts(), true), Field::new("probabilities", list(), true)],
        PredictedAs::Numbers => vec![Field::new("values", list(), true)],
        PredictedAs::Box => {
            let sides = SIDES.map(|side| Field::new(side, DataType::Float32, true));
            sides.into_iter().chain([Field::new("class", DataType::Utf8, true)]).collect()
        }
        PredictedAs::Boxes => vec![Field::new("boxes", boxes(), true), Field::new("class", DataType::Utf8, true)],
        PredictedAs::Things => vec![
            Field::new("boxes", boxes(), true),
            Field::new("classes", texts(), true),
            Field::new("probabilities", list(), true),
        ],
    });
    fields.push(Field::new("error", DataType::Utf8, true));
    let classes = serde_json::to_string(&by.classes).expect("lists of strings always serialize");
    Arc::new(Schema::new(fields).with_metadata([("millstream.classes".to_owned(), classes)]))
}

/// Of each row with a class for each pixel the share of each class, in the order of the classes.
fn shares(rows: &[PredictedRow], classes: &[String]) -> ArrayRef {
    let mut array = ListBuilder::new(Float32Builder::new());
    for row in rows {
        let shares = if let RowAnswer::Mask { shares, .. } = &row.answer { Some(shares) } else { None };
        if let Some(shares) = shares {
            let share =
                |class: &String| shares.iter().find(|own| own.class == *class).map_or(0.0, |own| own.share as f32);
            array.values().append_slice(&classes.iter().map(share).collect::<Vec<_>>());
        }
        array.append(shares.is_some());
    }
    Arc::new(array.finish())
}

/// Of each row a list of boxes.
fn lists_of_boxes(rows: &[PredictedRow], of: impl Fn(&RowAnswer) -> Option<Vec<[f32; 4]>>) -> ArrayRef {
    let mut array = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for row in rows {
        let boxes = of(&row.answer);
        for own in boxes.iter().flatten() {
            array.values().values().append_slice(own);
            array.values().append(true);
        }
        array.append(boxes.is_some());
    }
    Arc::new(array.finish())
}

/// Of each row the boxes, classes and probabilities of what is in its picture.
fn things(rows: &[PredictedRow]) -> [ArrayRef; 3] {
    let of = |answer: &RowAnswer| match answer {
        RowAnswer::Things { things } => Some(things.clone()),
        _ => None,
    };
    let mut classes = ListBuilder::new(StringBuilder::new());
    let mut probabilities = ListBuilder::new(Float32Builder::new());
    for row in rows {
        let things = of(&row.answer);
        for thing in things.iter().flatten() {
            classes.values().append_value(&thing.class);
            probabilities.values().append_value(thing.probability);
        }
        classes.append(things.is_some());
        probabilities.append(things.is_some());
    }
    let boxes =
        lists_of_boxes(rows, |answer| of(answer).map(|things| things.iter().map(|thing| thing.r#box).collect()));
    [boxes, Arc::new(classes.finish()), Arc::new(probabilities.finish())]
}

fn class_of_boxes(answer: &RowAnswer) -> Option<String> {
    match answer {
        RowAnswer::Box { class, .. } | RowAnswer::Boxes { class, .. } => class.clone(),
        _ => None,
    }
}

fn record_batch(
    rows: &[PredictedRow],
    by: &PredictedBy,
    schema: &SchemaRef,
    path: &Path,
) -> Result<RecordBatch, RecipeError> {
    let text = |of: &dyn Fn(&RowAnswer) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(&row.answer)).collect::<StringArray>())
    };
    let numbers = |of: &dyn Fn(&RowAnswer) -> Option<&[f32]>| -> ArrayRef {
        let mut array = ListBuilder::new(Float32Builder::new());
        for row in rows {
            let values = of(&row.answer);
            array.values().append_slice(values.unwrap_or_default());
            array.append(values.is_some());
        }
        Arc::new(array.finish())
    };
    let names = |of: &dyn Fn(&RowAnswer) -> Option<&[String]>| -> ArrayRef {
        let mut array = ListBuilder::new(StringBuilder::new());
        for row in rows {
            let values = of(&row.answer);
            values.unwrap_or_default().iter().for_each(|value| array.values().append_value(value));
            array.append(values.is_some());
        }
        Arc::new(array.finish())
    };
    let input: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.input.as_str())));
    let mut arrays = vec![input];
    let probabilities = numbers(&|answer| match answer {
        RowAnswer::Class { probabilities, .. } | RowAnswer::Labels { probabilities, .. } => Some(probabilities),
        _ => None,
    });
    match by.predicts {
        PredictedAs::Classes => {
            let class = |answer: &RowAnswer| match answer {
                RowAnswer::Class { class, .. } => Some(class.clone()),
                _ => None,
            };
            let index = |row: &PredictedRow| match &row.answer {
                RowAnswer::Class { index, .. } => Some(*index as i64),
                _ => None,
            };
            let probability = |row: &PredictedRow| match &row.answer {
                RowAnswer::Class { probability, .. } => Some(*probability),
                _ => None,
            };
            let mask = |answer: &RowAnswer| match answer {
                RowAnswer::Mask { mask: Some(mask), .. } => Some(mask.display().to_string()),
                _ => None,
            };
            arrays.push(text(&class));
            arrays.push(Arc::new(rows.iter().map(index).collect::<Int64Array>()));
            arrays.push(Arc::new(rows.iter().map(probability).collect::<Float32Array>()));
            arrays.push(probabilities);
            arrays.push(names(&|answer| match answer {
                RowAnswer::Tokens { classes } => Some(classes),
                _ => None,
            }));
            arrays.push(text(&mask));
            arrays.push(shares(rows, &by.classes));
        }
        PredictedAs::Labels => {
            arrays.push(names(&|answer| match answer {
                RowAnswer::Labels { labels, .. } => Some(labels),
                _ => None,
            }));
            arrays.push(probabilities);
        }
        PredictedAs::Numbers => arrays.push(numbers(&|answer| match answer {
            RowAnswer::Numbers { values } => Some(values),
            _ => None,
        })),
        PredictedAs::Box => {
            for side in 0..SIDES.len() {
                let side = |row: &PredictedRow| match &row.answer {
                    RowAnswer::Box { r#box, .. } => Some(r#box[side]),
                    _ => None,
                };
                arrays.push(Arc::new(rows.iter().map(side).collect::<Float32Array>()));
            }
            arrays.push(text(&class_of_boxes));
        }
        PredictedAs::Boxes => {
            arrays.push(lists_of_boxes(rows, |answer| match answer {
                RowAnswer::Boxes { boxes, .. } => Some(boxes.clone()),
                _ => None,
            }));
            arrays.push(text(&class_of_boxes));
        }
        PredictedAs::Things => arrays.extend(things(rows)),
    }
    arrays.push(text(&|answer| match answer {
        RowAnswer::Unusable { error } => Some(error.clone()),
        _ => None,
    }));
    RecordBatch::try_new(Arc::clone(schema), arrays)
        .map_err(|error| RecipeError::mismatch(shown_path(path), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::predicted_row::{ClassShare, PredictedThing};

    #[test]
    fn names_with_blanks_and_commas_are_told_apart_in_a_cell() {
        let names = || vec!["a".to_owned(), "b c".to_owned(), "d, \"e\"".to_owned()];
        let cell = |answer: RowAnswer, kind: PredictedAs| {
            cells(&PredictedRow { input: "x".into(), answer }, kind).swap_remove(1)
        };
        let labels = RowAnswer::Labels { labels: names(), top: Vec::new(), probabilities: Vec::new() };
        for cell in
            [cell(labels, PredictedAs::Labels), cell(RowAnswer::Tokens { classes: names() }, PredictedAs::Classes)]
        {
            assert_eq!(serde_json::from_str::<Vec<String>>(&cell).unwrap(), names(), "{cell}");
        }
        let thing = PredictedThing { class: "a, b".into(), probability: 0.5, r#box: [1.0, 2.0, 3.5, 4.0] };
        assert_eq!(
            cell(RowAnswer::Things { things: vec![thing] }, PredictedAs::Things),
            r#"[{"class":"a, b","probability":0.5,"box":[1.0,2.0,3.5,4.0]}]"#
        );
        let none = RowAnswer::Labels { labels: Vec::new(), top: Vec::new(), probabilities: Vec::new() };
        assert_eq!(cell(none, PredictedAs::Labels), "[]");
        let share = |class: &str, share| ClassShare { class: class.into(), share };
        let shares = vec![share("sky; sea", 0.75), share("a 1", 0.25)];
        let mask = RowAnswer::Mask { mask: None, size: [2, 2], shares, pixels: Vec::new() };
        assert_eq!(cell(mask, PredictedAs::Classes), r#"{"sky; sea":0.75,"a 1":0.25}"#);
    }
}
