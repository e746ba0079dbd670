//! Which file lies at a path, as cheaply as it can be told: whether what was read from there may be another now.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

/// Size, time of the last change and identity of a file. Two that are equal are of the same bytes, unless somebody sets the time back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Device and number of the file, where the system tells them.
    identity: Option<(u64, u64)>,
}

impl FileState {
    /// Of what lies there now; none where nothing can be seen there.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { bytes: metadata.len(), modified: metadata.modified().ok(), identity: identity(&metadata) })
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_of_the_same_size_in_place_of_another_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("rows"), folder.path().join("other"));
        assert_eq!(FileState::of(&path), None);
        fs::write(&path, "one").unwrap();
        let then = FileState::of(&path);
        assert!(then.is_some() && FileState::of(&path) == then);
        fs::write(&other, "two").unwrap();
        // renamed over it, with the time of the first
        let file = fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(fs::metadata(&path).unwrap().modified().unwrap()).unwrap();
        drop(file);
        if cfg!(unix) {
            fs::rename(&other, &path).unwrap();
            assert_ne!(FileState::of(&path), then);
        }
        // written in place, later
        let then = FileState::of(&path);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
        drop(file);
        assert_ne!(FileState::of(&path), then);
    }
}
