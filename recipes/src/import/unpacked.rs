use std::collections::HashMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use millstream_schemas::files::{create_temporary, is_left_behind};

use crate::folder_files::LARGEST_FILE;
use crate::temporary_folder::TemporaryFolder;

/// What the names of unpacked files begin with.
const PREFIX: &str = ".unpacked-";

/// An archive, and where in it something begins.
type Packed = (Arc<Path>, u64);

/// Files that can only be gone through unpacked: they lie in the folder of the result, by a hidden name, or in one among the system's temporary files, until
/// this is dropped.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// None where there is no result beside which they could lie.
    folder: Option<PathBuf>,
    /// Whether the folder was not there before.
    made_folder: bool,
    known: Mutex<Known>,
}

/// What was unpacked.
#[derive(Debug, Default)]
struct Known {
    files: HashMap<Packed, PathBuf>,
    /// Bytes, by archive.
    sizes: HashMap<Arc<Path>, u64>,
    /// Whether anything was, be it in vain.
    tried: bool,
    /// Made with the first where they lie beside no result.
    temporary: Option<TemporaryFolder>,
}

impl Unpacked {
    /// Into the folder of the result, from which goes what imports that were killed have left there.
    pub(super) fn into_folder(folder: &Path) -> Self {
        sweep(folder);
        Self { folder: Some(folder.to_owned()), made_folder: !folder.exists(), known: Mutex::default() }
    }

    /// Into a folder of their own, which is made when there is something to lie in it.
    pub(super) fn among_temporary_files() -> Self {
        Self::default()
    }

    /// The file with what was packed there, which `write` writes when it is first asked for.
    ///
    /// # Errors
    /// What `write` says, and the system; and the archive becomes larger in all than any data do.
    pub(super) fn once(
        &self,
        packed: Packed,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let mut known = self.known.lock().expect("no thread panics while it holds this");
        if let Some(path) = known.files.get(&packed) {
            return Ok(path.clone());
        }
        let length = packed.0.metadata()?.len();
        let before = known.sizes.get(&packed.0).copied().unwrap_or(0);
        let folder = match &self.folder {
            Some(folder) => {
                fs::create_dir_all(folder)?;
                folder.clone()
            }
            None => known.temporary()?.to_owned(),
        };
        known.tried = true;
        let (file, path) = create_temporary(&folder, PREFIX)?;
        let mut file = Bounded { to: BufWriter::new(file), length, size: before };
        let written = write(&mut file).and_then(|()| file.flush());
        let size = file.size;
        // closed before it is deleted
        drop(file);
        match written {
            Ok(()) => {
                known.sizes.insert(Arc::clone(&packed.0), size);
                known.files.insert(packed, path.clone());
                Ok(path)
            }
            Err(error) => {
                fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }
}

/// What cannot be taken away is in nobody's way.
fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(is_left_behind) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

impl Known {
    fn temporary(&mut self) -> io::Result<&Path> {
        if self.temporary.is_none() {
            self.temporary = Some(TemporaryFolder::make()?);
        }
        Ok(self.temporary.as_ref().expect("it was made if it was not there").path())
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let known = std::mem::take(&mut *self.known.lock().expect("no thread panics while it holds this"));
        for path in known.files.into_values() {
            fs::remove_file(path).ok();
        }
        if let Some(folder) = self.folder.as_ref().filter(|_| known.tried && self.made_folder) {
            // only one that nothing else was written into goes
            fs::remove_dir(folder).ok();
        }
    }
}

/// Bytes that so many may become, at most: what is more is no data, and fills the disk.
pub(super) fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(200).saturating_add(LARGEST_FILE)
}

/// A file that takes no more than what all of an archive may become.
struct Bounded<W> {
    to: W,
    /// Of the archive.
    length: u64,
    /// Of all that was unpacked of it.
    size: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = most_unpacked(self.length);
        if self.size.saturating_add(bytes.len() as u64) > most {
            let message = format!("its {} bytes become more than {most}, which no data do", self.length);
            return Err(io::Error::other(message));
        }
        let written = self.to.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_an_archive_may_not_fill_the_disk_together() {
        let length = 1 << 10;
        let mut size = 0;
        // each alone is within what the archive may become
        let share = most_unpacked(length) / 3;
        for (member, fits) in [true, true, true, false].into_iter().enumerate() {
            let mut file = Bounded { to: io::sink(), length, size };
            let copied = io::copy(&mut io::Read::take(io::repeat(0), share), &mut file);
            assert_eq!(copied.is_ok(), fits, "member {member}: {copied:?}");
            size = file.size;
        }
        assert!(size <= most_unpacked(length));
    }

    #[test]
    fn what_could_not_be_unpacked_is_tried_again_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let archive: Arc<Path> = place.path().join("a.zip").into();
        fs::write(&archive, "packed").unwrap();
        let folder = place.path().join("result");
        let unpacked = Unpacked::into_folder(&folder);
        let once = |text: &'static str, fails: bool| {
            unpacked.once((Arc::clone(&archive), 7), |to| {
                to.write_all(text.as_bytes())?;
                if fails { Err(io::Error::other("no place")) } else { Ok(()) }
            })
        };
        assert_eq!(once("half", true).unwrap_err().to_string(), "no place");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        let path = once("whole", false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(once("other", false).unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        drop(unpacked);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_killed_import_left_unpacked_goes_and_what_another_unpacks_stays() {
        let place = tempfile::tempdir().unwrap();
        let archive: Arc<Path> = place.path().join("a.zip").into();
        fs::write(&archive, "packed").unwrap();
        let folder = place.path().join("result");
        fs::create_dir(&folder).unwrap();
        // a process number that no process has, and a file of somebody else
        for name in [".unpacked-4294967295-0a1b2c3d-0", ".unpacked-by-hand"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        let once = |unpacked: &Unpacked, text: &'static str| {
            unpacked.once((Arc::clone(&archive), 0), |to| to.write_all(text.as_bytes())).unwrap()
        };
        let first = Unpacked::into_folder(&folder);
        let path = once(&first, "first");
        assert!(!folder.join(".unpacked-4294967295-0a1b2c3d-0").exists() && folder.join(".unpacked-by-hand").exists());
        // a second import into the same folder
        let second = Unpacked::into_folder(&folder);
        assert_ne!(once(&second, "second"), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        drop(second);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        drop(first);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn beside_no_result_a_new_folder_is_made_when_something_is_unpacked() {
        let place = tempfile::tempdir().unwrap();
        let archive: Arc<Path> = place.path().join("a.tar.gz").into();
        fs::write(&archive, "packed").unwrap();
        let all = [Unpacked::among_temporary_files(), Unpacked::among_temporary_files()];
        assert!(all.iter().all(|unpacked| unpacked.known.lock().unwrap().temporary.is_none()));
        let paths = all.each_ref().map(|unpacked| {
            let once = |start| unpacked.once((Arc::clone(&archive), start), |to| to.write_all(b"x")).unwrap();
            assert_eq!(once(0).parent(), once(1).parent());
            once(0)
        });
        assert_ne!(paths[0].parent(), paths[1].parent());
        drop(all);
        assert!(paths.iter().all(|path| !path.parent().unwrap().exists()));
    }

    #[test]
    fn a_folder_stays_if_it_was_there_before() {
        let place = tempfile::tempdir().unwrap();
        let archive: Arc<Path> = place.path().join("a.zip").into();
        fs::write(&archive, "packed").unwrap();
        let unpacked = Unpacked::into_folder(place.path());
        unpacked.once((archive, 0), |to| to.write_all(b"x")).unwrap();
        drop(unpacked);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
