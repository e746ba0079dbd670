//! How long a run is, in steps and evaluations.

use millstream_schemas::recipe::{EvaluationInterval, TrainingRecipe};
use millstream_training::schedules::RunLength;

use crate::OpenedParts;

impl OpenedParts {
    /// Training steps in one pass over the rows.
    pub fn steps_per_epoch(&self) -> u64 {
        self.run_length().steps_per_epoch
    }

    /// Batches in one pass over the rows.
    pub fn batches_per_epoch(&self) -> u64 {
        let (rows, batch) = (self.train.dataset.rows(), self.recipe.data.batch as u64);
        if self.recipe.data.drop_last { rows / batch } else { rows.div_ceil(batch) }
    }

    /// Training steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.run_length().steps
    }

    /// How long the run is.
    pub(crate) fn run_length(&self) -> RunLength {
        self.length_of(&self.recipe.training)
    }

    /// How long the run is that moments of the recipe are of.
    pub(crate) fn whole_length(&self) -> RunLength {
        self.whole.unwrap_or_else(|| self.run_length())
    }

    /// How long a run on these rows is that is trained so.
    pub(crate) fn length_of(&self, training: &TrainingRecipe) -> RunLength {
        let steps_per_epoch = RunLength::steps_of(self.batches_per_epoch(), training.accumulate);
        RunLength::new(training.epochs, steps_per_epoch, training.max_steps)
    }

    /// How often a run that goes on to its end evaluates, the time before its first step included.
    pub(crate) fn evaluations(&self) -> u64 {
        let steps = self.total_steps();
        let after = match self.recipe.evaluation.every {
            EvaluationInterval::Steps(every) => steps.div_ceil(every.max(1)),
            EvaluationInterval::Epochs(every) => steps.div_ceil(self.steps_per_epoch().max(1)).div_ceil(every.max(1)),
        };
        if self.evaluate.is_some() { after.saturating_add(1) } else { 0 }
    }
}
