use std::fs;
use std::path::{Path, PathBuf};

use super::{
    BEST, CheckpointManifest, MANIFEST, MANIFEST_HASH, STATE, SavedFile, WEIGHTS, folder, state_name, step_folder,
    tensors,
};
use crate::session::OptimizerState;
use crate::{TrainingError, files};

/// What is saved. `manifest.files` is filled in here.
pub(crate) struct Snapshot<'a> {
    pub(crate) manifest: CheckpointManifest,
    pub(crate) parameters: &'a [Vec<f32>],
    pub(crate) state: &'a OptimizerState,
    pub(crate) best: Option<&'a [Vec<f32>]>,
}

/// Saves a checkpoint as `step-N` and then deletes the oldest beyond `keep`; returns its folder.
pub(crate) fn save(folder: &Path, mut snapshot: Snapshot<'_>, keep: usize) -> Result<PathBuf, TrainingError> {
    fs::create_dir_all(folder).map_err(TrainingError::io("create", folder))?;
    folder::tidy(folder)?;
    let step = snapshot.manifest.step;
    let (place, temporary) = (step_folder(folder, step), folder::temporary(folder, step));
    write(&temporary, &mut snapshot)?;

    let replaced = folder::replaced(folder, step);
    if place.exists() {
        fs::rename(&place, &replaced).map_err(TrainingError::io("rename", &place))?;
    }
    fs::rename(&temporary, &place).map_err(TrainingError::io("rename", &temporary))?;
    files::sync_folder(folder).map_err(TrainingError::io("sync", folder))?;

    // From here on the new one is durable, whatever happens.
    if replaced.exists() {
        fs::remove_dir_all(&replaced).map_err(TrainingError::io("delete", &replaced))?;
    }
    for (_, old) in folder::list(folder)?.into_iter().filter(|(other, _)| *other != step).skip(keep.max(1) - 1) {
        fs::remove_dir_all(&old).map_err(TrainingError::io("delete", &old))?;
    }
    Ok(place)
}

fn write(folder: &Path, snapshot: &mut Snapshot<'_>) -> Result<(), TrainingError> {
    fs::create_dir(folder).map_err(TrainingError::io("create", folder))?;
    let manifest = &snapshot.manifest;
    let shapes = || manifest.parameters.iter().map(|parameter| (&parameter.name, parameter.shape.as_slice()));
    let of_parameters = |values: &[Vec<f32>]| -> Result<Vec<u8>, String> {
        let named = shapes().zip(values).map(|((name, shape), values)| (name.clone(), shape, values.as_slice()));
        tensors::write(&named.collect::<Vec<_>>())
    };
    let of_state = || -> Result<Vec<u8>, String> {
        let named = shapes().zip(&snapshot.state.tensors).flat_map(|((name, shape), state)| {
            let states = manifest.state_names.iter().zip(state);
            states.map(move |(state, values)| (state_name(name, state), shape, values.as_slice()))
        });
        tensors::write(&named.collect::<Vec<_>>())
    };
    let failed = |reason| TrainingError::Checkpoint { path: folder.to_owned(), reason };
    let mut contents =
        vec![(WEIGHTS, of_parameters(snapshot.parameters).map_err(failed)?), (STATE, of_state().map_err(failed)?)];
    if let Some(best) = snapshot.best {
        contents.push((BEST, of_parameters(best).map_err(failed)?));
    }
    let saved = |(name, bytes): &(&str, Vec<u8>)| SavedFile {
        name: (*name).to_owned(),
        bytes: bytes.len() as u64,
        sha256: files::sha256(bytes),
    };
    snapshot.manifest.files = contents.iter().map(saved).collect();
    let text = serde_json::to_vec_pretty(&snapshot.manifest).expect("our own types have string keys");
    contents.push((MANIFEST_HASH, files::sha256(&text).into_bytes()));
    contents.push((MANIFEST, text));
    for (name, bytes) in &contents {
        let path = folder.join(name);
        files::write_synced(&path, bytes).map_err(TrainingError::io("write", &path))?;
    }
    files::sync_folder(folder).map_err(TrainingError::io("sync", folder))
}
