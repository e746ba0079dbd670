use std::io::{BufRead, Read};

use super::table_rows::{Cell, ReadRow, TableRows};
use crate::RecipeError;

/// Bytes of a line of text at most.
const LONGEST_LINE: u64 = 16 << 20;

/// What rows are read from, one after the other.
pub(super) enum Open {
    Table(Box<TableRows>),
    Lines { name: String, reader: Box<dyn BufRead>, line: u64 },
}

impl Open {
    /// What is to be said of a table that was read to its end.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Table(rows) => rows.note(),
            Self::Lines { .. } => None,
        }
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// It cannot be read, a row of a table is none, or a line is too long.
    pub(super) fn next_row(&mut self) -> Result<Option<ReadRow>, RecipeError> {
        match self {
            Self::Table(rows) => rows.next_row(),
            Self::Lines { name, reader, line } => loop {
                let mut bytes = Vec::new();
                let read = reader.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut bytes);
                let read = read.map_err(RecipeError::io("read", name.as_str()))? as u64;
                if read == 0 {
                    return Ok(None);
                }
                *line += 1;
                let place = format!("{name}:{line}");
                if read > LONGEST_LINE {
                    return Err(RecipeError::mismatch(place, format!("the line has more than {LONGEST_LINE} bytes")));
                }
                let cell = match String::from_utf8(bytes) {
                    Ok(text) => Cell::Text(text.trim_end_matches(['\n', '\r']).to_owned()),
                    Err(_) => Cell::Unreadable("the line is no text (UTF-8)".into()),
                };
                if cell != Cell::Text(String::new()) {
                    return Ok(Some(ReadRow { name: place, cells: vec![cell] }));
                }
            },
        }
    }
}
