use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use millstream_schemas::{FileLock, LockAttempt};

/// How often a folder is made that others take away at the same moment.
const MOST_TRIES: usize = 100;

/// A folder that no other process writes in as long as this lives.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    pub(crate) lock: Option<FileLock>,
    /// Folders that were made for it, from the outermost.
    pub(crate) made: Vec<PathBuf>,
}

impl LockedFolder {
    /// Makes a folder and those above it that are missing, and tries to take the lock in it.
    ///
    /// # Errors
    /// What the system says; folders that were made are gone then.
    pub(crate) fn attempt(folder: &Path, lock_file: &Path) -> io::Result<(Self, LockAttempt)> {
        let mut tries = 0;
        loop {
            let mut locked = Self { lock: None, made: Vec::new() };
            match locked.make(folder).and_then(|()| FileLock::try_take(lock_file)) {
                Ok(attempt) => return Ok((locked, attempt)),
                // a run beside it that could not begin has just taken away an empty folder that both have in common
                Err(error)
                    if tries < MOST_TRIES && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        while let Some(folder) = missing.pop() {
            fs::create_dir(folder).or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })?;
            self.made.push(folder.to_owned());
        }
        Ok(())
    }

    /// What is to be said when the file system cannot keep others out.
    pub(crate) fn warning(&self) -> Option<String> {
        let reason = self.lock.as_ref()?.is_advisory_only()?;
        Some(format!(
            "the file system of the output folder has no locks ({reason}): only a run of this machine is kept from writing \
             there at the same time"
        ))
    }
}

impl Drop for LockedFolder {
    fn drop(&mut self) {
        self.lock = None;
        // A run that could not begin leaves no empty folders behind; one that did has files in them.
        while let Some(folder) = self.made.pop() {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_does_not_miss_the_folder_that_one_beside_it_that_could_not_begin_takes_away() {
        let place = tempfile::tempdir().unwrap();
        let trials = place.path().join("trials");
        std::thread::scope(|scope| {
            for name in ["0000", "0001"] {
                let folder = trials.join(name);
                scope.spawn(move || {
                    for round in 0..300 {
                        let attempt = LockedFolder::attempt(&folder, &folder.join(".lock"));
                        let (locked, attempt) = attempt.unwrap_or_else(|error| panic!("{name}, {round}: {error}"));
                        assert!(matches!(attempt, LockAttempt::Taken(_)), "{name}, {round}");
                        // with nothing in it
                        drop(attempt);
                        drop(locked);
                    }
                });
            }
        });
    }

    #[test]
    fn what_is_no_folder_is_told_at_once() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "text").unwrap();
        assert!(LockedFolder::attempt(&file.join("run"), &file.join("run/.lock")).is_err());
    }
}
