//! One step from one batch or from several.

use millstream_schemas::{Batch, RowId};

use crate::TrainingError;
use crate::error::Rows;
use crate::session::{StepOutcome, StepRunner};

/// What a step is to be made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedStep {
    /// Batches whose gradients make it, fewer at the end of an epoch.
    pub(crate) most: u64,
    /// The epoch of these batches.
    pub(crate) epoch: u64,
    pub(crate) learning_rate: f32,
    /// Whether a loss that is no number ends it at that batch, which is then the one to be named.
    pub(crate) stops: bool,
}

/// A step that was made, or that was not for what it saw.
pub(crate) struct MadeStep {
    /// The last batch of it.
    pub(crate) batch: Batch,
    pub(crate) outcome: StepOutcome,
    /// Rows of all its batches.
    pub(crate) rows: usize,
    /// Which they are, where there were several batches and none of them ended it.
    named: Vec<Vec<Option<RowId>>>,
    /// Seconds that were waited for them.
    pub(crate) waited: f64,
}

impl MadeStep {
    /// Makes it; `first` was waited for, and `next` waits for others and says how long.
    pub(crate) fn make(
        runner: &mut StepRunner,
        (first, waited): (Batch, f64),
        wanted: WantedStep,
        next: &mut dyn FnMut() -> Result<(Batch, f64), TrainingError>,
    ) -> Result<Self, TrainingError> {
        if wanted.most <= 1 {
            let (batch, outcome) = runner.step(first, wanted.learning_rate)?;
            return Ok(Self { rows: batch.len(), named: Vec::new(), batch, outcome, waited });
        }
        let (mut batch, mut waited) = (first, waited);
        let (mut gathered, mut rows, mut seconds, mut named) = (0, 0, 0.0, Vec::new());
        loop {
            let (mut given, outcome) = runner.gather(batch)?;
            (gathered, rows, seconds) = (gathered + 1, rows + given.len(), seconds + outcome.seconds_in_graph);
            if wanted.stops && outcome.rows > 0 && !outcome.loss.is_finite() {
                return Ok(Self { batch: given, outcome, rows, named: Vec::new(), waited });
            }
            // of the batch nothing is read behind here but how far it goes
            named.push(std::mem::take(&mut given.rows));
            if gathered >= wanted.most || given.resume.epoch != wanted.epoch {
                let outcome = runner.update(wanted.learning_rate)?;
                let outcome = StepOutcome { seconds_in_graph: seconds, ..outcome };
                return Ok(Self { batch: given, outcome, rows, named, waited });
            }
            drop(given);
            let (other, more) = next()?;
            (batch, waited) = (other, waited + more);
        }
    }

    /// The rows that it was to be made of; of a loss that ended it, those of the batch that has it.
    pub(crate) fn named(&self) -> Rows {
        let own = std::slice::from_ref(&self.batch.rows);
        let named = if self.named.is_empty() { own } else { &self.named };
        Rows(named.iter().flatten().flatten().cloned().collect())
    }
}
