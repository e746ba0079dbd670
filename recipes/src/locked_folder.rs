use std::fs;
use std::path::PathBuf;

use millstream_schemas::FileLock;

/// A folder that no other process writes in as long as this lives.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    pub(crate) lock: Option<FileLock>,
    /// Folders that were made for it, from the outermost.
    pub(crate) made: Vec<PathBuf>,
}

impl LockedFolder {
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
