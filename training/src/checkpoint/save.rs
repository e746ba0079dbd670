use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::Fingerprint;

use super::file_names::{BEST, LARGEST_MANIFEST, MANIFEST, MANIFEST_HASH, STATE, WEIGHTS};
use super::{CheckpointFault, CheckpointManifest, SavedFile, folder, state_name, step_folder, tensors};
use crate::TrainingError;
use crate::session::OptimizerState;
use millstream_schemas::files;

/// What is saved. `manifest.files` is filled in here.
pub(crate) struct Snapshot<'a> {
    pub(crate) manifest: CheckpointManifest,
    pub(crate) parameters: &'a [Vec<f32>],
    pub(crate) state: &'a OptimizerState,
    pub(crate) best: Option<&'a [Vec<f32>]>,
}

/// Saves a checkpoint as `step-N`; then deletes those of later steps, since a run that went back to an earlier one has no
/// future, and the oldest beyond `keep`. Returns its folder.
pub(crate) fn save(folder: &Path, mut snapshot: Snapshot<'_>, keep: usize) -> Result<PathBuf, TrainingError> {
    files::create_folder(folder).map_err(TrainingError::io("create", folder))?;
    folder::tidy(folder)?;
    let step = snapshot.manifest.step;
    let (place, temporary) = (step_folder(folder, step), folder::temporary(folder, step));
    write(&temporary, &mut snapshot).inspect_err(|_| {
        let _ = fs::remove_dir_all(&temporary);
    })?;

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
    let (later, earlier): (Vec<_>, Vec<_>) =
        folder::list(folder)?.into_iter().filter(|(other, _)| *other != step).partition(|(other, _)| *other > step);
    for (other, old) in later.into_iter().chain(earlier.into_iter().skip(keep.max(1) - 1)) {
        folder::delete(folder, other, &old)?;
    }
    Ok(place)
}

/// Writes the files one by one: a file's bytes are built, written and dropped before the next one's.
fn write(folder: &Path, snapshot: &mut Snapshot<'_>) -> Result<(), TrainingError> {
    fs::create_dir(folder).map_err(TrainingError::io("create", folder))?;
    let write_file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        files::write_synced(&path, bytes).map_err(TrainingError::io("write", path))
    };
    let failed = |fault| TrainingError::Checkpoint { path: folder.to_owned(), fault };
    let mut saved = Vec::new();
    let mut write_tensors = |name: &str, tensors: &[tensors::Named<'_>]| -> Result<(), TrainingError> {
        let bytes = tensors::write(tensors)
            .map_err(|fault| failed(CheckpointFault::Tensors { file: name.to_owned(), fault }))?;
        let sha256 = Fingerprint::of_bytes(&bytes).0;
        saved.push(SavedFile { name: name.to_owned(), bytes: bytes.len() as u64, sha256 });
        write_file(name, &bytes)
    };
    let manifest = &snapshot.manifest;
    write_tensors(WEIGHTS, &of_parameters(manifest, snapshot.parameters))?;
    write_tensors(STATE, &of_state(manifest, snapshot.state))?;
    if let Some(best) = snapshot.best.filter(|best| *best != snapshot.parameters) {
        write_tensors(BEST, &of_parameters(manifest, best))?;
    }
    snapshot.manifest.files = saved;
    let text = serde_json::to_vec(&snapshot.manifest).expect("our own types have string keys");
    if text.len() > LARGEST_MANIFEST {
        return Err(failed(CheckpointFault::WouldBeTooLong { bytes: text.len() }));
    }
    write_file(MANIFEST_HASH, Fingerprint::of_bytes(&text).0.as_bytes())?;
    write_file(MANIFEST, &text)?;
    files::sync_folder(folder).map_err(TrainingError::io("sync", folder))
}

fn of_parameters<'a>(manifest: &'a CheckpointManifest, values: &'a [Vec<f32>]) -> Vec<tensors::Named<'a>> {
    let named = manifest.parameters.iter().zip(values);
    named.map(|(parameter, values)| (parameter.name.clone(), &parameter.shape[..], &values[..])).collect()
}

fn of_state<'a>(manifest: &'a CheckpointManifest, state: &'a OptimizerState) -> Vec<tensors::Named<'a>> {
    let named = manifest.parameters.iter().zip(&state.tensors).flat_map(|(parameter, tensors)| {
        let of_parameter = parameter.state.iter().zip(tensors);
        of_parameter.map(|(state, values)| (state_name(&parameter.name, &state.name), &state.shape[..], &values[..]))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use millstream_schemas::ResumePoint;

    use super::*;
    use crate::record::History;

    #[test]
    fn a_manifest_that_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let resume = ResumePoint {
            version: ResumePoint::VERSION,
            seed: 0,
            epoch: 0,
            position: 0,
            dataset: Fingerprint::default(),
            recipe: Fingerprint::default(),
        };
        let manifest = |settings| CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step: 3,
            resume: resume.clone(),
            settings,
            updates: 3,
            cohorts: Vec::new(),
            evaluation_due: false,
            parameters: Vec::new(),
            files: Vec::new(),
            history: History::default(),
        };
        let state = OptimizerState::default();
        let save = |settings| {
            let snapshot = Snapshot { manifest: manifest(settings), parameters: &[], state: &state, best: None };
            save(folder.path(), snapshot, 2)
        };
        save(Vec::new()).unwrap();
        let huge = vec![("classes".to_owned(), "x".repeat(LARGEST_MANIFEST))];
        let message = save(huge).unwrap_err().to_string();
        assert!(message.contains("manifest.json would have 67"), "{message}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["step-3"]);
        crate::checkpoint::load(&folder.path().join("step-3")).unwrap();
    }
}
