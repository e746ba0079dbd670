//! From files to rows: listing, footers, reading of row groups.

mod columns;
mod footer;
mod listing;
mod other_formats;
mod rows;
mod shards;
mod splits;
mod storage;
mod thrift;

pub(crate) use columns::{FileColumns, LabelReading};
pub(crate) use footer::{Footer, caught, read as read_footer};
pub(crate) use listing::{Listing, list, names};
pub(crate) use rows::{Classes, LabelValue, LoadedRows, Part, for_each_input, read_blocking, read_part};
pub(crate) use shards::require_whole;
pub use splits::SplitRole;
pub(crate) use splits::choose;
pub(crate) use storage::{Storage, StorageReader};
