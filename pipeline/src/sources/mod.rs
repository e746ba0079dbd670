//! From files to rows: listing, footers, reading of row groups.

mod columns;
mod footer;
mod listing;
mod other_formats;
mod page_header;
mod paged_group;
mod pages;
mod row_group;
mod rows;
mod shards;
mod splits;
mod storage;
mod thrift;

pub(crate) use columns::{FileColumns, LabelReading, ROW_BYTES};
pub(crate) use footer::{Footer, caught, read as read_footer};
pub(crate) use listing::{Found, list, names};
pub(crate) use paged_group::{Block, PagedGroup};
pub(crate) use rows::{Classes, LabelValue, LoadedRows, Part, each_input, each_label, read_blocking, read_part};
pub(crate) use shards::require_whole;
pub use splits::SplitRole;
pub(crate) use splits::choose;
pub(crate) use storage::Storage;
