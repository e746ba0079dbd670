//! The page of a run while it goes on: `millstream watch`.
//!
//! The run writes JSON lines (`followed`), another process reads them, and serves one page and one stream of events on
//! this machine alone (`server`).

mod followed;
mod http;
mod server;

pub use server::{Watch, WatchEnd, WatchOptions};
