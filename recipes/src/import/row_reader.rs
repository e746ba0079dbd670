use millstream_pipeline::decode;
use millstream_schemas::shown;
use serde_json::Value as Json;

use super::column::{Column, Kind};
use super::layout::{Layout, RowSource, SourceRow};
use super::source_files::{NamedFile, ReadSeek, SourceFiles};
use super::tables::{class_of_json, class_of_text, image_of};
use super::values::Value;
use crate::RecipeError;
use crate::table_records::{RecordCells, TableRecords};

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
    tables: Vec<Option<TableRecords<Box<dyn ReadSeek>>>>,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(layout: &'a Layout, files: &'a SourceFiles) -> Self {
        Self { layout, files, tables: layout.tables.iter().map(|_| None).collect() }
    }

    /// The cells of a row, one for each column.
    ///
    /// # Errors
    /// The row cannot be used, or its table cannot be read.
    pub(super) fn read(&mut self, row: &SourceRow) -> Result<Vec<Value>, RowFault> {
        match row.from {
            RowSource::Image { file, class } => {
                let image = self.image(&NamedFile::Listed(file))?;
                let cells = self.layout.columns.iter().map(|column| match column.kind {
                    Kind::Class(_) => class.map_or(Value::Missing, Value::Class),
                    _ => Value::Missing,
                });
                let mut cells: Vec<Value> = cells.collect();
                cells[0] = image;
                Ok(cells)
            }
            RowSource::Record { table, place } => {
                let source = &self.layout.tables[table as usize];
                let name = &self.files.files()[source.file as usize].name;
                let opened = &mut self.tables[table as usize];
                let records = match opened {
                    Some(records) => records,
                    None => {
                        let file = self.files.seekable(source.file).map_err(RowFault::Failed)?;
                        let records = TableRecords::open(name, source.format, file).map_err(RowFault::Failed)?;
                        opened.insert(records)
                    }
                };
                records.go_to(place).map_err(RowFault::Failed)?;
                let record = match records.next_record().map_err(RowFault::Failed)? {
                    Some(Ok(record)) if record.place == place => record,
                    _ => {
                        let message = "it changed while it was read; import it again";
                        return Err(RowFault::Failed(RecipeError::mismatch(shown(name), message)));
                    }
                };
                let headings = records.headings().map(<[String]>::to_vec);
                self.layout
                    .columns
                    .iter()
                    .map(|column| self.cell(column, name, headings.as_deref(), &record.cells))
                    .collect()
            }
        }
    }

    fn cell(
        &self,
        column: &Column,
        table: &str,
        headings: Option<&[String]>,
        cells: &RecordCells,
    ) -> Result<Value, RowFault> {
        let class = |names: &[String], class: Option<String>| match class {
            None => Value::Missing,
            Some(class) => {
                let place = names.iter().position(|name| *name == class);
                place.map_or(Value::Missing, |place| Value::Class(place as u32))
            }
        };
        match cells {
            RecordCells::Texts(cells) => {
                let place = headings.unwrap_or_default().iter().position(|heading| *heading == column.heading);
                let Some(text) = place.and_then(|place| cells.get(place)) else { return Ok(Value::Missing) };
                match &column.kind {
                    Kind::Image => self.image(&image_of(self.files, table, text)?),
                    Kind::Class(names) => Ok(class(names, class_of_text(text))),
                    kind => Ok(Value::of_text(text, kind)),
                }
            }
            RecordCells::Object(cells) => {
                let cell = cells.get(&column.heading).unwrap_or(&Json::Null);
                match &column.kind {
                    Kind::Image => {
                        let path = cell.as_str().ok_or_else(|| "it names no image".to_owned())?;
                        self.image(&image_of(self.files, table, path)?)
                    }
                    Kind::Class(names) => Ok(class(names, class_of_json(cell))),
                    kind => Ok(Value::of_json(cell, kind)),
                }
            }
        }
    }

    /// An image whose header says that it is one.
    fn image(&self, file: &NamedFile) -> Result<Value, RowFault> {
        let path = self.files.name(file).to_owned();
        let bytes = self.files.read(file)?;
        if let Err(error) = decode::header(&bytes) {
            return Err(RowFault::LeftOut(shown(error.to_string())));
        }
        Ok(Value::Image { bytes, path })
    }
}
