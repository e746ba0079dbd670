use millstream_pipeline::Split;
use millstream_schemas::count;

use super::boxes_outside::BoxesOutside;
use super::column::{Column, Kind};
use super::import_report::LeftOut;
use super::source_files::SourceFiles;
use super::values::Value;
use crate::table_records::{RecordPlace, TableFormat};

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RowSource {
    /// An image in the folder of its class.
    Image { file: u32, class: Option<u32> },
    /// Several files, by the place among [`Layout::made`].
    Made(u32),
    /// A record of a table.
    Record { table: u32, place: RecordPlace },
}

/// What a column holds of a row that is made of several files.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Boxes in the manner of YOLO; no file is none of them.
    BoxesIn(Option<u32>),
    /// A file whose text is the name of the class.
    ClassIn(u32),
    /// The entry of an object in a JSON file that is called as the column in tables.
    EntryIn(u32),
    /// An image, and how large it is said to be.
    Image { file: u32, size: Option<(u32, u32)> },
    /// An image whose pixels are classes, as large as the row's image.
    Mask(u32),
    /// Nothing.
    Missing,
    /// A file's text.
    TextIn(u32),
    /// What is known already.
    Value(Value),
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SourceRow {
    /// The split that the source has it in.
    pub(super) split: Option<Split>,
    pub(super) from: RowSource,
}

/// A table of the source.
#[derive(Clone, Debug)]
pub(super) struct SourceTable {
    pub(super) file: u32,
    pub(super) format: TableFormat,
}

/// A column of whole numbers or truth values that are classes, and stay what they are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NumberedClasses {
    /// Its place among the columns.
    pub(super) column: usize,
    /// The numbers, in order.
    pub(super) numbers: Vec<i64>,
}

impl NumberedClasses {
    /// The class of a row.
    pub(super) fn class(&self, cells: &[Value]) -> Option<u32> {
        let number = match cells.get(self.column)? {
            Value::Int(number) => *number,
            Value::Bool(is) => i64::from(*is),
            _ => return None,
        };
        self.numbers.binary_search(&number).ok().map(|class| class as u32)
    }
}

/// What a source holds: columns, and where each row is read.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// How it was read, as a word.
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<SourceRow>,
    pub(super) tables: Vec<SourceTable>,
    /// Of rows that are made of several files, a cell for each column; the image comes first.
    pub(super) made: Vec<Vec<Cell>>,
    /// Whether key points stand behind boxes in the manner of YOLO.
    pub(super) key_points: bool,
    /// The numbers of classes without names that rows are divided by, where no column has classes with names.
    pub(super) divided_by: Option<NumberedClasses>,
    /// What is done with boxes that reach out of their pictures.
    pub(super) boxes: BoxesOutside,
    /// Whether rows are written in an order of their own: files of one class lie beside each other.
    pub(super) mixed: bool,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) notes: Vec<String>,
}

impl Layout {
    /// What a row is called.
    pub(super) fn row_name(&self, row: &SourceRow, files: &SourceFiles) -> String {
        match row.from {
            RowSource::Image { file, .. } => files.files()[file as usize].name.clone(),
            RowSource::Made(made) => {
                let image = self.made[made as usize].iter().find_map(|cell| match cell {
                    Cell::Image { file, .. } => Some(*file),
                    _ => None,
                });
                image.map_or_else(|| format!("row {made}"), |file| files.files()[file as usize].name.clone())
            }
            RowSource::Record { table, place } => {
                format!("{}:{}", files.files()[self.tables[table as usize].file as usize].name, place.line)
            }
        }
    }

    /// Adds a row that is made of several files.
    pub(super) fn make(&mut self, split: Option<Split>, cells: Vec<Cell>) {
        self.rows.push(SourceRow { split, from: RowSource::Made(self.made.len() as u32) });
        self.made.push(cells);
    }

    /// Says why something is in no row.
    pub(super) fn leave_out(&mut self, name: &str, reason: impl Into<String>) {
        self.left_out.push(LeftOut { name: name.to_owned(), reason: reason.into() });
    }

    /// The names of the classes; none where no column is a label.
    pub(super) fn classes(&self) -> Option<&[String]> {
        self.columns.iter().find_map(|column| match &column.kind {
            Kind::Class(names) => Some(names.as_slice()),
            _ => None,
        })
    }

    /// How many of these rows have an image without a box, as annotations say; none where each has one.
    pub(super) fn note_of_no_box(&self, rows: impl Iterator<Item = usize>) -> Option<String> {
        let has_none = |cell: &Cell| matches!(cell, Cell::Value(Value::Objects(objects)) if objects.boxes.is_empty());
        let is_empty = |row: &usize| match self.rows[*row].from {
            RowSource::Made(made) => self.made[made as usize].iter().any(has_none),
            RowSource::Image { .. } | RowSource::Record { .. } => false,
        };
        let empty = rows.filter(is_empty).count();
        if empty > 0 { Some(format!("{} without a box", count(empty, "image"))) } else { None }
    }

    pub(super) fn has_boxes(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.kind, Kind::Objects(_)))
    }

    pub(super) fn has_images(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::Image)
    }
}
