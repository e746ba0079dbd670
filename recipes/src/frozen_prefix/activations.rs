use std::io;
use std::path::Path;
use std::sync::Arc;

use super::activations_file::{ActivationsFile, Contents};
use super::held_bytes::{Counted, HeldBytes};

/// Where activations may lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// Bytes in memory at most.
    pub(crate) memory: u64,
    /// Where a file lies, where there is one, and whether it is to be found again.
    pub(crate) file: Option<(&'a Path, bool)>,
}

/// What the border of a frozen prefix holds of each row of a dataset: as many rows as may be in memory, and all of them in a file
/// where there is one.
#[derive(Debug)]
pub(crate) struct Activations {
    numbers: usize,
    present: Vec<bool>,
    /// Of the first rows.
    held: Vec<f32>,
    /// What a slot without a row has.
    empty: Vec<f32>,
    file: Option<ActivationsFile>,
    stays: bool,
    left_out: u64,
    first_left_out: Option<String>,
    counted: Option<Counted>,
}

impl Activations {
    /// Nothing of any row yet.
    pub(crate) fn open(contents: &Contents, places: Places<'_>) -> io::Result<Self> {
        let Contents { rows, numbers, .. } = *contents;
        let file = places.file.map(|(folder, _)| ActivationsFile::create(folder, contents.clone())).transpose()?;
        let held = vec![0.0; held_rows(contents, places) * numbers];
        Ok(Self {
            numbers,
            present: vec![false; rows],
            held,
            empty: vec![0.0; numbers],
            file,
            stays: places.file.is_some_and(|(_, stays)| stays),
            left_out: 0,
            first_left_out: None,
            counted: None,
        })
    }

    /// Those of a file that is there; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be used: why.
    pub(crate) fn found(contents: &Contents, places: Places<'_>) -> Result<Option<Self>, String> {
        let Some((folder, true)) = places.file else { return Ok(None) };
        let Some((file, present, left_out)) = ActivationsFile::open(folder, contents.clone())? else { return Ok(None) };
        let numbers = contents.numbers;
        let mut held = vec![0.0; held_rows(contents, places) * numbers];
        let mut empty = vec![0.0; numbers];
        let rows = held.chunks_exact_mut(numbers.max(1)).enumerate().filter(|(row, _)| present[*row]);
        let read = rows.chain([(contents.rows, empty.as_mut_slice())]).try_for_each(|(row, out)| file.read(row, out));
        read.map_err(|error| error.to_string())?;
        let file = Some(file);
        let (first_left_out, counted) = (None, None);
        Ok(Some(Self { numbers, present, held, empty, file, stays: true, left_out, first_left_out, counted }))
    }

    /// Notes what a row has.
    pub(crate) fn put(&mut self, row: usize, values: &[f32]) -> io::Result<()> {
        self.present[row] = true;
        if let Some(held) = self.held.get_mut(row * self.numbers..(row + 1) * self.numbers) {
            held.copy_from_slice(values);
        }
        self.file.as_ref().map_or(Ok(()), |file| file.write(row, values))
    }

    /// Notes what a slot without a row has, and the rows that were left out as damaged: that was all.
    pub(crate) fn finish(
        &mut self,
        empty: &[f32],
        (left_out, first_left_out): (u64, Option<String>),
    ) -> io::Result<()> {
        self.empty.copy_from_slice(empty);
        (self.left_out, self.first_left_out) = (left_out, first_left_out);
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write(self.present.len(), empty)?;
        file.finish(&self.present, left_out, self.stays)
    }

    /// Reads what a row has, or what a slot without one has; whether it is there.
    pub(crate) fn read(&self, row: Option<usize>, out: &mut [f32]) -> io::Result<bool> {
        let Some(row) = row.filter(|row| self.present.get(*row) == Some(&true)) else {
            out.copy_from_slice(&self.empty);
            return Ok(row.is_none());
        };
        match (self.held.get(row * self.numbers..(row + 1) * self.numbers), &self.file) {
            (Some(held), _) => out.copy_from_slice(held),
            (None, Some(file)) => file.read(row, out)?,
            (None, None) => return Err(io::Error::other("a row is neither in memory nor in a file")),
        }
        Ok(true)
    }

    /// Numbers of a row.
    pub(crate) fn numbers(&self) -> usize {
        self.numbers
    }

    /// Bytes in a file that is gone when they are.
    pub(crate) fn bytes_in_passing_file(&self) -> u64 {
        if self.file.is_some() && !self.stays { bytes_in_file(self.present.len(), self.numbers) } else { 0 }
    }

    /// Those of activations that are opened.
    pub(crate) fn bytes_of_passing_file(contents: &Contents, places: Places<'_>) -> u64 {
        match places.file {
            Some((_, false)) => bytes_in_file(contents.rows, contents.numbers),
            _ => 0,
        }
    }

    /// Bytes in memory: those of rows that are there, since what was never written takes none.
    pub(crate) fn bytes_held(&self) -> u64 {
        let rows = self.held.len().checked_div(self.numbers).unwrap_or(0);
        let there = self.present.iter().take(rows).filter(|is_there| **is_there).count();
        4 * (there * self.numbers) as u64
    }

    /// The same, counted among all that is held until it is dropped.
    #[must_use]
    pub(crate) fn counted_in(mut self, held: &Arc<HeldBytes>) -> Self {
        self.counted = Some(Counted::new(held, self.bytes_held()));
        self
    }

    /// Damaged rows, and the first whose input cannot be used, with the reason.
    pub(crate) fn left_out(&self) -> (u64, Option<&str>) {
        (self.left_out, self.first_left_out.as_deref())
    }
}

/// Of all rows, and of what a slot without one has.
fn bytes_in_file(rows: usize, numbers: usize) -> u64 {
    (rows as u64 + 1).saturating_mul(4 * numbers as u64)
}

/// Rows that are held in memory: all without a file.
fn held_rows(contents: &Contents, places: Places<'_>) -> usize {
    let fit = usize::try_from(places.memory / (4 * contents.numbers.max(1) as u64)).unwrap_or(usize::MAX);
    if places.file.is_some() { fit.min(contents.rows) } else { contents.rows }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Fingerprint;

    use super::*;

    #[test]
    fn rows_come_from_memory_or_from_the_file_alike() {
        let folder = tempfile::tempdir().unwrap();
        let contents = Contents { key: Fingerprint::of_bytes(b"k"), rows: 5, numbers: 3 };
        let file = Some((folder.path(), true));
        for places in [Places { memory: u64::MAX, file: None }, Places { memory: 24, file }, Places { memory: 0, file }]
        {
            let mut all = Activations::open(&contents, places).unwrap();
            for row in [4, 1, 0, 3] {
                all.put(row, &[row as f32, 1.5, -0.0]).unwrap();
            }
            all.finish(&[7.0; 3], (1, Some("row 2".into()))).unwrap();
            let again = Activations::found(&contents, places).unwrap();
            assert_eq!(again.is_some(), places.file.is_some());
            for all in again.iter().chain([&all]) {
                let mut out = [9.0; 3];
                for row in [0, 1, 3, 4] {
                    assert!(all.read(Some(row), &mut out).unwrap());
                    assert_eq!(out.map(f32::to_bits), [row as f32, 1.5, -0.0].map(f32::to_bits));
                }
                assert!(!all.read(Some(2), &mut out).unwrap() && all.read(None, &mut out).unwrap());
                assert_eq!((out, all.left_out().0), ([7.0; 3], 1));
                assert!(all.bytes_held() <= places.memory);
            }
        }
    }
}
