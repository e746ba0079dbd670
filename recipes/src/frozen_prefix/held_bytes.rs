use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are held of all that is kept, now and at most.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes {
    now: AtomicU64,
    peak: AtomicU64,
}

impl HeldBytes {
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// A part of them; it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    bytes: u64,
    of: Arc<HeldBytes>,
}

impl Counted {
    pub(crate) fn new(of: &Arc<HeldBytes>, bytes: u64) -> Self {
        let mut counted = Self { bytes: 0, of: Arc::clone(of) };
        counted.add(bytes);
        counted
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        let now = self.of.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.of.peak.fetch_max(now, Ordering::Relaxed);
    }

    /// Gives some of them back.
    pub(crate) fn remove(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.of.now.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
