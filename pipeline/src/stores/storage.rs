//! A store with the name that messages give it.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::local::LocalFile;
use super::store::{OpenStore, Store};
use crate::PipelineError;

/// One readable file.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    store: Arc<dyn Store>,
    /// Where it lies, or what it is called.
    place: PathBuf,
}

impl Storage {
    pub(crate) fn local(path: &Path) -> Self {
        Self::new(path, Arc::new(LocalFile(path.to_owned())))
    }

    pub(crate) fn new(place: &Path, store: Arc<dyn Store>) -> Self {
        Self { store, place: place.to_owned() }
    }

    /// Where it lies on this machine.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.store.path()
    }

    /// Bytes in the file.
    pub(crate) fn length(&self) -> Result<u64, PipelineError> {
        self.store.length().map_err(|source| self.failed(source))
    }

    /// These bytes of the file.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes, PipelineError> {
        let mut read = self.read_all(std::slice::from_ref(&range))?;
        Ok(read.pop().expect("one range gives one buffer"))
    }

    /// Several ranges of the file.
    pub(crate) fn read_all(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, PipelineError> {
        let mut file = self.store.open().map_err(|source| self.failed(source))?;
        ranges.iter().map(|range| file.read(range).map_err(|source| self.failed(source))).collect()
    }

    /// Keeps the file open.
    pub(crate) fn open(&self) -> Result<OpenFile, PipelineError> {
        let file = self.store.open().map_err(|source| self.failed(source))?;
        Ok(OpenFile { place: self.place.clone(), file: Mutex::new(file) })
    }

    fn failed(&self, source: io::Error) -> PipelineError {
        PipelineError::Io { path: self.place.clone(), source }
    }
}

/// A file that is kept open, for many small reads.
#[derive(Debug)]
pub(crate) struct OpenFile {
    place: PathBuf,
    file: Mutex<Box<dyn OpenStore>>,
}

impl OpenFile {
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes, PipelineError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.read(&range).map_err(|source| PipelineError::Io { path: self.place.clone(), source })
    }
}

/// All of a file, for the reader of page indexes.
pub(crate) struct Whole {
    pub(crate) storage: Storage,
    pub(crate) length: u64,
}

impl Length for Whole {
    fn len(&self) -> u64 {
        self.length
    }
}

/// Reads on from a place in a file.
pub(crate) struct ReadOn {
    file: Box<dyn OpenStore>,
    at: u64,
    end: u64,
    buffer: Bytes,
}

/// Bytes that are read ahead.
const AHEAD: u64 = 8 << 10;

impl Read for ReadOn {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && self.at < self.end {
            let until = self.end.min(self.at.saturating_add(AHEAD.max(out.len() as u64)));
            self.buffer = self.file.read(&(self.at..until))?;
            self.at = until;
        }
        let count = out.len().min(self.buffer.len());
        out[..count].copy_from_slice(&self.buffer.split_to(count));
        Ok(count)
    }
}

impl ChunkReader for Whole {
    type T = ReadOn;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let file = self.storage.store.open()?;
        Ok(ReadOn { file, at: start.min(self.length), end: self.length, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.saturating_add(length as u64).min(self.length);
        self.storage.read(start..end).map_err(|error| ParquetError::External(error.into()))
    }
}
