use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

/// Folders that are there already and are passed over, before it is said that none can be made.
const MOST_TAKEN: usize = 10_000;

/// A new folder among the system's temporary files that no other account can read or write, deleted with all that is in it.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// # Errors
    /// It cannot be made.
    pub(crate) fn make() -> io::Result<Self> {
        Self::make_in(&std::env::temp_dir())
    }

    fn make_in(place: &Path) -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        for _ in 0..MOST_TAKEN {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let folder = place.join(format!("millstream-{}-{number}", std::process::id()));
            match create(&folder) {
                Ok(()) => return Ok(Self(folder)),
                // another process', or somebody's who waits for what is written there
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be deleted lies where the system clears up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn create(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_that_is_there_is_taken_and_the_own_goes_with_its_files() {
        let place = tempfile::tempdir().unwrap();
        let made = TemporaryFolder::make_in(place.path()).unwrap();
        let name = made.path().file_name().unwrap().to_str().unwrap().to_owned();
        let (front, number) = name.rsplit_once('-').unwrap();
        let number: u64 = number.parse().unwrap();
        // names that can be guessed, with a file of somebody else
        for next in 1..200 {
            let folder = place.path().join(format!("{front}-{}", number + next));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("theirs"), "x").unwrap();
        }
        let other = TemporaryFolder::make_in(place.path()).unwrap();
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(other.path()).unwrap().permissions().mode() & 0o777, 0o700);
        }
        fs::write(other.path().join("own"), "x").unwrap();
        drop((made, other));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 199);
    }
}
