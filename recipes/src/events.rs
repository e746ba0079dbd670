use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_training::EpochEvaluation;
use millstream_training::metrics::{FigureKind, Figures};
use serde::Serialize;

/// What happens in the course of a run. As JSON each carries its name in `event`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Everything is opened; the first step comes next.
    Started {
        /// Folder of the results.
        #[serde(serialize_with = "millstream_schemas::written_path")]
        folder: PathBuf,
        /// Where steps run: `cpu` or `cuda:N`.
        device: String,
        /// Why there.
        device_reason: String,
        /// Rows to train on.
        rows: u64,
        /// Number of classes.
        classes: usize,
        /// What is known of the figures of an evaluation beside the loss, in order.
        figures: Vec<FigureKind>,
        /// The figure that decides which epoch is the best, by its name; `loss` may be it.
        decides: String,
        /// Numbers that are trained.
        trained: usize,
        /// Numbers that stay as they are.
        frozen: usize,
        /// Steps of the whole run.
        total_steps: u64,
        /// Steps of one epoch.
        steps_per_epoch: u64,
        /// Epochs of the whole run.
        epochs: u64,
        /// Steps that an earlier part of the run has done.
        steps_done: u64,
        /// The figure that decides, before the first step, where an earlier part of the run has measured it; none where the loss decides.
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<f64>,
    },
    /// A step was made.
    Step {
        /// Steps done, this one included.
        step: u64,
        /// Epoch, from 1.
        epoch: u64,
        /// Epochs of the whole run.
        epochs: u64,
        /// Mean loss of the batch before the update.
        loss: f32,
        /// Mean loss of the epoch so far, each row by its weight.
        mean_loss: f64,
        /// Learning rate of this step.
        learning_rate: f32,
        /// Rows a second over the last steps.
        samples_per_second: f64,
        /// Batches that are ready.
        batches_waiting: usize,
        /// Seconds until the run's end at this speed, evaluations included once one was made.
        seconds_left: f64,
    },
    /// A batch was evaluated.
    Evaluating {
        /// Epoch, from 1, of a run that trains.
        epoch: Option<u64>,
        /// Its epochs.
        epochs: Option<u64>,
        /// Rows done.
        rows: u64,
        /// Rows in all.
        total: u64,
        /// Rows a second.
        samples_per_second: f64,
        /// Seconds until everything is done, further epochs included.
        seconds_left: f64,
    },
    /// Rows were read or written by an import.
    Importing {
        /// What is done with them: `read` or `written`.
        doing: &'static str,
        /// Rows done.
        rows: u64,
        /// Rows in all.
        total: u64,
        /// Bytes of those that are done.
        bytes: u64,
        /// Rows a second.
        rows_per_second: f64,
        /// Seconds until all are done.
        seconds_left: f64,
    },
    /// A batch was gone through for statistics of BatchNormalization that are computed anew.
    Reestimating {
        /// Rows done.
        rows: u64,
        /// Rows in all.
        total: u64,
        /// Rows a second.
        samples_per_second: f64,
        /// Seconds until the statistics are there.
        seconds_left: f64,
    },
    /// A learning rate was tried.
    Tried {
        /// Steps done, this one included.
        step: u64,
        /// Steps of the whole test.
        steps: u64,
        /// The learning rate.
        learning_rate: f64,
        /// Mean loss of the batch before the update.
        loss: f64,
        /// Rows a second.
        samples_per_second: f64,
        /// Seconds until all steps are done.
        seconds_left: f64,
    },
    /// The evaluation rows were gone through with the weights before the first step.
    StartEvaluated {
        /// Mean loss.
        loss: f64,
        /// The other figures; in JSON beside the loss, by their names.
        #[serde(flatten)]
        figures: Figures,
    },
    /// The evaluation rows were gone through.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Epoch that is under way or ends there, from 1.
        epoch: u64,
        /// Epochs of the whole run.
        epochs: u64,
        /// Whether it is at the end of the epoch.
        ends_epoch: bool,
        /// Mean loss.
        loss: f64,
        /// The other figures; in JSON beside the loss, by their names.
        #[serde(flatten)]
        figures: Figures,
        /// What was found on the other evaluation sets, by their names.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        sets: BTreeMap<String, EpochEvaluation>,
        /// Whether it is the best so far, and better than before the first step.
        best: bool,
        /// Whether it is better than before the first step.
        better_than_start: bool,
    },
    /// The mean of several states, which is exported, was evaluated.
    AverageEvaluated {
        /// The steps after which the states were.
        steps: Vec<u64>,
        /// Mean loss.
        loss: f64,
        /// The other figures; in JSON beside the loss, by their names.
        #[serde(flatten)]
        figures: Figures,
    },
    /// Statistics of BatchNormalization in what is exported were computed anew.
    Reestimated {
        /// Rows that they were computed from.
        rows: u64,
        /// Mean loss, where it was evaluated with other statistics before.
        #[serde(skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
        /// The other figures; in JSON beside the loss, by their names.
        #[serde(flatten)]
        figures: Figures,
    },
    /// An update was left out because its loss or gradients were no numbers.
    UpdateSkipped {
        /// Number of the step that it would have been, from 1.
        step: u64,
        /// The rows that it was to be made of, the first few of them.
        rows: String,
        /// Updates that were left out one after the other.
        in_a_row: u64,
        /// Updates that were left out in the run.
        skipped: u64,
    },
    /// A checkpoint is on the disk.
    Saved {
        /// Its folder.
        #[serde(serialize_with = "millstream_schemas::written_path")]
        checkpoint: PathBuf,
        /// Steps done.
        step: u64,
    },
    /// Something that was chosen and is worth knowing.
    Note {
        /// What.
        message: String,
    },
    /// Something that deserves a look and stops nothing.
    Warning {
        /// What.
        message: String,
    },
}

/// Whoever wants to know what happens.
pub trait Events: Send {
    /// Called from the thread that trains; a slow answer slows training down.
    fn event(&mut self, event: &Event);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Events for Silent {
    fn event(&mut self, _: &Event) {}
}

impl<F: FnMut(&Event) + Send> Events for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// A flag that asks a run to finish its step, save, and end. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for signal handlers.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Rows of passes beside training.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Of the evaluation before the first step.
    pub(crate) start: u64,
    /// Of the others.
    pub(crate) others: u64,
    /// For statistics that are computed anew.
    pub(crate) statistics: u64,
}

/// What the trainer says, in the words of this crate.
pub(crate) fn translate(
    event: &millstream_training::Event<'_>,
    steps: &mut u64,
    totals: Totals,
    epochs: u64,
) -> Option<Event> {
    use millstream_training::Event as Told;
    Some(match event {
        Told::Step(told) => {
            *steps = told.step;
            Event::Step {
                step: told.step,
                epoch: told.epoch + 1,
                epochs,
                loss: told.loss,
                mean_loss: told.mean_loss,
                learning_rate: told.learning_rate,
                samples_per_second: told.samples_per_second,
                batches_waiting: told.batches_waiting.unwrap_or(0),
                seconds_left: told.seconds_left,
            }
        }
        Told::EvaluationBatch { epoch, rows, seconds, seconds_of_steps, evaluations_left } => {
            let samples_per_second = *rows as f64 / seconds.max(1e-9);
            let Totals { start: of_start, others: of_others, .. } = totals;
            let total = if epoch.is_some() { of_others } else { of_start };
            let rows_left = total.saturating_sub(*rows).saturating_add(of_others.saturating_mul(*evaluations_left));
            Event::Evaluating {
                epoch: epoch.map(|epoch| epoch + 1),
                epochs: epoch.map(|_| epochs),
                rows: *rows,
                total,
                samples_per_second,
                seconds_left: rows_left as f64 / samples_per_second.max(1e-9) + seconds_of_steps,
            }
        }
        Told::StatisticsBatch { rows, seconds } => {
            let samples_per_second = *rows as f64 / seconds.max(1e-9);
            let (rows, total) = (*rows, totals.statistics);
            let seconds_left = total.saturating_sub(rows) as f64 / samples_per_second.max(1e-9);
            Event::Reestimating { rows, total, samples_per_second, seconds_left }
        }
        Told::Reestimated(record) => Event::Reestimated {
            rows: record.rows,
            loss: record.evaluation.as_ref().map(|evaluation| evaluation.loss),
            figures: record.evaluation.as_ref().map_or_else(Figures::default, |evaluation| evaluation.figures.clone()),
        },
        Told::StartEvaluated { evaluation } => {
            Event::StartEvaluated { loss: evaluation.loss, figures: evaluation.figures.clone() }
        }
        Told::Evaluated { epoch, ends_epoch, evaluation, others, best, better_than_start } => Event::Evaluated {
            step: *steps,
            epoch: epoch + 1,
            epochs,
            ends_epoch: *ends_epoch,
            sets: others.iter().map(|set| (set.name.clone(), (&set.evaluation).into())).collect(),
            loss: evaluation.loss,
            figures: evaluation.figures.clone(),
            best: *best,
            better_than_start: *better_than_start,
        },
        Told::AverageEvaluated(averaged) => Event::AverageEvaluated {
            steps: averaged.steps.clone(),
            loss: averaged.evaluation.loss,
            figures: averaged.evaluation.figures.clone(),
        },
        Told::UpdateSkipped { step, rows, skipped, .. } => Event::UpdateSkipped {
            step: *step,
            rows: rows.to_string(),
            in_a_row: skipped.in_a_row,
            skipped: skipped.total,
        },
        Told::Warning { message } => Event::Warning { message: message.to_string() },
        Told::CheckpointSaved { path, step, .. } => Event::Saved { checkpoint: path.to_path_buf(), step: *step },
        _ => return None,
    })
}
