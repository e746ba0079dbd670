use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use millstream_schemas::Fingerprint;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::file_names::{
    BEST, EXPORTED, HISTORY, LARGEST_MANIFEST, LAST, MANIFEST, MANIFEST_HASH, STATE, WEIGHTS, kept_name,
};
use super::{Checkpoint, CheckpointFault, CheckpointManifest, folder, state_name, tensors};
use crate::TrainingError;
use crate::session::OptimizerState;

/// The newest whole checkpoint, and the newer ones that are not whole.
#[derive(Debug)]
pub struct Newest {
    /// The checkpoint; none when no whole one is there.
    pub checkpoint: Option<Checkpoint>,
    /// What was passed over, newest first.
    pub skipped: Vec<Skipped>,
}

/// A checkpoint that was passed over.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// Its folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Loads the newest whole checkpoint of a folder.
///
/// # Errors
/// The folder cannot be read. Checkpoints that are not whole are no error: they are listed in the result.
pub fn load_newest(folder: &Path) -> Result<Newest, TrainingError> {
    folder::tidy(folder)?;
    let mut skipped = Vec::new();
    for (_, path) in folder::list(folder)? {
        match load(&path) {
            Ok(checkpoint) => return Ok(Newest { checkpoint: Some(checkpoint), skipped }),
            Err(error) => {
                let reason = match error {
                    TrainingError::Checkpoint { fault, .. } => fault.to_string(),
                    other => other.to_string(),
                };
                skipped.push(Skipped { path, reason });
            }
        }
    }
    Ok(Newest { checkpoint: None, skipped })
}

/// Loads one checkpoint and verifies all of it.
///
/// # Errors
/// A file is missing, has another size or another hash, or does not hold what the manifest says.
pub fn load(path: &Path) -> Result<Checkpoint, TrainingError> {
    let broken = |fault| TrainingError::Checkpoint { path: path.to_owned(), fault };
    let manifest = read_manifest(path).map_err(broken)?;
    let shapes: Vec<(String, &[usize])> =
        manifest.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.shape.as_slice())).collect();
    let read = |name: &str, wanted: &[(String, &[usize])]| {
        let bytes = read_file(path, &manifest, name)?;
        tensors::read(&bytes, wanted).map_err(|fault| CheckpointFault::Tensors { file: name.to_owned(), fault })
    };
    let parameters = read(WEIGHTS, &shapes).map_err(broken)?;
    let of_state = manifest.parameters.iter().flat_map(|parameter| {
        let of_parameter = parameter.state.iter();
        of_parameter
            .map(|state| (state_name(&parameter.name, &state.name), state.shape.as_slice(), state.dtype.as_str()))
    });
    let of_state: Vec<_> = of_state.collect();
    let state = read_file(path, &manifest, STATE).map_err(broken)?;
    let flat = tensors::read_state(&state, &of_state)
        .map_err(|fault| broken(CheckpointFault::Tensors { file: STATE.to_owned(), fault }))?;
    drop(state);
    let mut flat = flat.into_iter();
    let counts = manifest.parameters.iter().map(|parameter| parameter.state.len());
    let tensors = counts.map(|count| flat.by_ref().take(count).collect()).collect();
    let best = match (manifest.file(BEST), &manifest.history.best) {
        (Some(_), _) => Some(read(BEST, &shapes).map_err(broken)?),
        (None, Some(_)) => Some(parameters.clone()),
        (None, None) => None,
    };
    let kept = (0..manifest.kept.len()).map(|index| read(&kept_name(index), &shapes));
    let kept = kept.collect::<Result<_, _>>().map_err(broken)?;
    let written = |name: &str| manifest.file(name).map(|_| read(name, &shapes)).transpose();
    let [exported, last] = [written(EXPORTED), written(LAST)];
    let (exported, last) = (exported.map_err(broken)?, last.map_err(broken)?);
    let state = OptimizerState {
        updates: manifest.updates,
        cohorts: manifest.cohorts.clone(),
        averaged: manifest.averaged.unwrap_or(0),
        tensors,
        loss_scale: manifest.history.loss_scale,
    };
    Ok(Checkpoint { path: path.to_owned(), parameters, state, best, kept, exported, last, manifest })
}

/// What a manifest of any version says of itself.
#[derive(Deserialize)]
struct Outline {
    version: Option<serde_json::Value>,
    history: Option<IgnoredAny>,
}

/// With the history, which older builds wrote into it.
fn read_manifest(folder: &Path) -> Result<CheckpointManifest, CheckpointFault> {
    let read = |name: &str| -> Result<Vec<u8>, CheckpointFault> {
        let mut bytes = Vec::new();
        let file = File::open(folder.join(name)).map_err(unreadable(name))?;
        let most = LARGEST_MANIFEST as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(unreadable(name))?;
        if bytes.len() > LARGEST_MANIFEST {
            return Err(CheckpointFault::TooLong { file: name.to_owned() });
        }
        Ok(bytes)
    };
    let (text, hash) = (read(MANIFEST)?, read(MANIFEST_HASH)?);
    if Fingerprint::of_bytes(&text).0.as_bytes() != hash {
        return Err(CheckpointFault::ManifestChanged);
    }
    let outline: Outline = serde_json::from_slice(&text).map_err(CheckpointFault::Manifest)?;
    let got = outline.version.as_ref().and_then(serde_json::Value::as_u64);
    let (oldest, wanted) = (CheckpointManifest::OLDEST, CheckpointManifest::VERSION);
    if got.is_none_or(|version| version < u64::from(oldest) || version > u64::from(wanted)) {
        return Err(CheckpointFault::Version { wanted, oldest, got });
    }
    let mut manifest: CheckpointManifest = serde_json::from_slice(&text).map_err(CheckpointFault::Manifest)?;
    if outline.history.is_none() {
        let text = read_file(folder, &manifest, HISTORY)?;
        manifest.history = serde_json::from_slice(&text).map_err(CheckpointFault::History)?;
    }
    Ok(manifest)
}

fn read_file(folder: &Path, manifest: &CheckpointManifest, name: &str) -> Result<Vec<u8>, CheckpointFault> {
    let saved = manifest.file(name).ok_or_else(|| CheckpointFault::NotListed { file: name.to_owned() })?;
    let path = folder.join(name);
    let size = fs::metadata(&path).map_err(unreadable(name))?.len();
    if size != saved.bytes {
        return Err(CheckpointFault::Size { file: name.to_owned(), wanted: saved.bytes, got: size });
    }
    let bytes = fs::read(&path).map_err(unreadable(name))?;
    let got = Fingerprint::of_bytes(&bytes).0;
    if got != saved.sha256 {
        return Err(CheckpointFault::Hash { file: name.to_owned(), wanted: saved.sha256.clone(), got });
    }
    Ok(bytes)
}

fn unreadable(file: &str) -> impl FnOnce(std::io::Error) -> CheckpointFault {
    let file = file.to_owned();
    move |reason| CheckpointFault::Read { file, reason }
}
