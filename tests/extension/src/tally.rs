//! A log.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use millstream::schemas::choice::Options;
use millstream::training::TrainingError;
use millstream::training::logs::{self, Entry, LogFormat, LogKind, LogWriter, LoggedRun, OpenedLog};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const TALLY: LogKind = LogKind {
    name: "tally",
    summary: "One stroke a step, in `logs/tally.txt`.",
    documentation: "A stroke for each step and a line feed for each epoch.",
    files: &["tally.txt"],
    samples: &["{}"],
    build: logs::Build::of::<Tally>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tally {}

impl Options for Tally {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl LogFormat for Tally {
    fn every_steps(&self) -> u64 {
        1
    }

    fn open(&self, run: &LoggedRun) -> Result<OpenedLog, TrainingError> {
        // Strokes of steps that come again are not made again.
        let (path, steps) = (run.folder.join("tally.txt"), run.goes_on.map_or(0, |place| place.steps));
        Ok(OpenedLog { writer: Box::new(Strokes { path, steps }), last_step: steps })
    }
}

struct Strokes {
    path: PathBuf,
    steps: u64,
}

impl LogWriter for Strokes {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, _: f64, entry: &Entry<'_>) -> io::Result<()> {
        let stroke = match entry {
            Entry::Step(step) if step.step > self.steps => "|",
            Entry::EpochEnded(_) => "\n",
            _ => return Ok(()),
        };
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.path);
        file.and_then(|mut file| file.write_all(stroke.as_bytes()))
    }
}
