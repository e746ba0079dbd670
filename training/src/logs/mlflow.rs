//! A folder that MLflow reads.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_schemas::choice::Options;
use millstream_schemas::files;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::entry::{Ending, Entry};
use super::log_format::{LogFormat, LogWriter, LoggedRun, OpenedLog, require_steps};
use super::log_kind::{Build, LogKind};
use super::mlflow_store::{self, DEFAULT, Status, StoredRun};
use super::run_place::RunPlace;
use super::scalars::{GROUPS, moment_of, scalars};
use super::text_lines::{self, Verdict};
use crate::TrainingError;

const FOLDER: &str = "mlruns";
const NOTE: &str = "mlflow.json";

pub(super) const LOG: LogKind = LogKind {
    name: "mlflow",
    summary: "A run in a folder of MLflow's, `logs/mlruns` unless `folder` says another.",
    documentation: "`mlflow ui --backend-store-uri FOLDER` shows it. Metrics by step, named as in `tensorboard`; the settings of the \
        recipe as parameters, by their places (`training.epochs`); `recipe.yaml`, `metrics.json`, `report.html` and `labels.txt` as \
        artifacts once the run has ended; the run's status, and the notes on it as its description. A run that goes on goes on in the \
        same run of MLflow's, which `logs/mlflow.json` names. The layout is that of MLflow's `FileStore`. In names, what is no letter, \
        digit, blank, `_`, `-` or `.` becomes `_`.",
    files: &[FOLDER, NOTE],
    samples: &["{}", r#"{"every_steps": 10, "experiment": "flowers"}"#],
    build: Build::of::<MlFlow>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MlFlow {
    /// The folder of MLflow's store (`mlruns`), for several runs in one; made when missing. In the folder of the run unless it
    /// is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    folder: Option<PathBuf>,
    /// Name of the experiment that the run belongs to; made when missing.
    experiment: String,
    /// Steps of which one is written.
    #[schemars(range(min = 1))]
    every_steps: u64,
}

impl Default for MlFlow {
    fn default() -> Self {
        Self { folder: None, experiment: DEFAULT.into(), every_steps: 1 }
    }
}

impl Options for MlFlow {
    fn validate(&self) -> Result<(), String> {
        require_steps(self.every_steps)?;
        if self.folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            return Err("folder is a path, got nothing".into());
        }
        if self.experiment.trim().is_empty() { Err("experiment is some text, got nothing".into()) } else { Ok(()) }
    }
}

/// Which run of MLflow's the run is.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    folder: Option<PathBuf>,
    experiment: String,
    experiment_id: String,
    run_id: String,
}

impl LogFormat for MlFlow {
    fn every_steps(&self) -> u64 {
        self.every_steps
    }

    fn check(&self) -> Result<(), TrainingError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        mlflow_store::require_writable(folder).map_err(TrainingError::io("write in", folder))
    }

    fn open(&self, run: &LoggedRun) -> Result<OpenedLog, TrainingError> {
        let store = self.folder.clone().unwrap_or_else(|| run.folder.join(FOLDER));
        self.open_in(&store, run).map_err(TrainingError::io("continue", &store))
    }
}

impl MlFlow {
    fn open_in(&self, store: &Path, run: &LoggedRun) -> io::Result<OpenedLog> {
        let note_file = run.folder.join(NOTE);
        swept(&note_file)?;
        let note: Option<Note> = match fs::read(&note_file) {
            Ok(text) => Some(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let note = note.filter(|note| note.folder == self.folder && note.experiment == self.experiment);
        let found = note.and_then(|note| StoredRun::find(store, &note.experiment_id, &note.run_id));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (stored, last_step) = match (found, run.goes_on) {
            (Some(stored), Some(place)) => {
                swept(&stored.meta())?;
                let last_step = cut(&stored, place)?;
                (stored, last_step)
            }
            (found, _) => {
                // It was begun and has no checkpoint: it begins again, as another.
                found.map_or(Ok(()), |unfinished| fs::remove_dir_all(unfinished.folder()))?;
                let experiment_id = mlflow_store::experiment(store, &self.experiment, now)?;
                let of = format!("{now} {} {}", std::process::id(), run.folder.display());
                let run_id: String = Sha256::digest(of).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                let stored = StoredRun::begin(store, &experiment_id, &run_id, &run.name, now)?;
                for (name, value) in &run.hyperparameters {
                    stored.param(name, &param(value))?;
                }
                let (folder, experiment) = (self.folder.clone(), self.experiment.clone());
                let note = Note { folder, experiment, experiment_id, run_id };
                files::replace_file(&note_file, &serde_json::to_vec_pretty(&note)?)?;
                (stored, 0)
            }
        };
        let writer = Writer { path: stored.folder().to_owned(), stored, keys: BTreeMap::new() };
        Ok(OpenedLog { writer: Box::new(writer), last_step })
    }
}

/// Takes out of the metrics what comes again; returns the last step that is left.
fn cut(stored: &StoredRun, place: RunPlace) -> io::Result<u64> {
    let mut last_step = 0;
    for group in GROUPS {
        let folder = stored.metric(group);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let (path, mut kept) = (entry?.path(), false);
            let file = text_lines::open(&path, text_lines::line_end, |line| {
                let step =
                    std::str::from_utf8(line).ok().and_then(|line| line.trim_end().rsplit(' ').next()?.parse().ok());
                let Some(step) = step.filter(|step| place.includes(moment_of(group, *step))) else {
                    return Ok(Verdict::Cut);
                };
                (kept, last_step) = (true, last_step.max(step));
                Ok(Verdict::Keep)
            })?;
            drop(file);
            if !kept {
                // To MLflow, a metric without a value is a damaged one.
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(last_step)
}

/// Clears away what a process left that died while it replaced a file.
fn swept(file: &Path) -> io::Result<()> {
    files::sweep(&[file.to_owned()]).map_err(|(_, error)| error)
}

/// A value in one line.
fn param(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(['\n', '\r']) => text.clone(),
        other => other.to_string(),
    }
}

struct Writer {
    path: PathBuf,
    stored: StoredRun,
    /// The keys of metrics by their names.
    keys: BTreeMap<String, String>,
}

impl Writer {
    /// The key of a metric: another one for each name.
    fn key(&mut self, name: &str) -> String {
        if let Some(key) = self.keys.get(name) {
            return key.clone();
        }
        let (group, own) = name.split_once('/').unwrap_or(("other", name));
        let plain = format!("{group}/{}", mlflow_store::key(own));
        let is_free = |key: &String| !self.keys.values().any(|taken| taken == key);
        let numbered = (2_u64..).map(|number| format!("{plain} {number}"));
        let key = std::iter::once(plain.clone()).chain(numbered).find(is_free).unwrap_or(plain);
        self.keys.insert(name.to_owned(), key.clone());
        key
    }

    fn end(&self, time: f64, entry: &Ending<'_>) -> io::Result<()> {
        let status = match entry.ending {
            "finished" => Status::Finished,
            "failed" => Status::Failed,
            _ => Status::Killed,
        };
        self.stored.set_status(status, time)?;
        self.stored.tag("mlflow.note.content", &entry.in_words())?;
        self.stored.tag("millstream.stopped_early", &entry.stopped_early.is_some().to_string())?;
        match &entry.best {
            Some(best) => self.stored.tag("millstream.best_epoch", &best.epoch.to_string()),
            None => Ok(()),
        }
    }
}

impl LogWriter for Writer {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, time: f64, entry: &Entry<'_>) -> io::Result<()> {
        match entry {
            Entry::Resumed { .. } => self.stored.set_status(Status::Running, time),
            Entry::Ended(ending) => self.end(time, ending),
            _ => {
                let (step, values) = scalars(entry);
                values.into_iter().try_for_each(|(name, value)| {
                    let key = self.key(&name);
                    self.stored.add_metric(&key, time, value, step)
                })
            }
        }
    }

    fn keep_files(&mut self, files: &[PathBuf]) -> io::Result<()> {
        files.iter().filter(|file| file.is_file()).try_for_each(|file| self.stored.keep_file(file))
    }
}
