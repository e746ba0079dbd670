//! Logs of a run, written while it goes on: files that other programs read.
//!
//! [`Logs`] is an [`Observer`](crate::Observer): the log formats that were chosen, opened for a run. All lie in the folder
//! `logs` of the run's own. What `metrics.json` and the report say at the end is not in them but as a line that says how
//! the run ended.

#[cfg(test)]
mod course_tests;
mod csv;
mod entry;
mod event_file;
mod event_messages;
mod jsonl;
mod log;
mod log_format;
mod log_kind;
#[expect(clippy::module_inception, reason = "it is all the logs of a run")]
mod logs;
mod mlflow;
mod mlflow_store;
mod run_place;
mod scalars;
mod tensorboard;
mod text_lines;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub use entry::{BestEntry, Ending, Entry, EpochEntry, EvaluationEntry, StartEntry, StepEntry};
pub use log::Log;
pub use log_format::{LogFormat, LogWriter, LoggedRun, OpenedLog};
pub use log_kind::{Build, LogKind};
pub use logs::{Logs, files};
pub use run_place::{Moment, RunPlace};

/// The log formats of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<LogKind> {
    static CATALOG: OnceLock<Catalog<LogKind>> = OnceLock::new();
    CATALOG.get_or_init(|| Catalog::new([csv::LOG, jsonl::LOG, mlflow::LOG, tensorboard::LOG]))
}
