use std::path::PathBuf;

use super::Fault;
use crate::shown_path;

/// A fault, and where in what a person wrote it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFault {
    /// What is wrong.
    pub fault: Fault,
    /// Where it is written.
    pub at: WrittenAt,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenAt {
    /// In a line of the file.
    Line(Excerpt),
    /// In an argument of the command line: `training.epochs=3`.
    Argument(String),
    /// Nowhere: it is a default, or missing.
    Nowhere,
}

/// A part of a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// The letter in that line where the part begins, from 1.
    pub column: usize,
    /// Letters of the part that are in this line; at least 1.
    pub length: usize,
    /// The line as it stands in the file, without its end.
    pub text: String,
}

impl std::fmt::Display for PlacedFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let WrittenAt::Line(Excerpt { file, line, column, .. }) = &self.at {
            write!(f, "{}:{line}:{column}: ", shown_path(file))?;
        }
        self.fault.fmt(f)
    }
}
