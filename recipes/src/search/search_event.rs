use std::path::PathBuf;

use millstream_search::{Decision, TrialState};
use millstream_training::metrics::FigureKind;
use serde::Serialize;
use serde_json::Value;

use super::trial_run::TrialRun;
use crate::Event;

/// What happens in the course of a search. As JSON each carries its name in `event`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SearchEvent {
    /// The study is open; the first trial comes next.
    StudyOpened {
        /// Its folder.
        #[serde(serialize_with = "millstream_schemas::written_path")]
        folder: PathBuf,
        /// Its name.
        name: String,
        /// Places that are left open.
        parameters: Vec<String>,
        /// What each of them may be, where it is a choice; empty where it is a number.
        #[serde(skip)]
        alternatives: Vec<Vec<Value>>,
        /// How many assignments there are, in words.
        size: String,
        /// What is looked for.
        figures: Vec<FigureKind>,
        /// Trials of the whole study.
        trials: u64,
        /// Those that are finished.
        finished: u64,
        /// Trials that this process is to work on at a time; where fewer have room, [`SearchEvent::ParallelLimited`] says so before the
        /// first trial.
        parallel: usize,
        /// Threads of ONNX Runtime that a trial has: the fewest and the most, which differ where `training.threads` is left open.
        threads: [usize; 2],
        /// Whether trials at a time have these threads together; where they have different numbers, each has its own.
        shares_threads: bool,
    },
    /// Fewer trials at a time have room than the process is to work on.
    ParallelLimited {
        /// Trials that it works on at a time.
        parallel: usize,
        /// Why, in words with both numbers.
        message: String,
    },
    /// Something happened before the first trial: its rows are imported.
    Opening {
        /// What.
        of: Event,
    },
    /// A trial was begun, or is gone on with.
    TrialBegan {
        /// Its number.
        trial: u64,
        /// Its values, by the places where they stand.
        settings: Vec<(String, Value)>,
        /// Its runs, where it has several.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        runs: Vec<TrialRun>,
        /// Whether it goes on from a checkpoint.
        resumed: bool,
    },
    /// Something happened in a run of a trial.
    Run {
        /// The trial.
        trial: u64,
        /// Which of its runs, where it has several: `fold-2`.
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<String>,
        /// What.
        of: Event,
    },
    /// A figure on the way was told to the study.
    Reported {
        /// The trial.
        trial: u64,
        /// Epochs done, or with `evaluation.every: {steps: N}` evaluations; of a trial of several runs, runs.
        step: u64,
        /// The first figure.
        value: f64,
        /// What the stopping rules said.
        decision: Decision,
    },
    /// A trial was set aside by a rule.
    TrialPaused {
        /// The trial.
        trial: u64,
    },
    /// A trial ended.
    TrialEnded {
        /// The trial.
        trial: u64,
        /// How.
        state: TrialState,
        /// Its figures, in the order of the objectives; none unless it is complete.
        values: Vec<f64>,
        /// Why it failed, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Seconds that this process worked on it.
        seconds: f64,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Something that deserves a look and stops nothing.
    Warning {
        /// What.
        message: String,
    },
}

/// Whoever wants to know what happens.
pub trait SearchEvents: Send {
    /// Called from the threads that train, one at a time; a slow answer slows training down.
    fn event(&mut self, event: &SearchEvent);
}

impl<F: FnMut(&SearchEvent) + Send> SearchEvents for F {
    fn event(&mut self, event: &SearchEvent) {
        self(event);
    }
}
