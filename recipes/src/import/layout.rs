use millstream_pipeline::Split;

use super::column::{Column, Kind};
use super::import_report::LeftOut;
use super::source_files::SourceFiles;
use crate::table_records::{RecordPlace, TableFormat};

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RowSource {
    /// An image in the folder of its class.
    Image { file: u32, class: Option<u32> },
    /// A record of a table.
    Record { table: u32, place: RecordPlace },
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

/// What a source holds: columns, and where each row is read.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// How it was read, as a word.
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<SourceRow>,
    pub(super) tables: Vec<SourceTable>,
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
            RowSource::Record { table, place } => {
                format!("{}:{}", files.files()[self.tables[table as usize].file as usize].name, place.line)
            }
        }
    }

    /// The names of the classes; none where no column is a label.
    pub(super) fn classes(&self) -> Option<&[String]> {
        self.columns.iter().find_map(|column| match &column.kind {
            Kind::Class(names) => Some(names.as_slice()),
            _ => None,
        })
    }

    pub(super) fn has_images(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::Image)
    }
}
