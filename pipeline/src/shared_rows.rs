//! Rows that lie on both sides of an evaluation: the same files, copies of files, copies of rows.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::sources::{RowValues, Value, each_row};
use crate::{DataFile, Dataset, PipelineError};

/// Bytes of two files that are compared at a time.
const PIECE: usize = 1 << 16;

/// A file of one dataset that lies in another one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Its name in the first dataset.
    pub first: Arc<str>,
    /// Its name in the second.
    pub second: Arc<str>,
    /// Whether it is a copy, equal byte by byte, and not the same file on the disk.
    pub is_copy: bool,
}

/// How many rows of one dataset have an input that occurs in another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SharedRows {
    /// Rows of the first dataset that were looked at: all, or as many as the bytes allowed.
    pub first: u64,
    /// Rows of the second dataset that were looked at, as of the first.
    pub second: u64,
    /// Rows of the second whose input, byte by byte, is one of the first's.
    pub shared: u64,
}

impl Dataset {
    /// Files of another dataset that are files of this one, or copies of them. Copies are told by size and footer first, so
    /// that only files which look the same are read.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn shared_files(&self, other: &Self) -> Result<Vec<SharedFile>, PipelineError> {
        // What is no file of this machine is the same as another only by its bytes.
        let place = |file: &DataFile| {
            let path = file.storage().path().map(fs::canonicalize).transpose();
            path.map_err(|source| PipelineError::Io { path: file.path.clone(), source })
        };
        let ours =
            self.files().iter().map(|file| Ok((file, place(file)?))).collect::<Result<Vec<_>, PipelineError>>()?;
        let mut shared = Vec::new();
        for file in other.files() {
            let path = place(file)?;
            let same = ours.iter().find(|(_, place)| place.is_some() && *place == path).map(|(file, _)| *file);
            let is_copy = same.is_none();
            let found = match same {
                Some(same) => Some(same),
                None => self.copy_of(file)?,
            };
            if let Some(ours) = found {
                shared.push(SharedFile { first: Arc::clone(&ours.name), second: Arc::clone(&file.name), is_copy });
            }
        }
        Ok(shared)
    }

    /// Files that are copies, byte by byte, of earlier ones: their rows count twice. Each with the one it is a copy of.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn copies(&self) -> Result<Vec<SharedFile>, PipelineError> {
        let mut copies = Vec::new();
        for (index, file) in self.files().iter().enumerate() {
            if let Some(first) = copy_among(&self.files()[..index], file)? {
                let (first, second) = (Arc::clone(&first.name), Arc::clone(&file.name));
                copies.push(SharedFile { first, second, is_copy: true });
            }
        }
        Ok(copies)
    }

    fn copy_of(&self, file: &DataFile) -> Result<Option<&DataFile>, PipelineError> {
        copy_among(self.files(), file)
    }

    /// Counts rows of another dataset whose input is, byte by byte, one of this dataset's. The columns of the inputs are given. Of each dataset as many
    /// row groups are read as lie in `most_bytes` of its columns; 16 bytes are held for each different input of the other.
    ///
    /// # Errors
    /// A row group cannot be read.
    pub fn shared_rows(
        &self,
        columns: &[String],
        other: &Self,
        others_columns: &[String],
        most_bytes: u64,
    ) -> Result<SharedRows, PipelineError> {
        let mut counted = SharedRows::default();
        let mut wanted = HashSet::new();
        other.each_input(others_columns, most_bytes, |input| {
            counted.second += 1;
            wanted.extend(input);
        })?;
        let mut found = HashSet::new();
        self.each_input(columns, most_bytes, |input| {
            counted.first += 1;
            found.extend(input.filter(|input| wanted.contains(input)));
        })?;
        if !found.is_empty() {
            other.each_input(others_columns, most_bytes, |input| {
                counted.shared += u64::from(input.is_some_and(|input| found.contains(&input)));
            })?;
        }
        Ok(counted)
    }

    fn each_input(
        &self,
        columns: &[String],
        most_bytes: u64,
        mut each: impl FnMut(Option<[u8; 16]>),
    ) -> Result<(), PipelineError> {
        let mut left = most_bytes;
        for file in self.files() {
            let reading = file.columns(columns)?;
            for group in (0..file.row_groups.len()).filter(|&group| file.row_groups[group].rows > 0) {
                let bytes: u64 = reading.stored(group).map(|range| range.end - range.start).sum();
                let Some(rest) = left.checked_sub(bytes) else { return Ok(()) };
                left = rest;
                each_row(&reading, group as u32, |row| each(digest(row)))?;
            }
        }
        Ok(())
    }
}

/// Of all values of a row together; `None` when one is null.
fn digest(row: RowValues<'_>) -> Option<[u8; 16]> {
    let mut hash = Sha256::new();
    for column in 0..row.len() {
        let mut value = |bytes: &[u8]| {
            if row.len() > 1 {
                hash.update((bytes.len() as u64).to_le_bytes());
            }
            hash.update(bytes);
        };
        match row.get(column) {
            Value::Null => return None,
            Value::Bytes(bytes) => value(bytes),
            Value::Text(text) => value(text.as_bytes()),
            Value::Signed(number) => value(&number.to_le_bytes()),
            Value::Unsigned(number) => value(&number.to_le_bytes()),
            Value::Float(number) => value(&number.to_le_bytes()),
            nested @ (Value::List(_) | Value::Struct(_)) => {
                let mut bytes = Vec::new();
                unfold(nested, &mut bytes);
                value(&bytes);
            }
        }
    }
    let digest = hash.finalize();
    Some(std::array::from_fn(|index| digest[index]))
}

/// What is in a list or struct, one after the other; no two that differ give the same bytes.
fn unfold(value: Value<'_>, out: &mut Vec<u8>) {
    let mut part = |kind: u8, length: usize, bytes: &[u8]| {
        out.push(kind);
        out.extend((length as u64).to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::Null => part(0, 0, &[]),
        Value::Bytes(bytes) => part(1, bytes.len(), bytes),
        Value::Text(text) => part(2, text.len(), text.as_bytes()),
        Value::Signed(number) => part(3, 8, &number.to_le_bytes()),
        Value::Unsigned(number) => part(4, 8, &number.to_le_bytes()),
        Value::Float(number) => part(5, 8, &number.to_le_bytes()),
        Value::List(list) => {
            part(6, list.len(), &[]);
            list.iter().for_each(|value| unfold(value, out));
        }
        Value::Struct(fields) => {
            part(7, fields.iter().count(), &[]);
            fields.iter().for_each(|(_, value)| unfold(value, out));
        }
    }
}

fn copy_among<'a>(files: &'a [DataFile], file: &DataFile) -> Result<Option<&'a DataFile>, PipelineError> {
    for other in files {
        if other.bytes == file.bytes && other.footer() == file.footer() && equal(other, file)? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Whether two files of equal length hold the same bytes.
fn equal(first: &DataFile, second: &DataFile) -> Result<bool, PipelineError> {
    let (one, two) = (first.storage().open()?, second.storage().open()?);
    for from in (0..first.bytes).step_by(PIECE) {
        let range = from..first.bytes.min(from + PIECE as u64);
        if one.read(range.clone())? != two.read(range)? {
            return Ok(false);
        }
    }
    Ok(true)
}
