//! More threads or rows than any machine here has are a slip of the keyboard, and would exhaust it.

/// The most threads that a recipe may ask for.
pub const MOST_THREADS: usize = 4096;
/// The most rows that a batch may have.
pub const LARGEST_BATCH: usize = 65_536;
