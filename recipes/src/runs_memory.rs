use std::sync::{Arc, Mutex, PoisonError};

/// Runs of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Together {
    /// How many there may be at a time, with the one that is looked at.
    pub(crate) runs: usize,
    /// Bytes that the others hold by now, without the process itself.
    pub(crate) others: u64,
}

impl Together {
    /// One run in its process.
    pub(crate) const ALONE: Self = Self { runs: 1, others: 0 };
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

    /// A run that is about to begin, and the others.
    pub(crate) fn with_another(&self) -> Together {
        Together { runs: self.most, others: *self.held.lock().unwrap_or_else(PoisonError::into_inner) }
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
        assert_eq!(memory.with_another(), Together { runs: 3, others: 12 });
        drop(first);
        assert_eq!(memory.with_another().others, 5);
        drop(second);
        assert_eq!(memory.with_another().others, 0);
    }
}
