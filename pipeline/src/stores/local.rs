use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::store::{OpenStore, Store};

/// A file of this machine.
#[derive(Clone, Debug)]
pub struct LocalFile(pub PathBuf);

impl Store for LocalFile {
    fn path(&self) -> Option<&Path> {
        Some(&self.0)
    }

    fn length(&self) -> io::Result<u64> {
        std::fs::metadata(&self.0).map(|metadata| metadata.len())
    }

    fn open(&self) -> io::Result<Box<dyn OpenStore>> {
        Ok(Box::new(File::open(&self.0)?))
    }
}

impl OpenStore for File {
    fn read(&mut self, range: &Range<u64>) -> io::Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        self.seek(SeekFrom::Start(range.start))?;
        let mut buffer = Vec::with_capacity(length as usize);
        let got = self.take(length).read_to_end(&mut buffer)?;
        if (got as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(buffer.into())
    }
}
