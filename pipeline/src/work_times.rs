use std::sync::atomic::AtomicU64;

/// Time that workers spent, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct WorkTimes {
    pub(crate) all: AtomicU64,
    pub(crate) memory_wait: AtomicU64,
    pub(crate) decode: AtomicU64,
    pub(crate) transform: AtomicU64,
}
