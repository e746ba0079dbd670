//! One JSON object a line.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::log_format::{LogFormat, LogWriter, LoggedRun, OpenedLog, require_steps};
use super::log_kind::{Build, LogKind};
use super::run_place::Moment;
use super::text_lines::{self, Verdict};
use crate::TrainingError;

const FILE: &str = "events.jsonl";

pub(super) const LOG: LogKind = LogKind {
    name: "jsonl",
    summary: "JSON lines: one event a line, in `logs/events.jsonl`.",
    documentation: "Each line is an object with `event` (`started`, `resumed`, `step`, `start_evaluated`, `evaluated`, \
        `epoch_ended`, `warning`, `ended`), `time` (seconds since 1970) and what belongs to it, under the names of \
        `millstream train --json`: `step` has `step`, `epoch` (from 1), `epochs`, `loss`, `mean_loss`, `learning_rate`, `rows`, \
        `samples_per_second`, `gradient_norm` (null where it is not known), `seconds_waiting`, `seconds_in_graph` and \
        `seconds_in_update`; `started` has `total_steps`, `epochs` and `steps_per_epoch`, as `resumed` has them, where they may be \
        others, and `figures`, which are measured, and `decides`, the one by which the best epoch is chosen; \
        `evaluated` has them by their names. What is no number is null.",
    files: &[FILE],
    samples: &["{}", r#"{"every_steps": 10}"#],
    build: Build::of::<JsonLines>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct JsonLines {
    /// Steps of which one is written.
    #[schemars(range(min = 1))]
    every_steps: u64,
}

impl Default for JsonLines {
    fn default() -> Self {
        Self { every_steps: 1 }
    }
}

impl Options for JsonLines {
    fn validate(&self) -> Result<(), String> {
        require_steps(self.every_steps)
    }
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: &'a Entry<'a>,
    time: f64,
}

/// What of a line says when it was written.
#[derive(Deserialize)]
struct Dated {
    event: String,
    #[serde(default)]
    step: u64,
}

impl Dated {
    fn moment(&self) -> Moment {
        match self.event.as_str() {
            "start_evaluated" | "evaluated" => Moment::Evaluation(self.step),
            "epoch_ended" => Moment::EpochEnd(self.step),
            "ended" => Moment::End,
            _ => Moment::Step(self.step),
        }
    }
}

impl LogFormat for JsonLines {
    fn every_steps(&self) -> u64 {
        self.every_steps
    }

    fn open(&self, run: &LoggedRun) -> Result<OpenedLog, TrainingError> {
        let path = run.folder.join(FILE);
        let mut last_step = 0;
        let file = match run.goes_on {
            None => text_lines::begin(&path),
            Some(place) => text_lines::open(&path, text_lines::line_end, |line| {
                let dated: Dated = serde_json::from_slice(line)?;
                if !place.includes(dated.moment()) {
                    return Ok(Verdict::Cut);
                }
                last_step = dated.step.max(last_step);
                Ok(Verdict::Keep)
            }),
        };
        let file = file.map_err(TrainingError::io("continue", &path))?;
        Ok(OpenedLog { writer: Box::new(Writer { path, file }), last_step })
    }
}

struct Writer {
    path: PathBuf,
    file: File,
}

impl LogWriter for Writer {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, time: f64, entry: &Entry<'_>) -> io::Result<()> {
        text_lines::append(&mut self.file, serde_json::to_vec(&Line { entry, time })?)
    }
}
