//! Which processes work on a study, so that the trials of one that has died are gone on with at once where that can be told.

use std::path::{Path, PathBuf};

use millstream_schemas::{FileLock, LockAttempt, files};

use super::study_folder::StudyFolder;
use crate::RecipeError;

/// A worker that others see, as long as this lives.
#[derive(Debug)]
pub(crate) struct Presence {
    _lock: Option<FileLock>,
    worker: String,
    machine: PathBuf,
}

/// Where a worker keeps what frozen parts of models give, where that does not fit into memory.
pub(crate) fn activations_of(folder: &StudyFolder, worker: &str) -> PathBuf {
    folder.workers().join(format!("{worker}.activations"))
}

/// The files of a worker: a lock that its process holds, and the machine that it runs on.
fn lock_of(folder: &StudyFolder, worker: &str) -> PathBuf {
    folder.workers().join(format!("{worker}.lock"))
}

fn machine_of(folder: &StudyFolder, worker: &str) -> PathBuf {
    folder.workers().join(format!("{worker}.machine"))
}

impl Presence {
    /// Lets a worker be seen.
    pub(crate) fn announce(folder: &StudyFolder, worker: &str) -> Result<Self, RecipeError> {
        let workers = folder.workers();
        files::create_folder(&workers).map_err(RecipeError::io("make", &workers))?;
        let path = lock_of(folder, worker);
        let lock = match FileLock::try_take(&path).map_err(RecipeError::io("write", &path))? {
            LockAttempt::Taken(lock) => Some(lock),
            LockAttempt::Busy(_) => None,
        };
        let machine = machine_of(folder, worker);
        std::fs::write(&machine, this_machine().unwrap_or_default()).map_err(RecipeError::io("write", &machine))?;
        Ok(Self { _lock: lock, worker: worker.to_owned(), machine })
    }

    /// Its name.
    pub(crate) fn worker(&self) -> &str {
        &self.worker
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // Nobody misses it.
        let _ = std::fs::remove_file(&self.machine);
    }
}

/// Whether a worker is known to be dead: it ran on this machine since it was started, and nobody holds its lock. Of one on another
/// machine only its silence tells.
pub(crate) fn is_dead(folder: &StudyFolder, worker: &str) -> bool {
    let Some(this) = this_machine() else { return false };
    let on_this = std::fs::read_to_string(machine_of(folder, worker)).is_ok_and(|machine| machine == this);
    on_this && matches!(FileLock::holder(&lock_of(folder, worker)), Ok(None))
}

/// The workers that are known to be dead.
pub(crate) fn dead(folder: &StudyFolder) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.workers()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let workers = names.filter_map(|name| name.strip_suffix(".machine").map(str::to_owned));
    workers.filter(|worker| is_dead(folder, worker)).collect()
}

/// Takes away what dead workers have left, whose trials were given up.
pub(crate) fn bury(folder: &StudyFolder, workers: &[String]) {
    for activations in workers.iter().map(|worker| activations_of(folder, worker)) {
        let _ = std::fs::remove_dir_all(activations);
    }
    for file in workers.iter().flat_map(|worker| [machine_of(folder, worker), lock_of(folder, worker)]) {
        // It may be gone: others bury too.
        let _ = std::fs::remove_file(file);
    }
}

/// What tells this machine, since it was started, from all others; Linux says it.
fn this_machine() -> Option<String> {
    let id = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_its_lock_lives_and_who_was_never_seen_may() {
        let folder = tempfile::tempdir().unwrap();
        let study = StudyFolder::new(folder.path());
        let alive = Presence::announce(&study, "a").unwrap();
        assert!(!is_dead(&study, "a") && !is_dead(&study, "b"));
        // As a process that is killed leaves it.
        std::fs::write(machine_of(&study, "c"), this_machine().unwrap_or_default()).unwrap();
        assert_eq!(is_dead(&study, "c"), this_machine().is_some());
        std::fs::write(machine_of(&study, "d"), "another machine").unwrap();
        assert!(!is_dead(&study, "d"));
        assert_eq!(dead(&study), if this_machine().is_some() { vec!["c".to_owned()] } else { Vec::new() });
        std::fs::create_dir(activations_of(&study, "c")).unwrap();
        bury(&study, &dead(&study));
        assert_eq!(activations_of(&study, "c").exists(), this_machine().is_none());
        assert!(dead(&study).is_empty() && !is_dead(&study, "a"));
        drop(alive);
    }
}
