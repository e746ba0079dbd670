use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::store::{OpenStore, Store};

/// A file that lies in memory.
#[derive(Clone)]
pub struct InMemory(pub Bytes);

impl std::fmt::Debug for InMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InMemory({} bytes)", self.0.len())
    }
}

impl Store for InMemory {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn open(&self) -> io::Result<Box<dyn OpenStore>> {
        Ok(Box::new(self.clone()))
    }
}

impl OpenStore for InMemory {
    fn read(&mut self, range: &Range<u64>) -> io::Result<Bytes> {
        let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.0.len());
        match (place(range.start), place(range.end)) {
            (Some(from), Some(to)) if from <= to => Ok(self.0.slice(from..to)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
