//! Event files for TensorBoard.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_schemas::choice::Options;
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::{Ending, Entry, StartEntry};
use super::event_file::{self, EventFile};
use super::event_messages::{
    Axis, Content, Event, HParams, Metadata, Plugin, SessionEnd, SessionLog, SessionStart, SessionStatus, Setting,
    SettingKind, Shape, Summary, Tensor, Value, What,
};
use super::log_format::{LogFormat, LogWriter, LoggedRun, OpenedLog, require_steps};
use super::log_kind::{Build, LogKind};
use super::run_place::{Moment, RunPlace};
use super::scalars::{moment_of, scalars};
use crate::TrainingError;

const FOLDER: &str = "tensorboard";
const PREFIX: &str = "events.out.tfevents.";
const SESSION_START: &str = "_hparams_/session_start_info";
const SESSION_END: &str = "_hparams_/session_end_info";
const RECIPE: &str = "recipe";
const ENDED: &str = "ended";

pub(super) const LOG: LogKind = LogKind {
    name: "tensorboard",
    summary: "Event files for TensorBoard, in `logs/tensorboard`.",
    documentation: "`tensorboard --logdir RUNS` shows them. Scalars by step: `train/loss`, `train/learning_rate`, \
        `train/samples_per_second`, `train/gradient_norm` (where it is known), `epoch/number` (from 1), `epoch/training_loss`, \
        `evaluation/` and each figure (step 0: before the first step), and `best/` and each figure when an evaluation was the best \
        so far. The settings of the recipe are hyperparameters; the recipe and how the run ended are texts. Events in the frames of \
        TFRecord files (TensorFlow, `event.proto`, `summary.proto`). A run that goes on writes another file, which begins with a \
        `SessionLog` of status `START` at the step that comes next.",
    files: &[FOLDER],
    samples: &["{}", r#"{"every_steps": 10}"#],
    build: Build::of::<TensorBoard>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TensorBoard {
    /// Steps of which one is written.
    #[schemars(range(min = 1))]
    every_steps: u64,
}

impl Default for TensorBoard {
    fn default() -> Self {
        Self { every_steps: 1 }
    }
}

impl Options for TensorBoard {
    fn validate(&self) -> Result<(), String> {
        require_steps(self.every_steps)
    }
}

impl LogFormat for TensorBoard {
    fn every_steps(&self) -> u64 {
        self.every_steps
    }

    fn open(&self, run: &LoggedRun) -> Result<OpenedLog, TrainingError> {
        let folder = run.folder.join(FOLDER);
        let opened = fs::create_dir_all(&folder).and_then(|()| open(&folder, run));
        opened.map_err(TrainingError::io("continue", &folder))
    }
}

fn open(folder: &Path, run: &LoggedRun) -> io::Result<OpenedLog> {
    let files = event_files(folder)?;
    let (mut last_step, mut is_cut) = (0, run.goes_on.is_none());
    for (_, file) in &files {
        let mut holds_something = false;
        if let Some(place) = run.goes_on.filter(|_| !is_cut) {
            is_cut = !event_file::cut(file, |event| {
                let stays = place.includes(moment(event));
                let is_summary = matches!(event.what, Some(What::Summary(_)));
                holds_something |= stays && is_summary;
                last_step = if stays && is_summary { last_step.max(event.step) } else { last_step };
                stays
            })?;
        }
        if !holds_something {
            fs::remove_file(file)?;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // TensorBoard reads files in the order of their names.
    let seconds = files.last().map_or(0, |(seconds, _)| seconds + 1).max(now.as_secs());
    let path = folder.join(format!("{PREFIX}{seconds:010}.millstream.{}", std::process::id()));
    let mut file = EventFile::begin(&path, now.as_secs_f64())?;
    if let Some(RunPlace { steps, .. }) = run.goes_on {
        // Who watches meanwhile has seen what was cut, and forgets it by this.
        let what = Some(What::SessionLog(SessionLog { status: SessionStatus::Start.into() }));
        file.append(&Event { wall_time: now.as_secs_f64(), step: steps as i64 + 1, what })?;
    }
    let writer = Writer { path: folder.to_owned(), file, recipe: run.recipe.clone() };
    Ok(OpenedLog { writer: Box::new(writer), last_step: last_step as u64 })
}

/// The event files of a folder with the seconds in their names, in order.
fn event_files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let seconds =
            path.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok());
        files.extend(seconds.map(|seconds: u64| (seconds, path)));
    }
    files.sort();
    Ok(files)
}

fn moment(event: &Event) -> Moment {
    let step = u64::try_from(event.step).unwrap_or(0);
    match &event.what {
        Some(What::Summary(summary)) => match summary.value.first().map(|value| value.tag.as_str()) {
            Some(SESSION_END | ENDED) => Moment::End,
            tag => moment_of(tag.unwrap_or_default().split('/').next().unwrap_or_default(), step),
        },
        Some(What::SessionLog(_)) => Moment::Step(step.saturating_sub(1)),
        Some(What::FileVersion(_)) | None => Moment::Step(0),
    }
}

struct Writer {
    path: PathBuf,
    file: EventFile,
    recipe: String,
}

impl Writer {
    fn append(&mut self, time: f64, step: u64, value: Vec<Value>) -> io::Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        let what = Some(What::Summary(Summary { value }));
        self.file.append(&Event { wall_time: time, step: i64::try_from(step).unwrap_or(i64::MAX), what })
    }

    fn begin(&mut self, time: f64, entry: &StartEntry<'_>) -> io::Result<()> {
        let hparams = entry.hyperparameters.iter().map(|(name, value)| (name.clone(), setting(value))).collect();
        let start = Some(SessionStart { hparams, start_time: time });
        let start = hparams_value(SESSION_START, &HParams { version: 0, start, end: None });
        let recipe: String = self.recipe.lines().map(|line| format!("    {line}\n")).collect();
        self.append(time, 0, vec![start])?;
        self.append(time, 0, vec![text(RECIPE, recipe)])
    }

    fn end(&mut self, time: f64, entry: &Ending<'_>) -> io::Result<()> {
        let status = match entry.ending {
            "finished" => 1,
            "failed" => 2,
            _ => 0,
        };
        let end = Some(SessionEnd { status, end_time: time });
        let end = hparams_value(SESSION_END, &HParams { version: 0, start: None, end });
        self.append(time, entry.step, vec![end])?;
        self.append(time, entry.step, vec![text(ENDED, entry.in_words())])
    }
}

fn setting(value: &serde_json::Value) -> Setting {
    let kind = match value {
        serde_json::Value::Bool(truth) => SettingKind::Truth(*truth),
        serde_json::Value::Number(number) => SettingKind::Number(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => SettingKind::Text(text.clone()),
        other => SettingKind::Text(other.to_string()),
    };
    Setting { kind: Some(kind) }
}

fn of_plugin(name: &str, content: Vec<u8>) -> Option<Metadata> {
    Some(Metadata { plugin: Some(Plugin { name: name.into(), content }) })
}

/// What the plugin says is in its metadata; the tensor is there because there must be one.
fn hparams_value(tag: &str, content: &HParams) -> Value {
    let shape = Some(Shape { axes: vec![Axis { size: 1 }] });
    let tensor = Tensor { dtype: 1, shape, floats: vec![0.0], strings: Vec::new() };
    let metadata = of_plugin("hparams", content.encode_to_vec());
    Value { tag: tag.into(), metadata, content: Some(Content::Tensor(tensor)) }
}

/// Markdown.
fn text(tag: &str, text: String) -> Value {
    let shape = Some(Shape { axes: Vec::new() });
    let tensor = Tensor { dtype: 7, shape, floats: Vec::new(), strings: vec![text.into_bytes()] };
    Value { tag: tag.into(), metadata: of_plugin("text", Vec::new()), content: Some(Content::Tensor(tensor)) }
}

impl LogWriter for Writer {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, time: f64, entry: &Entry<'_>) -> io::Result<()> {
        match entry {
            Entry::Started(start) => self.begin(time, start),
            Entry::Ended(ending) => self.end(time, ending),
            _ => {
                let (step, values) = scalars(entry);
                let scalar = |(tag, value): (String, f64)| Value {
                    tag,
                    metadata: None,
                    content: Some(Content::Scalar(value as f32)),
                };
                self.append(time, step, values.into_iter().map(scalar).collect())
            }
        }
    }
}
