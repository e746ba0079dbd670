use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_pipeline::Holds;
use millstream_pipeline::arrow_array::builder::{BinaryBuilder, Float64Builder, ListBuilder, StringBuilder};
use millstream_pipeline::arrow_array::{ArrayRef, RecordBatch};
use millstream_schemas::cells::{bool_of, float_of, int_of, is_long_number, is_missing};
use millstream_schemas::{shown, shown_path, shown_up_to};
use serde_json::Value;

use super::input_columns::{InputColumn, InputColumns};
use crate::folder_files::{read_bounded, read_file};
use crate::import::{ArchiveMembers, CellNumber, Decimals, DecimalsSeen, ReadSeek};
use crate::table_records::{RecordCells, RecordPlace, TableFormat, TableRecord, TableRecords};
use crate::{RecipeError, Stop};

/// Names in objects that are remembered, at most.
const MOST_NAMES: usize = 10_000;

/// Records that are read before it is looked again whether to stop.
const RECORDS_BETWEEN_LOOKS: u64 = 4096;

/// A cell of a row that is to become one of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Nothing is there.
    Missing,
    /// What is there cannot be read, and why.
    Unreadable(String),
    /// An encoded image.
    Bytes(Vec<u8>),
    /// A text, or a number as a text.
    Text(String),
    /// A number.
    Number(f64),
    /// A list of numbers.
    List(Vec<f64>),
}

impl Cell {
    /// The bytes of a file.
    pub(super) fn of_file(path: &Path) -> Self {
        let unreadable = |error: String| Self::Unreadable(format!("{}: {error}", shown_path(path)));
        read_file(path).map_or_else(unreadable, Self::Bytes)
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Missing | Self::Unreadable(_) | Self::Number(_) => 8,
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::List(list) => 8 * list.len(),
        }
    }
}

/// A row as it is read: what it is called, and a cell for each of the columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadRow {
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

impl ReadRow {
    /// Why it cannot be used, where that is known before it is looked at.
    pub(super) fn reason(&self) -> Option<&str> {
        self.cells.iter().find_map(|cell| match cell {
            Cell::Unreadable(reason) => Some(reason.as_str()),
            _ => None,
        })
    }
}

/// The rows of a table file, read one after the other.
pub(super) struct TableRows {
    /// What it is called.
    name: String,
    beside: Beside,
    columns: InputColumns,
    records: TableRecords<Box<dyn ReadSeek>>,
    /// Of each column what stands in front of its decimals.
    decimals: Vec<Decimals>,
    /// Of each column its place in a record, where all records have the same.
    places: Vec<usize>,
    /// Of objects the only name that there is in all of them, if there is one alone.
    only: Option<String>,
}

/// Where the files lie that a table names.
enum Beside {
    Folder(PathBuf),
    /// In its archive, in which it has a place itself.
    Archive(Arc<ArchiveMembers>, u32),
}

impl Beside {
    /// The image that a cell names.
    fn image(&self, path: &str) -> Cell {
        match self {
            _ if path.is_empty() => Cell::Missing,
            Self::Folder(folder) => Cell::of_file(&folder.join(path)),
            Self::Archive(members, table) => {
                members.read_named(*table, path).map_or_else(Cell::Unreadable, Cell::Bytes)
            }
        }
    }
}

fn format_by_name(path: &Path) -> TableFormat {
    TableFormat::of(path).unwrap_or(TableFormat::JsonLines)
}

impl TableRows {
    /// Opens a table: CSV with a heading (of tabs, where its name ends in `.tsv`), or JSON Lines.
    ///
    /// # Errors
    /// It cannot be read, or lacks a column.
    pub(super) fn open(path: &Path, columns: &InputColumns) -> Result<Self, RecipeError> {
        let file = File::open(path).map_err(RecipeError::io("read", path))?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let name = path.to_string_lossy().into_owned();
        Self::of(name, format_by_name(path), Box::new(file), Beside::Folder(folder), columns)
    }

    /// As [`Self::open`], of the file at a place in an archive, which is called so.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn open_member(
        members: &Arc<ArchiveMembers>,
        place: u32,
        name: String,
        columns: &InputColumns,
    ) -> Result<Self, RecipeError> {
        let file = members.seekable(place)?;
        let format = format_by_name(Path::new(&name));
        Self::of(name, format, file, Beside::Archive(Arc::clone(members), place), columns)
    }

    /// A table of the standard input (`-`) or another source that is read once, which is held whole: of this format, or JSON Lines where it
    /// begins with an object, CSV otherwise. Images in it are paths from the folder that the program runs in.
    ///
    /// # Errors
    /// As [`Self::open`]; or it is no text, or too large.
    pub(super) fn read(
        name: String,
        format: Option<TableFormat>,
        reader: Box<dyn BufRead>,
        columns: &InputColumns,
    ) -> Result<Self, RecipeError> {
        let bytes = read_bounded(reader).map_err(|reason| RecipeError::mismatch(shown_path(&name), reason))?;
        if bytes.starts_with(b"PAR1") {
            let message = "Parquet is not read from the standard input: name the file";
            return Err(RecipeError::mismatch(shown_path(&name), message));
        }
        let format = format.unwrap_or_else(|| TableFormat::of_content(&bytes));
        Self::of(name, format, Box::new(Cursor::new(bytes)), Beside::Folder(PathBuf::new()), columns)
    }

    fn of(
        name: String,
        format: TableFormat,
        file: Box<dyn ReadSeek>,
        beside: Beside,
        columns: &InputColumns,
    ) -> Result<Self, RecipeError> {
        let mut records = TableRecords::open(&name, format, file)?;
        if let Some(reason) = records.note_of_array() {
            return Err(RecipeError::mismatch(shown_path(&name), reason));
        }
        let (mut places, mut only) = (Vec::new(), None);
        match records.headings() {
            Some(headings) => places = columns.places(headings, &shown_path(&name))?,
            None => only = seek_in_objects(&mut records, columns, &shown_path(&name))?,
        }
        let decimals = vec![Decimals::Point; columns.0.len()];
        Ok(Self { name, beside, columns: columns.clone(), records, decimals, places, only })
    }

    /// The same, in which numbers may have a comma in front of their decimals, if this is so: what a point means is seen in all rows of a
    /// column of the file, by the rule of imports, which see all their files. Of a table of images and texts alone nothing is to be seen, and
    /// where it is stopped meanwhile not all is.
    ///
    /// # Errors
    /// The table cannot be read.
    pub(super) fn with_decimal_comma(mut self, decimal_comma: bool, stop: &Stop) -> Result<Self, RecipeError> {
        if decimal_comma && !self.columns.0.iter().all(|column| column.is_image() || column.is_text()) {
            self.decimals = self.decimals_of_columns(stop)?;
        }
        Ok(self)
    }

    /// Reads all rows, and goes back to the first.
    fn decimals_of_columns(&mut self, stop: &Stop) -> Result<Vec<Decimals>, RecipeError> {
        let first = self.records.here();
        let mut seen = vec![DecimalsSeen::default(); self.columns.0.len()];
        let mut read = 0_u64;
        while let Some(record) = self.records.next_record()? {
            if read.is_multiple_of(RECORDS_BETWEEN_LOOKS) && stop.is_requested() {
                break;
            }
            read += 1;
            let Ok(record) = record else { continue };
            for (at, (column, seen)) in self.columns.0.iter().zip(&mut seen).enumerate() {
                if column.is_image() || column.is_text() {
                    continue;
                }
                match &record.cells {
                    RecordCells::Texts(texts) => count(texts.get(self.places[at]).unwrap_or_default(), seen),
                    RecordCells::Object(object) => {
                        let value = column.key(object, self.only.as_deref()).and_then(|key| object.get(key));
                        if let Some(Value::String(text)) = value {
                            count(text, seen);
                        }
                    }
                }
            }
        }
        self.records.go_to(first)?;
        Ok(seen.into_iter().map(DecimalsSeen::decimals).collect())
    }

    /// What is to be said of the rows that were read.
    pub(super) fn note(&self) -> Option<String> {
        self.records.note_of_records()
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// The file cannot be read on. A line that is no row is one that cannot be read.
    pub(super) fn next_row(&mut self) -> Result<Option<ReadRow>, RecipeError> {
        let beside = &self.beside;
        let at = |line: u64| format!("{}:{line}", self.name);
        let record = match self.records.next_record()? {
            None => return Ok(None),
            Some(Ok(record)) => record,
            Some(Err(bad)) => return Ok(Some(self.unreadable(at(bad.line), bad.reason))),
        };
        let name = at(record.place.line);
        let cells = match record.cells {
            RecordCells::Texts(record) => {
                let cell = |((column, place), decimals): ((&InputColumn, &usize), &Decimals)| {
                    of_text(record.get(*place).unwrap_or_default(), column, beside, *decimals)
                };
                self.columns.0.iter().zip(&self.places).zip(&self.decimals).map(cell).collect()
            }
            RecordCells::Object(object) => {
                // a name that an object lacks is a value that is missing, as in an import
                let cell = |(column, decimals): (&InputColumn, &Decimals)| {
                    let value = column.key(&object, self.only.as_deref()).and_then(|key| object.get(key));
                    value.map_or(Cell::Missing, |value| of_json(value, column, beside, *decimals))
                };
                self.columns.0.iter().zip(&self.decimals).map(cell).collect()
            }
        };
        Ok(Some(ReadRow { name, cells }))
    }

    fn unreadable(&self, name: String, reason: String) -> ReadRow {
        ReadRow { name, cells: vec![Cell::Unreadable(reason); self.columns.0.len()] }
    }
}

/// Looks for each column in the objects of a table as far as that takes, and goes back to the first. Gives the only name that there is in
/// them, if there is one alone.
///
/// # Errors
/// There are objects, and none has a column.
fn seek_in_objects(
    records: &mut TableRecords<Box<dyn ReadSeek>>,
    columns: &InputColumns,
    file: &str,
) -> Result<Option<String>, RecipeError> {
    let mut names = BTreeSet::new();
    let mut missing: Vec<&InputColumn> = columns.0.iter().collect();
    while let Some(record) = records.next_record()? {
        let Ok(TableRecord { cells: RecordCells::Object(object), .. }) = record else { continue };
        missing.retain(|column| column.key(&object, None).is_none());
        if names.len() < MOST_NAMES {
            names.extend(object.into_iter().map(|(name, _)| name));
        }
        if missing.is_empty() {
            break;
        }
    }
    records.go_to(RecordPlace::FIRST)?;
    let names: Vec<String> = names.into_iter().collect();
    // where no line is an object, each is told as that
    if !missing.is_empty() && !names.is_empty() {
        columns.places(&names, file)?;
    }
    Ok(<[String; 1]>::try_from(names).ok().map(|[only]| only))
}

/// Counts a cell of a column of numbers, unless it says what has no decimals.
fn count(text: &str, seen: &mut DecimalsSeen) {
    let text = text.trim();
    if !is_missing(text) && bool_of(text).is_none() && int_of(text).is_none() {
        seen.count(text, true);
    }
}

fn of_text(text: &str, column: &InputColumn, beside: &Beside, decimals: Decimals) -> Cell {
    match (column.is_image(), column.is_text(), column.takes.contains(&Holds::Lists)) {
        (true, ..) => beside.image(text),
        (_, true, _) => Cell::Text(text.to_owned()),
        (.., true) if text.trim_start().starts_with('[') => match serde_json::from_str::<Value>(text) {
            Ok(value) => of_json(&value, column, beside, decimals),
            Err(_) => no_value(text, "list of numbers"),
        },
        _ => match text.trim() {
            text if is_missing(text) => Cell::Missing,
            text => match bool_of(text) {
                Some(is) => Cell::Number(f64::from(u8::from(is))),
                None if decimals == Decimals::Point => text.parse().map_or_else(|_| no_number(text), Cell::Number),
                None => number_beside_commas(text, decimals),
            },
        },
    }
}

fn of_json(value: &Value, column: &InputColumn, beside: &Beside, decimals: Decimals) -> Cell {
    match value {
        Value::String(text) => of_text(text, column, beside, decimals),
        Value::Number(number) if column.is_text() => Cell::Text(number.to_string()),
        Value::Number(number) => number.as_f64().map_or(Cell::Missing, Cell::Number),
        Value::Bool(is) if column.is_text() => Cell::Text(is.to_string()),
        Value::Bool(is) => Cell::Number(f64::from(u8::from(*is))),
        Value::Array(values) => {
            // whole numbers beyond 64 bits come as texts
            let long = |value: &Value| value.as_str().filter(|text| is_long_number(text))?.parse::<f64>().ok();
            let number = |value: &Value| value.as_f64().or_else(|| long(value));
            let numbers = values.iter().map(number).collect::<Option<Vec<f64>>>();
            numbers.map_or_else(|| no_value(&value.to_string(), "list of numbers"), Cell::List)
        }
        Value::Null => Cell::Missing,
        Value::Object(_) => no_value(&value.to_string(), "value of a column"),
    }
}

/// A number of a table in which a comma stands in front of decimals.
fn number_beside_commas(text: &str, decimals: Decimals) -> Cell {
    let number = CellNumber::of(text, true);
    let has_point = text.contains('.') && float_of(text).is_some();
    match (decimals, number) {
        (Decimals::Both, _) if number.has_comma() || has_point => Cell::Unreadable(format!(
            "`{}` stands in a column of this file in which some numbers have a comma and others a point, which may stand between \
             thousands; write all of them with a comma, as `1,5` or `1.234,0`",
            shown_up_to(text, 100)
        )),
        (Decimals::Thousands, CellNumber::Thousands(_)) => Cell::Unreadable(format!(
            "`{}` may be thousands where a comma stands in front of decimals, as all numbers with a point in its column of this \
             file may; write it with a comma, as `1,234` or `1.234,0`",
            shown_up_to(text, 100)
        )),
        _ => number.value().map_or_else(|| no_value(text, "number"), Cell::Number),
    }
}

/// Of one with a decimal comma also how tables of such are read.
fn no_number(text: &str) -> Cell {
    if !CellNumber::of(text, true).has_comma() {
        return no_value(text, "number");
    }
    Cell::Unreadable(format!(
        "`{}` is no number, which has a point; `--decimal-comma` reads tables whose decimals have a comma",
        shown_up_to(text, 100)
    ))
}

fn no_value(text: &str, wanted: &str) -> Cell {
    Cell::Unreadable(format!("`{}` is no {wanted}", shown_up_to(text, 100)))
}

/// Rows as a dataset holds them.
///
/// # Errors
/// Values of a column are of several kinds.
pub(super) fn record_batch(rows: &[ReadRow], columns: &InputColumns) -> Result<RecordBatch, RecipeError> {
    let arrays = columns.0.iter().enumerate().map(|(place, column)| {
        let cells = rows.iter().map(move |row| (row.name.as_str(), &row.cells[place]));
        Ok((column.name().to_owned(), array(cells, column)?, true))
    });
    let arrays = arrays.collect::<Result<Vec<_>, RecipeError>>()?;
    RecordBatch::try_from_iter_with_nullable(arrays)
        .map_err(|error| RecipeError::mismatch("the rows", shown(error.to_string())))
}

fn array<'a>(cells: impl Iterator<Item = (&'a str, &'a Cell)>, column: &InputColumn) -> Result<ArrayRef, RecipeError> {
    let other = |row: &str| {
        let message = format!("`{}` holds another kind of value than the rows before it", shown(column.name()));
        RecipeError::mismatch(row, message)
    };
    let cells: Vec<(&str, &Cell)> = cells.collect();
    let first = cells.iter().map(|(_, cell)| *cell).find(|cell| !matches!(cell, Cell::Missing | Cell::Unreadable(_)));
    Ok(match first {
        Some(Cell::Bytes(_)) => {
            let mut array = BinaryBuilder::new();
            for (row, cell) in cells {
                match cell {
                    Cell::Bytes(bytes) => array.append_value(bytes),
                    Cell::Missing | Cell::Unreadable(_) => array.append_null(),
                    _ => return Err(other(row)),
                }
            }
            Arc::new(array.finish())
        }
        Some(Cell::Number(_)) => {
            let mut array = Float64Builder::new();
            for (row, cell) in cells {
                match cell {
                    Cell::Number(number) => array.append_value(*number),
                    Cell::Missing | Cell::Unreadable(_) => array.append_null(),
                    _ => return Err(other(row)),
                }
            }
            Arc::new(array.finish())
        }
        Some(Cell::List(_)) => {
            let mut array = ListBuilder::new(Float64Builder::new());
            for (row, cell) in cells {
                match cell {
                    Cell::List(list) => {
                        array.values().append_slice(list);
                        array.append(true);
                    }
                    Cell::Missing | Cell::Unreadable(_) => array.append(false),
                    _ => return Err(other(row)),
                }
            }
            Arc::new(array.finish())
        }
        // where all are missing, something must be there to say so of
        None if column.is_image() => {
            let mut array = BinaryBuilder::new();
            cells.iter().for_each(|_| array.append_null());
            Arc::new(array.finish())
        }
        None if !column.is_text() => {
            let mut array = Float64Builder::new();
            cells.iter().for_each(|_| array.append_null());
            Arc::new(array.finish())
        }
        Some(Cell::Text(_) | Cell::Missing | Cell::Unreadable(_)) | None => {
            let mut array = StringBuilder::new();
            for (row, cell) in cells {
                match cell {
                    Cell::Text(text) => array.append_value(text),
                    Cell::Missing | Cell::Unreadable(_) => array.append_null(),
                    _ => return Err(other(row)),
                }
            }
            Arc::new(array.finish())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimals_of(columns: Vec<InputColumn>, stop: &Stop) -> Vec<Decimals> {
        let table = "text,price\na,\"1,5\"\nb,2.5\n";
        let reader = Box::new(Cursor::new(table.as_bytes()));
        let rows =
            TableRows::read("-".into(), Some(TableFormat::Delimited(b',')), reader, &InputColumns(columns)).unwrap();
        let mut rows = rows.with_decimal_comma(true, stop).unwrap();
        // what was looked at is read from its first row nevertheless
        assert_eq!(rows.next_row().unwrap().unwrap().name, "-:2");
        rows.decimals
    }

    #[test]
    fn a_number_with_a_point_that_is_refused_beside_decimal_commas_is_told_as_decided_by_its_file() {
        for decimals in [Decimals::Both, Decimals::Thousands] {
            let Cell::Unreadable(reason) = number_beside_commas("1.234", decimals) else { panic!("{decimals:?}") };
            assert!(reason.contains("of this file"), "{reason}");
        }
        assert_eq!(number_beside_commas("2.5", Decimals::Comma), Cell::Number(2.5));
    }

    #[test]
    fn looking_for_decimal_commas_in_a_long_table_can_be_stopped_and_is_left_out_for_texts() {
        let price = || InputColumn::of_kind(Some("price"), &[Holds::Numbers]);
        let text = || InputColumn::of_texts(None);
        let stop = Stop::default();
        assert_eq!(decimals_of(vec![text(), price()], &stop), [Decimals::Comma, Decimals::Both]);
        assert_eq!(decimals_of(vec![text()], &stop), [Decimals::Point]);
        stop.request();
        assert_eq!(decimals_of(vec![price()], &stop), [Decimals::Comma]);
    }
}
