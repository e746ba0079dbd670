//! Where bytes come from: local files. Object stores fit in as further kinds.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
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

    fn read_all(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, PipelineError> {
        let Self::Local(path) = self;
        let failed = |source| PipelineError::Io { path: path.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut buffers = Vec::with_capacity(ranges.len());
        for range in ranges {
            let length = range.end.saturating_sub(range.start);
            file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
            let mut buffer = Vec::with_capacity(length as usize);
            let got = file.by_ref().take(length).read_to_end(&mut buffer).map_err(failed)?;
            if (got as u64) < length {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
            buffers.push(buffer.into());
        }
        Ok(buffers)
    }
}

/// Hands ranges of one file to the Parquet reader without blocking its thread.
pub(crate) struct StorageReader {
    pub(crate) storage: Storage,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

impl AsyncFileReader for StorageReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let mut read = self.get_byte_ranges(vec![range]).await?;
            Ok(read.pop().expect("one range gives one buffer"))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let storage = self.storage.clone();
        async move {
            let read = tokio::task::spawn_blocking(move || storage.read_all(&ranges));
            let read = read.await.map_err(|error| ParquetError::External(error.into()))?;
            read.map_err(|error| ParquetError::External(error.into()))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let metadata = Arc::clone(&self.metadata);
        async move { Ok(metadata) }.boxed()
    }
}

/// A file for the blocking Parquet reader.
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

    /// Where the file does not say where its pages are, this is asked once a page for a header of some bytes: no more
    /// than a buffer is read ahead.
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
