//! Checkpoints: folders `step-N` that are whole or not there.
//!
//! A checkpoint is written under a temporary name, synced to the disk and renamed; only then are older ones deleted. The
//! loader verifies sizes and SHA-256 of every file, and walks back to the newest whole one. Nothing in it is executable.
//!
//! A [`Trainer`](crate::Trainer) takes copies at the end of a step and goes on, while a thread writes them. One whose step
//! was saved already, at the end of an epoch before its evaluation and after it, shares the files that are the same.

mod fault;
mod file_names;
mod folder;
mod load;
mod save;
mod tensors;
mod writer;

use std::path::{Path, PathBuf};

use millstream_compiler::TrainingProgram;
use millstream_schemas::{ParameterEntry, ResumePoint, TrainingManifest};
use serde::{Deserialize, Serialize};

pub use fault::{CheckpointFault, TensorsFault};
pub(crate) use folder::any;
pub use folder::{clear, list};
pub use load::{Newest, Skipped, load, load_newest};
pub(crate) use save::{Contents, Snapshot};
pub(crate) use writer::{Failed, Writer, Written};

use crate::TrainingError;
use crate::kept_states::KeptRecord;
use crate::optimizers::{FLOATS, StateTensor};
use crate::record::History;
use crate::session::{OptimizerState, StepRunner};
use tensors::Elements;

/// The setting that says which step graph a run has.
pub(crate) const MODEL: &str = "the model or what of it is trained";

/// Parameters as the bytes of a safetensors file, each under its name in the manifest.
///
/// # Errors
/// They are not as many or not as long as the manifest says.
pub fn parameters_file(manifest: &TrainingManifest, parameters: &[Vec<f32>]) -> Result<Vec<u8>, TensorsFault> {
    let entries = &manifest.parameters;
    if entries.len() != parameters.len() {
        return Err(TensorsFault::Count { wanted: entries.len(), got: parameters.len() });
    }
    let named = entries.iter().zip(parameters);
    let tensors = named.map(|(entry, values)| (entry.name.clone(), &entry.shape[..], Elements::F32(values)));
    tensors::write(&tensors.collect::<Vec<_>>())
}

/// When checkpoints are written, and where.
#[derive(Clone, Debug)]
pub struct CheckpointSettings {
    /// The folder that holds them; made when missing.
    pub folder: PathBuf,
    /// Also every so many steps; 0 for never.
    pub every_steps: u64,
    /// How many are kept, at least one.
    pub keep: usize,
}

/// A whole checkpoint.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What it is about.
    pub manifest: CheckpointManifest,
    /// Parameters, in the order of the training manifest.
    pub parameters: Vec<Vec<f32>>,
    /// What the optimizer remembers.
    pub state: OptimizerState,
    /// Parameters of the best evaluation so far, where there was one.
    pub best: Option<Vec<Vec<f32>>>,
    /// Parameters of the states that will be averaged, in the order of the manifest.
    pub kept: Vec<Vec<Vec<f32>>>,
    /// What is exported, with running statistics that were computed anew; of a run at its end.
    pub exported: Option<Vec<Vec<f32>>>,
    /// The last state with such statistics.
    pub last: Option<Vec<Vec<f32>>>,
}

/// `manifest.json` of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointManifest {
    /// Version of this format; 3.
    pub version: u32,
    /// Steps done.
    pub step: u64,
    /// Where the stream of batches continues.
    pub resume: ResumePoint,
    /// All that decides how training goes on, as name and value.
    pub settings: Vec<(String, String)>,
    /// Updates that the optimizer has made.
    pub updates: u64,
    /// Updates of each cohort of what is frozen at times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<u64>,
    /// Ends of epochs whose weights are in their average, where it is one of these; older builds do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged: Option<u64>,
    /// Whether an epoch ended whose evaluation was not made yet.
    pub evaluation_due: bool,
    /// Name and shape of each parameter, and of what the optimizer remembers of it, in order.
    pub parameters: Vec<SavedParameter>,
    /// States that were evaluated and will be averaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptRecord>,
    /// The other files.
    pub files: Vec<SavedFile>,
    /// The run so far, which lies in a file of its own; version 2 had it here.
    #[serde(default, skip_serializing)]
    pub history: History,
}

impl CheckpointManifest {
    /// The version that this build writes.
    pub const VERSION: u32 = 3;
    /// The oldest version that it reads.
    const OLDEST: u32 = 2;

    /// Whether the run's steps were those of this program: by the step graph, frozen weights included.
    ///
    /// # Errors
    /// The step graph of the program cannot be laid out.
    pub fn is_of(&self, program: &TrainingProgram) -> Result<bool, TrainingError> {
        let Some((_, saved)) = self.settings.iter().find(|(name, _)| name == MODEL) else { return Ok(false) };
        Ok(*saved == StepRunner::fingerprint_of(program)?.to_string())
    }

    fn file(&self, name: &str) -> Option<&SavedFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// A parameter in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedParameter {
    /// Name.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// What the optimizer remembers of it.
    pub state: Vec<SavedState>,
}

impl SavedParameter {
    pub(crate) fn of(entry: &ParameterEntry, state: &[StateTensor]) -> Self {
        let saved = |tensor: &StateTensor| SavedState {
            name: tensor.name.to_owned(),
            shape: tensor.shape.clone(),
            dtype: tensor.start.dtype().to_owned(),
        };
        Self { name: entry.name.clone(), shape: entry.shape.clone(), state: state.iter().map(saved).collect() }
    }
}

/// A state tensor of a parameter in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedState {
    /// Name, as the optimizer's rule has it.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Type of the elements: `float32` or `uint8`.
    #[serde(default = "floats", skip_serializing_if = "is_floats")]
    pub dtype: String,
}

fn floats() -> String {
    FLOATS.to_owned()
}

fn is_floats(dtype: &String) -> bool {
    dtype == FLOATS
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFile {
    /// Name within the folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// The name of a state tensor in `state.safetensors`.
fn state_name(parameter: &str, state: &str) -> String {
    format!("{parameter}::{state}")
}

fn step_folder(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step}"))
}
