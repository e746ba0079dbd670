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
mod thrift;
mod values;

pub(crate) use columns::{FileColumns, row_bytes};
pub(crate) use footer::{Footer, caught, read as read_footer};
pub(crate) use listing::{Found, list, names};
pub(crate) use paged_group::{Block, PagedGroup};
pub use rows::RowValues;
pub(crate) use rows::{LoadedRows, Part, each_row, each_step, read_blocking, read_part};
pub(crate) use shards::require_whole;
pub(crate) use splits::choose;
pub use splits::{Split, SplitRole};
pub(crate) use values::element;
pub use values::{Holds, List, Struct, Value};
