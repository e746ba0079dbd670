use std::cell::{Cell, RefCell};

use millstream_pipeline::{Dataset, JointBatches, JointStreams, StreamCounters, StreamOptions};
use millstream_schemas::{Batch, ResumePoint, count};
use millstream_training::{BatchSource, BoxError};

use crate::check::left_out;
use crate::data_report::DataReport;
use crate::error::RecipeError;
use crate::frozen_prefix::Serving;

/// Batches of the pipeline as the trainer takes them; of targets alone where the inputs of the step are kept.
pub(crate) struct Stream(pub(crate) JointBatches, pub(crate) Option<Serving>);

impl Stream {
    /// As others have it that run at the same time, where `joint` says which.
    pub(crate) fn open(
        joint: Option<&JointStreams>,
        dataset: &Dataset,
        options: StreamOptions,
        from: Option<&ResumePoint>,
    ) -> Result<Self, RecipeError> {
        Ok(Self(JointBatches::open(joint, dataset, options, from)?, None))
    }

    /// The same batches with the inputs that are kept.
    pub(crate) fn serving(self, serving: Option<Serving>) -> Self {
        Self(self.0, serving)
    }

    /// What was done so far. Rows whose inputs cannot be used were left out before.
    pub(crate) fn counters(&self) -> StreamCounters {
        let counters = self.0.counters();
        let left_out = self.1.as_ref().map_or(0, |serving| serving.left_out().0);
        StreamCounters { damaged_rows: counters.damaged_rows.max(left_out), ..counters }
    }

    pub(crate) fn skipped(&self) -> Option<Skipped> {
        let unreadable = self.0.first_unreadable().map(|(row, damage)| format!("{row}: {damage}"));
        let unreadable = unreadable.or_else(|| self.1.as_ref()?.left_out().1);
        Some(self.counters().damaged_rows).filter(|rows| *rows > 0).map(|rows| (rows, unreadable))
    }
}

impl BatchSource for Stream {
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>> {
        let batch = self.0.next()?;
        let served = batch.map_err(BoxError::from).and_then(|batch| match &self.1 {
            Some(serving) => Ok(serving.serve(batch)?),
            None => Ok(batch),
        });
        Some(served)
    }

    fn waiting(&self) -> Option<usize> {
        Some(self.0.counters().batches_waiting)
    }
}

/// That boxes had no place in the targets of rows that are `of` training or evaluation, and what becomes of them; nothing where all had
/// one.
pub(crate) fn boxes_left_out(boxes: u64, of: &str, so: &str) -> Option<String> {
    let were = if boxes == 1 { "was" } else { "were" };
    let boxes = (boxes > 0).then(|| count(boxes, "box"))?;
    Some(format!("{boxes} beyond the `most` of a row {were} left out of {of}: {so}; raise `most` in `data.targets`"))
}

/// How many rows a stream has left out as damaged, and the first whose image or text cannot be used, with the reason.
pub(crate) type Skipped = (u64, Option<String>);

/// That no row of a split can be used, and why.
pub(crate) fn no_usable_row(place: &str, report: &DataReport, skipped: Option<&Skipped>) -> RecipeError {
    let (rows, first) = skipped.map_or((0, None), |(rows, first)| (*rows, first.as_deref()));
    // Of the damaged ones, those with a bad label are counted as such already.
    let mut reasons = left_out(report, rows.saturating_sub(report.bad_labels), first);
    if reasons.is_empty() {
        reasons = "the loss has weight in no batch: all targets are ones that it ignores, or no batch holds the pairs that it \
                   compares"
            .into();
    }
    RecipeError::mismatch(place, format!("no row can be used: {reasons}"))
}

/// An evaluation's stream that leaves word of what it skipped.
pub(crate) struct Watched<'a> {
    pub(crate) stream: Stream,
    /// Batches that are still taken.
    pub(crate) left: u64,
    pub(crate) skipped: &'a RefCell<Option<Skipped>>,
    /// The most boxes that had no place in the targets of such a stream.
    pub(crate) boxes: &'a Cell<u64>,
}

impl BatchSource for Watched<'_> {
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>> {
        let batch = if self.left > 0 { self.stream.next_batch() } else { None };
        self.left = self.left.saturating_sub(1);
        if batch.is_none() {
            *self.skipped.borrow_mut() = self.stream.skipped();
            self.boxes.set(self.boxes.get().max(self.stream.counters().parts_left_out));
        }
        batch
    }

    fn waiting(&self) -> Option<usize> {
        self.stream.waiting()
    }
}
