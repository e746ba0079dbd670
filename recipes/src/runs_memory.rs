use std::sync::{Arc, Mutex, PoisonError};

/// Runs of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Together {
    /// How many there may be at a time, with the one that is looked at.
    pub(crate) runs: usize,
    /// Bytes that the others hold by now, without the process itself.
    pub(crate) others: u64,
    /// Bytes of what is kept of frozen parts that all of them may hold, where that is more than the recipe of one allows.
    pub(crate) kept: u64,
}

impl Together {
    /// One run in its process.
    pub(crate) const ALONE: Self = Self { runs: 1, others: 0, kept: 0 };
}

/// What the runs of a process hold that share resources. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct RunsMemory {
    /// Runs that are open at a time.
    most: usize,
    held: Arc<Mutex<u64>>,
}

/// What a run holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    bytes: u64,
    of: RunsMemory,
}

impl RunsMemory {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// A run that is about to begin, and the others; of what is kept of frozen parts all of them may hold so many bytes.
    pub(crate) fn with_another(&self, kept: u64) -> Together {
        Together { runs: self.most, others: *self.held.lock().unwrap_or_else(PoisonError::into_inner), kept }
    }

    /// Counts what a run holds, without the process itself.
    pub(crate) fn hold(&self, bytes: u64) -> HeldMemory {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_add(bytes);
        HeldMemory { bytes, of: self.clone() }
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_held_is_free_when_it_is_dropped() {
        let memory = RunsMemory::new(3);
        let first = memory.hold(7);
        let second = memory.clone().hold(5);
        assert_eq!(memory.with_another(4), Together { runs: 3, others: 12, kept: 4 });
        drop(first);
        assert_eq!(memory.with_another(0).others, 5);
        drop(second);
        assert_eq!(memory.with_another(0).others, 0);
    }
}
