use std::fs;
use std::path::{Path, PathBuf};

use crate::TrainingError;
use millstream_schemas::files;

/// The checkpoints in a folder as step and path, newest first; none when there is no such folder. They are not verified.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, TrainingError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TrainingError::io("read", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(TrainingError::io("read", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(step) = name.and_then(|name| name.strip_prefix("step-")).and_then(|step| step.parse::<u64>().ok())
            && path.is_dir()
        {
            found.push((step, path));
        }
    }
    found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    Ok(found)
}

/// Whether a folder holds checkpoints, once what a process that died left behind is cleared up.
pub(crate) fn any(folder: &Path) -> Result<bool, TrainingError> {
    tidy(folder)?;
    Ok(!list(folder)?.is_empty())
}

/// Deletes all checkpoints in a folder and leaves everything else alone.
///
/// # Errors
/// A checkpoint cannot be deleted.
pub fn clear(folder: &Path) -> Result<(), TrainingError> {
    tidy(folder)?;
    list(folder)?.into_iter().try_for_each(|(step, path)| delete(folder, step, &path))
}

/// Deletes a checkpoint so that whoever is interrupted leaves it whole or leaves what [`tidy`] clears up, never a part.
pub(super) fn delete(folder: &Path, step: u64, path: &Path) -> Result<(), TrainingError> {
    let temporary = temporary(folder, step);
    fs::rename(path, &temporary).map_err(TrainingError::io("delete", path))?;
    fs::remove_dir_all(&temporary).map_err(TrainingError::io("delete", path))
}

const TEMPORARY: &str = ".tmp-step-";
const REPLACED: &str = ".replaced-step-";

/// The name under which a checkpoint is written.
pub(super) fn temporary(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("{TEMPORARY}{step}"))
}

/// The name of one that another of the same step is about to replace.
pub(super) fn replaced(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("{REPLACED}{step}"))
}

/// Clears up what a process that died left behind: parts are deleted, and a checkpoint that was about to be replaced gets
/// its name back unless its successor is in place.
pub(super) fn tidy(folder: &Path) -> Result<(), TrainingError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.strip_prefix(TEMPORARY).is_some_and(is_number) {
            fs::remove_dir_all(&path).map_err(TrainingError::io("delete", &path))?;
        } else if let Some(step) = name.strip_prefix(REPLACED).filter(|step| is_number(step)) {
            let place = folder.join(format!("step-{step}"));
            if place.exists() {
                fs::remove_dir_all(&path).map_err(TrainingError::io("delete", &path))?;
            } else {
                fs::rename(&path, &place).map_err(TrainingError::io("rename", &path))?;
                files::sync_folder(folder).map_err(TrainingError::io("sync", folder))?;
            }
        }
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
