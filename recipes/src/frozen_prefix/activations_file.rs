//! A file of activations: written in any order, then read in any order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use millstream_schemas::{Fingerprint, FingerprintWriter};

/// The first bytes of each file, with the version of the format.
const MAGIC: &[u8; 16] = b"msactivations\x000\x01";
/// Bytes of a fingerprint in hexadecimal.
const DIGEST: usize = 64;
/// Bytes of what says what a file holds: the above, rows, numbers of a row, rows that were left out.
const HEADER: usize = MAGIC.len() + DIGEST + 3 * 8;
/// What the names of files end in that are not whole yet.
const UNFINISHED: &str = ".unfinished";
/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

/// What a file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Of all that decides the numbers.
    pub(crate) key: Fingerprint,
    /// Rows, present or not; behind them stands what a slot without a row has.
    pub(crate) rows: usize,
    /// Of a row.
    pub(crate) numbers: usize,
}

impl Contents {
    fn numbers_at(&self, row: usize) -> u64 {
        HEADER as u64 + self.rows as u64 + row as u64 * self.numbers as u64 * 4
    }

    fn header(&self, left_out: u64) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(format!("{:0>width$}", self.key.0, width = DIGEST).bytes().take(DIGEST));
        for number in [self.rows as u64, self.numbers as u64, left_out] {
            header.extend(number.to_le_bytes());
        }
        header
    }
}

/// Layout: header, a byte for each row (1: it is there), rows of 32-bit floats (little-endian), and the SHA-256 of all of that in
/// hexadecimal, without which a file is not whole.
#[derive(Debug)]
pub(crate) struct ActivationsFile {
    file: Mutex<File>,
    path: PathBuf,
    contents: Contents,
    /// Whether it stays when it is dropped.
    stays: bool,
}

impl ActivationsFile {
    /// An empty one, which is away when it is dropped before it is [finished](Self::finish).
    pub(crate) fn create(folder: &Path, contents: Contents) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // others may fill one of this name at the same time, in this process or, in a container, under its number
        let mut number = 0_u32;
        let (path, file) = loop {
            let name = format!("{}.{}-{number}{UNFINISHED}", short(&contents.key), std::process::id());
            let path = folder.join(name);
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        file.set_len(contents.numbers_at(contents.rows + 1))?;
        Ok(Self { file: Mutex::new(file), path, contents, stays: false })
    }

    /// One that is there and whole, with which rows it has and how many were left out; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is damaged or of something else: why.
    pub(crate) fn open(folder: &Path, contents: Contents) -> Result<Option<(Self, Vec<bool>, u64)>, String> {
        let path = folder.join(name(&contents.key));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let this = Self { file: Mutex::new(file), path, contents, stays: true };
        let (present, left_out) = this.check().map_err(|error| error.to_string())?;
        Ok(Some((this, present, left_out)))
    }

    fn check(&self) -> io::Result<(Vec<bool>, u64)> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let of_numbers = self.contents.numbers_at(self.contents.rows + 1);
        let length = file.metadata()?.len();
        if length != of_numbers + DIGEST as u64 {
            return Err(io::Error::other(format!("it has {length} bytes, wanted {}", of_numbers + DIGEST as u64)));
        }
        let mut header = vec![0; HEADER];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        let left_out = header[HEADER - 8..].try_into().map(u64::from_le_bytes).unwrap_or_default();
        if header != self.contents.header(left_out) {
            return Err(io::Error::other("it is of something else"));
        }
        let mut present = vec![0; self.contents.rows];
        file.read_exact(&mut present)?;
        let digest = digest(&mut file, of_numbers)?;
        let mut stored = vec![0; DIGEST];
        file.read_exact(&mut stored)?;
        if stored != digest.0.as_bytes() {
            return Err(io::Error::other("its checksum is not that of what it holds"));
        }
        Ok((present.into_iter().map(|byte| byte == 1).collect(), left_out))
    }

    /// Writes the numbers of a row.
    pub(crate) fn write(&self, row: usize, values: &[f32]) -> io::Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.contents.numbers_at(row)))?;
        file.write_all(&bytes)
    }

    /// Reads the numbers of a row.
    pub(crate) fn read(&self, row: usize, out: &mut [f32]) -> io::Result<()> {
        let mut bytes = vec![0; out.len() * 4];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.contents.numbers_at(row)))?;
        file.read_exact(&mut bytes)?;
        drop(file);
        for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().expect("chunks of 4"));
        }
        Ok(())
    }

    /// Makes it whole; one that `stays` takes the name by which it is found again.
    pub(crate) fn finish(&mut self, present: &[bool], left_out: u64, stays: bool) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&self.contents.header(left_out))?;
        file.write_all(&present.iter().map(|present| u8::from(*present)).collect::<Vec<u8>>())?;
        if !stays {
            return Ok(());
        }
        let of_numbers = self.contents.numbers_at(self.contents.rows + 1);
        file.seek(SeekFrom::Start(0))?;
        let digest = digest(&mut file, of_numbers)?;
        file.seek(SeekFrom::Start(of_numbers))?;
        file.write_all(digest.0.as_bytes())?;
        file.sync_all()?;
        drop(file);
        let whole = self.path.with_file_name(name(&self.contents.key));
        fs::rename(&self.path, &whole)?;
        (self.path, self.stays) = (whole, true);
        Ok(())
    }
}

impl Drop for ActivationsFile {
    fn drop(&mut self) {
        if !self.stays {
            // What is left behind is in nobody's way: another run makes its own.
            let _ = fs::remove_file(&self.path);
            if let Some(folder) = self.path.parent() {
                // Only where nothing else is in it.
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// Takes away what a process that was killed has left in a folder that nobody else writes in.
pub(crate) fn forget_unfinished(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let left = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(UNFINISHED));
    // what cannot be taken away is in nobody's way
    left.for_each(|entry| drop(fs::remove_file(entry.path())));
}

/// Of the first bytes of a file.
fn digest(file: &mut File, bytes: u64) -> io::Result<Fingerprint> {
    file.seek(SeekFrom::Start(0))?;
    let (mut all, mut piece, mut left) = (FingerprintWriter::default(), vec![0; PIECE], bytes);
    while left > 0 {
        let part = &mut piece[..left.min(PIECE as u64) as usize];
        file.read_exact(part)?;
        all.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(all.finish())
}

fn short(key: &Fingerprint) -> &str {
    key.0.get(..16).unwrap_or(&key.0)
}

fn name(key: &Fingerprint) -> String {
    format!("{}.activations", short(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, key: &str, stays: bool) -> ActivationsFile {
        let contents = Contents { key: Fingerprint::of_bytes(key.as_bytes()), rows: 3, numbers: 2 };
        let mut file = ActivationsFile::create(folder, contents).unwrap();
        for row in [2, 0, 3] {
            file.write(row, &[row as f32, -0.5]).unwrap();
        }
        file.finish(&[true, false, true], 1, stays).unwrap();
        file
    }

    #[test]
    fn rows_are_read_back_and_a_file_that_is_not_kept_is_gone_with_its_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("activations");
        let file = written(&folder, "a", false);
        let mut out = [0.0; 2];
        for row in [0, 2, 3] {
            file.read(row, &mut out).unwrap();
            assert_eq!(out, [row as f32, -0.5]);
        }
        drop(file);
        assert!(!folder.exists());
    }

    #[test]
    fn a_kept_file_is_found_again_and_a_damaged_or_foreign_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        drop(written(folder, "a", true));
        let contents = Contents { key: Fingerprint::of_bytes(b"a"), rows: 3, numbers: 2 };
        let open = |contents: &Contents| ActivationsFile::open(folder, contents.clone());
        let (file, present, left_out) = open(&contents).unwrap().unwrap();
        assert_eq!((present, left_out), (vec![true, false, true], 1));
        let path = file.path.clone();
        let other = Contents { key: Fingerprint::of_bytes(b"b"), ..contents.clone() };
        assert!(open(&other).unwrap().is_none());
        fs::copy(&path, folder.join(name(&other.key))).unwrap();
        assert_eq!(open(&other).unwrap_err(), "it is of something else");
        let bytes = fs::read(&path).unwrap();
        for at in [HEADER, HEADER + 5, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(open(&contents).unwrap_err().contains("checksum"), "{at}");
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(open(&contents).unwrap_err().contains("bytes"));
    }
}
