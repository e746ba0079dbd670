use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

/// One file's bytes, wherever they lie, read by ranges. What it gives must not change while it is in use.
pub trait Store: fmt::Debug + Send + Sync {
    /// Where it lies on this machine; `None` for what is no file of it.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Bytes in it.
    ///
    /// # Errors
    /// It cannot be reached.
    fn length(&self) -> io::Result<u64>;

    /// Opens it for reading. Each reader is used by one thread at a time, and several may be open at once.
    ///
    /// # Errors
    /// It cannot be reached.
    fn open(&self) -> io::Result<Box<dyn OpenStore>>;
}

/// A file that is kept open, for many reads.
pub trait OpenStore: fmt::Debug + Send {
    /// All the bytes of a range.
    ///
    /// # Errors
    /// It cannot be read, or ends before the range does ([`io::ErrorKind::UnexpectedEof`]).
    fn read(&mut self, range: &Range<u64>) -> io::Result<Bytes>;
}
