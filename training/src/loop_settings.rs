use serde::Serialize;

use crate::TrainingError;

/// When a run evaluates, when it ends before its epochs are done, and what it does about updates that are no numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoopSettings {
    /// Steps after which the run ends, if its epochs are not done before: schedules count to it.
    pub max_steps: Option<u64>,
    /// Seconds after which the run ends: those of all its parts, evaluations included.
    pub max_seconds: Option<f64>,
    /// When the evaluation rows are gone through; at the run's end they always are.
    pub evaluate_every: EvaluationInterval,
    /// What is done about a loss or gradients that are no numbers.
    pub non_finite: NonFinite,
    /// Evaluated states whose mean is exported in the place of the best one.
    pub average: Option<CheckpointAverage>,
    /// Whose running statistics are computed anew.
    pub reestimation: Reestimation,
}

/// For which states at the end of a run running statistics are computed anew. Where an average of the weights of all steps is
/// evaluated, they are for each evaluation of it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reestimation {
    /// For none: they are those that followed the batches.
    #[default]
    Nothing,
    /// For what is exported.
    Exported,
    /// For what is exported, and for the state after the last step.
    ExportedAndLast,
}

/// How often the evaluation rows are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationInterval {
    /// After every so many epochs.
    Epochs(u64),
    /// After every so many steps.
    Steps(u64),
}

impl Default for EvaluationInterval {
    fn default() -> Self {
        Self::Epochs(1)
    }
}

/// What is done about a loss or gradients that are infinite or not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// The run ends and names the rows.
    #[default]
    Stop,
    /// The update is left out as if its batches had not come: neither parameters nor what the optimizer remembers change.
    Skip {
        /// So many may be left out one after the other; one more ends the run.
        most_in_a_row: u64,
    },
}

/// Which of the states that were evaluated are averaged for the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointAverage {
    /// The last so many.
    Last(usize),
    /// The so many best, by the figure that decides and then by the loss.
    Best(usize),
}

impl CheckpointAverage {
    /// How many states it takes.
    pub fn count(self) -> usize {
        let (Self::Last(count) | Self::Best(count)) = self;
        count
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Last(_) => "last",
            Self::Best(_) => "best",
        }
    }
}

impl LoopSettings {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), TrainingError> {
        let at_least_one = |name, value: Option<u64>| {
            TrainingError::check(name, value.unwrap_or(1) as f32, value != Some(0), "1 or more")
        };
        at_least_one("training.max_steps", self.max_steps)?;
        let (EvaluationInterval::Epochs(every) | EvaluationInterval::Steps(every)) = self.evaluate_every;
        at_least_one("evaluation.every", Some(every))?;
        if let NonFinite::Skip { most_in_a_row } = self.non_finite {
            at_least_one("training.non_finite.skip.most_in_a_row", Some(most_in_a_row))?;
        }
        if let Some(seconds) = self.max_seconds {
            TrainingError::check("training.max_time", seconds as f32, seconds > 0.0, "more than no time")?;
        }
        self.average.map_or(Ok(()), |average| at_least_one("training.average", Some(average.count() as u64)))
    }
}
