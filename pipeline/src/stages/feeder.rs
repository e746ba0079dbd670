use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use millstream_schemas::ResumePoint;

use super::batches::BatchLayout;
use crate::PipelineError;
use crate::budget::Share;
use crate::dataset::GroupPlace;
use crate::division::Ceiling;
use crate::error::panic_message;
use crate::order::Order;
use crate::sources::FileColumns;

/// Everything the feeding task needs.
#[derive(Debug)]
pub(crate) struct Feeder {
    pub(crate) order: Order,
    pub(crate) groups: Vec<GroupPlace>,
    pub(crate) files: Vec<Arc<FileColumns>>,
    pub(crate) layout: Arc<BatchLayout>,
    pub(crate) rows_share: Share,
    pub(crate) batches_share: Share,
    pub(crate) ceiling: Ceiling,
    /// Where to begin; its fingerprints are those of the stream.
    pub(crate) from: ResumePoint,
    pub(crate) epochs: u64,
    pub(crate) drop_last: bool,
    /// Most rows in a task.
    pub(crate) chunk: usize,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Feeder {
    pub(super) fn place(&self, group: usize) -> String {
        let group = &self.groups[group];
        format!("{}, row group {}", self.files[group.file as usize].name, group.group)
    }

    pub(super) fn too_small(&self, what: String, needed: u64) -> PipelineError {
        self.ceiling.too_small(what, needed, self.ceiling.raised_by(needed))
    }
}

pub(super) fn task_failed(error: tokio::task::JoinError, place: String) -> PipelineError {
    let message = match error.try_into_panic() {
        Ok(payload) => panic_message(&*payload),
        Err(_) => "it was cancelled".into(),
    };
    // Hostile files can make the Parquet reader panic: that is the file's fault.
    PipelineError::Footer { file: place, reason: format!("the reader gave up: {message}") }
}
