use std::collections::HashMap;

use millstream_pipeline::decode::{self, Format};
use millstream_schemas::cells::long_numbers_as_texts;
use millstream_schemas::shown;
use serde_json::{Map, Value as Json};

use super::class_values::{class_of_json, class_of_text};
use super::column::{Column, Kind};
use super::layout::{Cell, Layout, RowSource, SourceRow};
use super::source_files::{NamedFile, ReadSeek, SourceFiles};
use super::values::Value;
use super::yolo_lines::boxes_of_lines;
use crate::RecipeError;
use crate::table_records::{RecordCells, RecordPlace, TableRecord, TableRecords};

/// Why there is no row.
#[derive(Debug)]
pub(super) enum RowFault {
    /// It cannot be used.
    LeftOut(String),
    /// Nothing can be read any more.
    Failed(RecipeError),
}

impl From<String> for RowFault {
    fn from(reason: String) -> Self {
        Self::LeftOut(reason)
    }
}

/// Reads rows from where they are.
pub(super) struct RowReader<'a> {
    layout: &'a Layout,
    files: &'a SourceFiles,
    /// Those that were opened.
    tables: Vec<Option<OpenTable>>,
    /// Of each column, the classes by their names; empty where it is no label.
    classes: Vec<HashMap<&'a str, u32>>,
    /// The JSON file that was read last, since several columns may be entries of it.
    entries: Option<(u32, Map<String, Json>)>,
}

struct OpenTable {
    records: TableRecords<Box<dyn ReadSeek>>,
    /// Of each column, where it stands under the headings.
    places: Vec<Option<usize>>,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(layout: &'a Layout, files: &'a SourceFiles) -> Self {
        let classes = layout.columns.iter().map(|column| match &column.kind {
            Kind::Class(names) => names.iter().enumerate().map(|(at, name)| (name.as_str(), at as u32)).collect(),
            _ => HashMap::new(),
        });
        let tables = layout.tables.iter().map(|_| None).collect();
        Self { layout, files, tables, classes: classes.collect(), entries: None }
    }

    /// The cells of a row, one for each column.
    ///
    /// # Errors
    /// The row cannot be used, or its table cannot be read.
    pub(super) fn read(&mut self, row: &SourceRow) -> Result<Vec<Value>, RowFault> {
        match row.from {
            RowSource::Image { file, class } => {
                let image = image(self.files, &NamedFile::Listed(file))?.0;
                let cells = self.layout.columns.iter().map(|column| match column.kind {
                    Kind::Class(_) => class.map_or(Value::Missing, Value::Class),
                    _ => Value::Missing,
                });
                let mut cells: Vec<Value> = cells.collect();
                cells[0] = image;
                Ok(cells)
            }
            RowSource::Made(made) => self.made(&self.layout.made[made as usize]),
            RowSource::Record { table, place } => {
                let record = self.record(table, place)?;
                let name = &self.files.files()[self.layout.tables[table as usize].file as usize].name;
                let columns = self.layout.columns.iter().enumerate();
                columns.map(|(at, column)| self.cell_of_record(at, column, name, table, &record)).collect()
            }
        }
    }

    fn record(&mut self, table: u32, place: RecordPlace) -> Result<TableRecord, RowFault> {
        let source = &self.layout.tables[table as usize];
        let name = &self.files.files()[source.file as usize].name;
        let opened = &mut self.tables[table as usize];
        let OpenTable { records, .. } = match opened {
            Some(opened) => opened,
            None => {
                let file = self.files.seekable(source.file).map_err(RowFault::Failed)?;
                let records = TableRecords::open(name, source.format, file).map_err(RowFault::Failed)?;
                let headings = records.headings().unwrap_or_default().iter().enumerate();
                let headings: HashMap<&str, usize> = headings.map(|(at, heading)| (heading.as_str(), at)).collect();
                let columns = self.layout.columns.iter();
                let places = columns.map(|column| headings.get(column.heading.as_str()).copied()).collect();
                opened.insert(OpenTable { records, places })
            }
        };
        records.go_to(place).map_err(RowFault::Failed)?;
        match records.next_record().map_err(RowFault::Failed)? {
            Some(Ok(record)) if record.place == place => Ok(record),
            _ => {
                let message = "it changed while it was read; import it again";
                Err(RowFault::Failed(RecipeError::mismatch(shown(name), message)))
            }
        }
    }

    fn cell_of_record(
        &self,
        at: usize,
        column: &Column,
        name: &str,
        table: u32,
        record: &TableRecord,
    ) -> Result<Value, RowFault> {
        match &record.cells {
            RecordCells::Texts(cells) => {
                let place = self.tables[table as usize].as_ref().and_then(|opened| opened.places[at]);
                let Some(text) = place.and_then(|place| cells.get(place)) else { return Ok(Value::Missing) };
                match &column.kind {
                    Kind::Image => Ok(image(self.files, &self.files.image(name, text)?)?.0),
                    Kind::Class(_) => Ok(self.class(at, class_of_text(text))),
                    kind => Ok(Value::of_text(text, kind)),
                }
            }
            RecordCells::Object(cells) => {
                let cell = cells.get(&column.heading).unwrap_or(&Json::Null);
                match &column.kind {
                    Kind::Image => {
                        let path = cell.as_str().ok_or_else(|| "it names no image".to_owned())?;
                        Ok(image(self.files, &self.files.image(name, path)?)?.0)
                    }
                    Kind::Class(_) => Ok(self.class(at, class_of_json(cell))),
                    kind => Ok(Value::of_json(cell, kind)),
                }
            }
        }
    }

    fn class(&self, column: usize, class: Option<String>) -> Value {
        let known = class.and_then(|class| self.classes[column].get(class.as_str()).copied());
        known.map_or(Value::Missing, Value::Class)
    }

    fn made(&mut self, cells: &[Cell]) -> Result<Vec<Value>, RowFault> {
        let mut values = Vec::with_capacity(cells.len());
        let mut of_image = None;
        for (at, (column, cell)) in self.layout.columns.iter().zip(cells).enumerate() {
            let named = |file: u32| format!("`{}`", shown(&self.files.files()[file as usize].name));
            values.push(match cell {
                Cell::Missing => Value::Missing,
                Cell::Value(value) => value.clone(),
                Cell::Image { file, size } => {
                    let (image, found) = image(self.files, &NamedFile::Listed(*file))?;
                    if let Some((width, height)) = size.filter(|size| *size != found.size()) {
                        let Found { width: w, height: h, .. } = found;
                        let reason = format!("it is {w}×{h} pixels, and its annotations are of {width}×{height}");
                        return Err(RowFault::LeftOut(reason));
                    }
                    of_image.get_or_insert(found);
                    image
                }
                Cell::Mask(file) => {
                    let fault = |reason: String| format!("its mask {}: {reason}", named(*file));
                    let (mask, found) = image(self.files, &NamedFile::Listed(*file)).map_err(|error| match error {
                        RowFault::LeftOut(reason) => RowFault::LeftOut(fault(reason)),
                        failed => failed,
                    })?;
                    if of_image.is_some_and(|image| image.size() != found.size()) {
                        let Found { width, height, .. } = found;
                        return Err(RowFault::LeftOut(fault(format!(
                            "it is {width}×{height} pixels, and the image is not"
                        ))));
                    }
                    if !found.lossless {
                        return Err(RowFault::LeftOut(fault("its pixels are not stored as they are".into())));
                    }
                    mask
                }
                Cell::ClassIn(file) => {
                    let text = self.files.text(*file).map_err(|reason| format!("{}: {reason}", named(*file)))?;
                    self.class(at, class_of_text(&text))
                }
                Cell::TextIn(file) => {
                    let text = self.files.text(*file).map_err(|reason| format!("{}: {reason}", named(*file)))?;
                    let text = text.trim_end_matches(['\n', '\r']);
                    if text.is_empty() { Value::Missing } else { Value::Text(text.to_owned()) }
                }
                Cell::BoxesIn(None) => Value::Objects(Default::default()),
                Cell::BoxesIn(Some(file)) => {
                    let text = self.files.text(*file).map_err(|reason| format!("{}: {reason}", named(*file)))?;
                    let size = of_image.map_or((0, 0), |image| image.size());
                    let classes = if let Kind::Objects(kind) = &column.kind { kind.names.len() } else { 0 };
                    let name = &self.files.files()[*file as usize].name;
                    let wrong = |(line, reason)| format!("`{}:{line}`: {reason}", shown(name));
                    Value::Objects(boxes_of_lines(&text, size, classes, self.layout.key_points).map_err(wrong)?)
                }
                Cell::EntryIn(file) => {
                    if self.entries.as_ref().is_none_or(|(known, _)| known != file) {
                        let read = self.files.text(*file).and_then(|text| {
                            let text = long_numbers_as_texts(&text);
                            serde_json::from_str(&text).map_err(|error| format!("it is no JSON object: {error}"))
                        });
                        self.entries = Some((*file, read.map_err(|reason| format!("{}: {reason}", named(*file)))?));
                    }
                    let entries = self.entries.as_ref().map(|(_, entries)| entries);
                    let entry = entries.and_then(|entries| entries.get(&column.heading)).unwrap_or(&Json::Null);
                    match &column.kind {
                        Kind::Class(_) => self.class(at, class_of_json(entry)),
                        kind => Value::of_json(entry, kind),
                    }
                }
            });
        }
        Ok(values)
    }
}

/// What an image's header says.
#[derive(Clone, Copy)]
struct Found {
    width: u32,
    height: u32,
    /// Whether pixels come back as they were.
    lossless: bool,
}

impl Found {
    fn size(self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// An image whose header says that it is one, and what that says.
fn image(files: &SourceFiles, file: &NamedFile) -> Result<(Value, Found), RowFault> {
    let path = files.name(file).to_owned();
    let bytes = files.read(file)?;
    match decode::header(&bytes) {
        Err(error) => Err(RowFault::LeftOut(shown(error.to_string()))),
        Ok(header) => {
            decode::require_end(&bytes, &header).map_err(|error| RowFault::LeftOut(shown(error.to_string())))?;
            // the numbers of a PNM are scaled where its largest is not 255, and no masks are read of one
            let lossless = matches!(header.format, Format::Png | Format::Bmp | Format::Tiff);
            let found = Found { width: header.facts.width, height: header.facts.height, lossless };
            Ok((Value::Image { bytes, path }, found))
        }
    }
}
