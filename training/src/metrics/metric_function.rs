use std::any::Any;
use std::fmt;

use millstream_compiler::losses::PredictionKind;

use super::measured_batch::MeasuredBatch;
use super::table::Table;

/// A metric: what a row of options means.
pub trait MetricFunction: fmt::Debug + Send + Sync {
    /// What it measures.
    fn reads(&self) -> PredictionKind;

    /// Other outputs that it measures as well. A [`Meter`] sees at a batch what its prediction is read as.
    fn reads_also(&self) -> &'static [PredictionKind] {
        &[]
    }

    /// Names of the figures that it gives, in order; none where it gives tables alone.
    fn figure_names(&self) -> Vec<String>;

    /// Begins to measure. `classes` are in the order of the scores; there are none where numbers or
    /// labels are predicted. Of boxes they are the classes of the things.
    ///
    /// # Errors
    /// It makes no sense for these classes; in words.
    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String>;
}

/// What a row adds to what a meter counts.
#[derive(Debug)]
pub struct RowCounts {
    /// In a form that meters of its metric know.
    pub counts: Box<dyn Any + Send>,
    /// Bytes that it holds.
    pub bytes: u64,
}

/// Gathers what a metric counts, batch by batch.
pub trait Meter: Send {
    /// Adds the rows of a batch.
    fn add(&mut self, batch: &MeasuredBatch<'_>);

    /// A value for each of the metric's figures; none where it does not apply.
    fn figures(&self) -> Vec<Option<f64>>;

    /// An interval for each of the metric's figures, `[low, high]`, where its meter knows one; nothing where it knows none of
    /// any. `confidence`: how often such an interval holds the figure of all rows that there could be, 0.95 for one of 95 %.
    fn intervals(&self, confidence: f64) -> Vec<Option<[f64; 2]>> {
        let _ = confidence;
        Vec::new()
    }

    /// What a batch of one row adds to what is counted, where that is less than the row: the bootstrap holds it in place of the row. None
    /// where rows are added again as they are.
    fn counts_of(&self, row: &MeasuredBatch<'_>) -> Option<RowCounts> {
        let _ = row;
        None
    }

    /// Adds what a meter of the same metric made by [`Meter::counts_of`].
    fn add_counts(&mut self, counts: &RowCounts) {
        let _ = counts;
    }

    /// Bytes of what is held of each row, for figures that are of their order; 0 where sums are enough.
    fn bytes_held(&self) -> u64 {
        0
    }

    /// Tables by name.
    fn tables(&self) -> Vec<(String, Table)> {
        Vec::new()
    }

    /// The same, where its meter knows intervals of shares of classes with these ([`CellIntervals`](super::CellIntervals)).
    /// `confidence` as in [`Meter::intervals`].
    fn tables_with_intervals(&self, confidence: f64) -> Vec<(String, Table)> {
        let _ = confidence;
        self.tables()
    }
}
