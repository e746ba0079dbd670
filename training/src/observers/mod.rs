//! Watching a run: what happens is told as [`Event`]s.

use std::path::Path;

use crate::error::Rows;
use crate::evaluation_record::{AveragedRecord, ReestimatedRecord, SetEvaluation, SkippedUpdates};
use crate::metrics::Evaluation;
use crate::record::EpochRecord;

/// Somebody who is told what happens. Called on the thread that trains: be quick.
pub trait Observer {
    /// Something happened.
    fn observe(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn observe(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// What happens in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something that does not stop the run but should be known.
    Warning {
        /// In words.
        message: &'a str,
    },
    /// A run starts, or goes on.
    Started {
        /// Steps done before.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// The epoch it starts in, from 0.
        epoch: u64,
        /// Epochs of the whole run.
        epochs: u64,
        /// Steps of one epoch.
        steps_per_epoch: u64,
    },
    /// A step was made.
    Step(StepEvent),
    /// An update was left out because its loss or gradients were no numbers.
    UpdateSkipped {
        /// Number of the step that it would have been, from 1.
        step: u64,
        /// Its loss.
        loss: f32,
        /// Joint norm of its gradients, where its loss was a number.
        gradient_norm: Option<f64>,
        /// The rows of all its batches.
        rows: &'a Rows,
        /// Updates that were left out in the run, this one included.
        skipped: SkippedUpdates,
    },
    /// An evaluation begins: at the end of an epoch, or within one.
    EvaluationStarted {
        /// Number of the epoch, from 0.
        epoch: u64,
    },
    /// A batch was evaluated.
    EvaluationBatch {
        /// Number of the epoch, from 0; none before the first step.
        epoch: Option<u64>,
        /// Rows evaluated so far, of all sets.
        rows: u64,
        /// Seconds since the evaluation began.
        seconds: f64,
        /// Seconds that the steps after it will take, at the speed of the last steps.
        seconds_of_steps: f64,
        /// Evaluations that come after it.
        evaluations_left: u64,
    },
    /// The weights as they were given are evaluated; the first step comes next.
    StartEvaluated {
        /// What it found.
        evaluation: &'a Evaluation,
    },
    /// The evaluation is done.
    Evaluated {
        /// Number of the epoch that is under way or ends there, from 0.
        epoch: u64,
        /// Whether it is at the end of the epoch.
        ends_epoch: bool,
        /// What it found.
        evaluation: &'a Evaluation,
        /// What it found on the other sets, where there are several.
        others: &'a [SetEvaluation],
        /// Whether no evaluation before was as good, and neither was the start.
        best: bool,
        /// Whether it is better than before the first step, by the rule of [`divergence`](crate::divergence).
        better_than_start: bool,
    },
    /// The run is at its end, and the mean of several states, which is exported, was evaluated.
    AverageEvaluated(&'a AveragedRecord),
    /// A batch was gone through for running statistics that are computed anew.
    StatisticsBatch {
        /// Rows so far.
        rows: u64,
        /// Seconds since it began.
        seconds: f64,
    },
    /// The run is at its end, and running statistics of what is exported were computed anew.
    Reestimated(&'a ReestimatedRecord),
    /// An epoch is over.
    EpochEnded(&'a EpochRecord),
    /// A checkpoint is on the disk.
    CheckpointSaved {
        /// Its folder.
        path: &'a Path,
        /// Steps done.
        step: u64,
        /// Seconds it took to write, beside the steps.
        seconds: f64,
    },
    /// The run is at its end; what is exported comes next.
    Finished {
        /// Steps done.
        step: u64,
        /// Why it ended.
        reason: EndReason,
    },
}

/// Why a run is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// All epochs are done.
    Epochs,
    /// It has made as many steps as it was to make at most.
    MaxSteps,
    /// Its time is up.
    MaxTime,
    /// It got no better.
    NoGain,
}

/// A step that was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepEvent {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Loss before the update.
    pub loss: f32,
    /// Mean loss of the epoch so far, each row by its weight: at the epoch's end, its training loss.
    pub mean_loss: f64,
    /// Learning rate, before multipliers.
    pub learning_rate: f32,
    /// Rows in the batch.
    pub rows: usize,
    /// Over the last steps, waiting included.
    pub samples_per_second: f64,
    /// Seconds this step waited for its batch.
    pub seconds_waiting: f64,
    /// Seconds in the graph.
    pub seconds_in_graph: f64,
    /// Seconds in the update.
    pub seconds_in_update: f64,
    /// Batches that are ready, where the source knows.
    pub batches_waiting: Option<usize>,
    /// Seconds until the run's end, at the speed of the last steps and, once one was made, of the last evaluation.
    pub seconds_left: f64,
    /// Joint norm of the gradients, where the update runs on the host.
    pub gradient_norm: Option<f64>,
}
