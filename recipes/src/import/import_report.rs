use std::path::PathBuf;

use serde::Serialize;

/// What an import made.
#[derive(Clone, Debug, Serialize)]
pub struct ImportReport {
    /// The folder of the Parquet files.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// How the source was read: `class_folders`, `metadata`, `tables`.
    pub read_as: &'static str,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes of all files that are there.
    pub bytes: u64,
    /// The columns, in order.
    pub columns: Vec<ColumnReport>,
    /// Names of the classes, where there is a label.
    pub classes: Vec<String>,
    /// The splits, and their files.
    pub splits: Vec<SplitReport>,
    /// What of the source is in no file.
    pub left_out: LeftOutReport,
    /// Rows of the same bytes.
    pub duplicates: DuplicateReport,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// Whether it was stopped before all files were written.
    pub stopped: bool,
}

/// A column.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: String,
}

/// A split.
#[derive(Clone, Debug, Serialize)]
pub struct SplitReport {
    /// Its name.
    pub split: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Rows of each class, in the order of classes.
    pub classes: Vec<ClassRows>,
    /// Its files.
    pub files: Vec<ShardReport>,
}

/// How many rows are of a class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRows {
    /// Its name; none for rows without one.
    pub class: Option<String>,
    /// Rows.
    pub rows: u64,
}

/// A file.
#[derive(Clone, Debug, Serialize)]
pub struct ShardReport {
    /// Its name.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes; none where it is not written.
    pub bytes: Option<u64>,
    /// Whether it was there already.
    pub kept: bool,
}

/// What was left out.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOutReport {
    /// How much.
    pub count: u64,
    /// The first of it, by name.
    pub first: Vec<LeftOut>,
}

/// A file or a row that is in no Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// What it is called in the source.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Rows of the same bytes: of the same images, or of the same values where there is no image.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DuplicateReport {
    /// Rows that are the same as one before them.
    pub rows: u64,
    /// Rows of which another split has the same.
    pub across_splits: u64,
    /// Rows of which another class has the same.
    pub across_classes: u64,
    /// The first of them: rows that are the same, by name.
    pub first: Vec<Vec<String>>,
}
