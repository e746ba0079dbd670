//! Where bytes come from: local files. Object stores fit in as further kinds.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::PipelineError;

/// One readable file.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// A file of this machine.
    Local(PathBuf),
}

impl Storage {
    /// Bytes in the file.
    pub(crate) fn length(&self) -> Result<u64, PipelineError> {
        let Self::Local(path) = self;
        let failed = |source| PipelineError::Io { path: path.clone(), source };
        std::fs::metadata(path).map(|metadata| metadata.len()).map_err(failed)
    }

    /// These bytes of the file.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes, PipelineError> {
        let mut read = self.read_all(std::slice::from_ref(&range))?;
        Ok(read.pop().expect("one range gives one buffer"))
    }

    /// Several ranges of the file.
    pub(super) fn read_all(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, PipelineError> {
        let Self::Local(path) = self;
        let failed = |source| PipelineError::Io { path: path.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        ranges.iter().map(|range| read_range(&mut file, range).map_err(failed)).collect()
    }

    /// Keeps the file open.
    pub(super) fn open(&self) -> Result<OpenFile, PipelineError> {
        let Self::Local(path) = self;
        let failed = |source| PipelineError::Io { path: path.clone(), source };
        Ok(OpenFile { path: path.clone(), file: Mutex::new(File::open(path).map_err(failed)?) })
    }
}

/// A file that is kept open, for many small reads.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl OpenFile {
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes, PipelineError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| PipelineError::Io { path: self.path.clone(), source };
        read_range(&mut file, &range).map_err(failed)
    }
}

fn read_range(file: &mut File, range: &Range<u64>) -> std::io::Result<Bytes> {
    let length = range.end.saturating_sub(range.start);
    file.seek(SeekFrom::Start(range.start))?;
    let mut buffer = Vec::with_capacity(length as usize);
    let got = file.take(length).read_to_end(&mut buffer)?;
    if (got as u64) < length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(buffer.into())
}

/// A file for the reader of page indexes.
pub(super) struct Chunk {
    pub(super) storage: Storage,
    pub(super) length: u64,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunk {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let Storage::Local(path) = &self.storage;
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(file))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.saturating_add(length as u64).min(self.length);
        self.storage.read(start..end).map_err(|error| ParquetError::External(error.into()))
    }
}
