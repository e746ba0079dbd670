use std::path::Path;

use super::input_columns::{InputColumn, InputColumns};
use crate::folder_files::{IMAGES, TEXTS, extension};
use crate::table_records::TableFormat;

/// Which of the files of a folder or an archive are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Parquet,
    /// Images or texts, whichever the model takes.
    AsTheyAre,
    Tables,
    /// Tables that are called `.json`, as much else is.
    Json,
}

impl Reads {
    /// The first of these of which there is one.
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a Path> + Clone, columns: &InputColumns) -> Option<Self> {
        let all = [Self::Parquet, Self::AsTheyAre, Self::Tables, Self::Json];
        all.into_iter().find(|reads| files.clone().any(|file| reads.takes(file, columns)))
    }

    /// Whether a file, by its name, is one of these.
    pub(super) fn takes(self, file: &Path, columns: &InputColumns) -> bool {
        let kind = extension(file);
        match (self, columns.only()) {
            (Self::Parquet, _) => kind == "parquet",
            (Self::AsTheyAre, Some(only)) if only.is_image() => IMAGES.contains(&kind.as_str()),
            (Self::AsTheyAre, only) => only.is_some_and(InputColumn::is_text) && TEXTS.contains(&kind.as_str()),
            (Self::Tables, _) => TableFormat::of(file).is_some() && kind != "json",
            (Self::Json, _) => kind == "json",
        }
    }
}
