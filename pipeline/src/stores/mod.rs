//! Where the bytes of files lie: on this machine, in memory, or wherever a [`Store`] of one's own reads them.

mod local;
mod memory;
mod storage;
mod store;

pub use local::LocalFile;
pub use memory::InMemory;
pub(crate) use storage::{OpenFile, Storage, Whole};
pub use store::{OpenStore, Store};
