//! Files that are whole or not there: written under another name, synced, renamed.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::file_lock::may_be_alive;

/// Writes a file and waits until it is on the disk.
///
/// # Errors
/// What the system says.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the names in a folder are on the disk.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Makes a folder and those above it that are missing, each on the disk before the next.
///
/// # Errors
/// What the system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    create_folder(parent)?;
    match fs::create_dir(path) {
        // Somebody else may have made it meanwhile.
        Err(_) if path.is_dir() => {}
        made => made?,
    }
    sync_folder(parent)
}

/// Writes a file so that a reader sees the old one or the new one, never a part.
///
/// # Errors
/// What the system says.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file_by(path, |file| file.write_all(bytes))
}

/// As [`replace_file`], for a file that is written piece by piece.
///
/// # Errors
/// What the system says, and what `write` does.
pub fn replace_file_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = NewFile::create(path)?;
    write(&mut file)?;
    file.commit()
}

/// A file that is written under another name, and takes its own when it is whole. Dropped before that, nothing of it stays.
#[derive(Debug)]
pub struct NewFile {
    /// None once it is whole.
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file; folders above it that are missing are made.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
        let parent = parent(path);
        create_folder(parent)?;
        let (file, temporary) = create_temporary(parent, &temporary_prefix(&name.to_string_lossy()))?;
        Ok(Self { file: Some(BufWriter::with_capacity(1 << 16, file)), temporary, path: path.to_owned() })
    }

    /// Waits until it is on the disk, and lets it take the place of what has its name.
    ///
    /// # Errors
    /// What the system says; the old file stays then.
    pub fn commit(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            let renamed = file
                .into_inner()
                .map_err(IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&self.temporary, &self.path));
            renamed.inspect_err(|_| {
                let _ = fs::remove_file(&self.temporary);
            })?;
        }
        sync_folder(parent(&self.path))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or_else(|| Err(io::Error::other("the file is whole")), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Deletes what processes that died left behind when they were about to replace these files.
///
/// # Errors
/// What the system says of the first that cannot be deleted, with its path.
pub fn sweep(paths: &[PathBuf]) -> Result<(), (PathBuf, io::Error)> {
    for path in paths {
        let prefix = temporary_prefix(&path.file_name().unwrap_or_default().to_string_lossy());
        let Ok(entries) = fs::read_dir(parent(path)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if name.to_str().and_then(|name| name.strip_prefix(&prefix)).is_some_and(is_left_behind) {
                fs::remove_file(entry.path()).map_err(|error| (entry.path(), error))?;
            }
        }
    }
    Ok(())
}

/// Names that are tried, before it is said that none is free.
const MOST_NAMES: usize = 1000;

/// Letters that tell this process from all others, of other machines and containers that number their processes alike too.
static OURS: LazyLock<String> = LazyLock::new(|| {
    let mixed = RandomState::new().hash_one(std::process::id());
    format!("{:08x}", mixed as u32)
});

/// A new file in a folder, whose name starts so: the number of the process follows, letters that no other process has, and a number that
/// no other file of this one has.
///
/// # Errors
/// What the system says.
pub fn create_temporary(folder: &Path, prefix: &str) -> io::Result<(File, PathBuf)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    for _ in 0..MOST_NAMES {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{prefix}{process}-{}-{number}", *OURS));
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok((made?, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Refuses a folder in which nothing can be made, without leaving anything there.
///
/// # Errors
/// What the system says.
pub fn require_writable(folder: &Path) -> io::Result<()> {
    let (_, path) = create_temporary(folder, ".writable-")?;
    fs::remove_file(path)
}

/// Whether a file was left behind, of which this is what follows the prefix that [`create_temporary`] was given: its process has died,
/// or was another one of the same number. Earlier builds wrote the number of the process alone.
pub fn is_left_behind(rest: &str) -> bool {
    let parts: Vec<&str> = rest.split('-').collect();
    let (process, letters) = match parts.as_slice() {
        [process] => (*process, None),
        [process, letters, number] if number.parse::<u64>().is_ok() => (*process, Some(*letters)),
        _ => return false,
    };
    let Ok(process) = process.parse::<u32>() else { return false };
    match process == std::process::id() {
        // what is still ours is being written
        true => letters != Some(OURS.as_str()),
        false => !may_be_alive(process),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name under which a file is written starts so.
fn temporary_prefix(name: &str) -> String {
    format!(".{name}.tmp-")
}

/// SHA-256 of a file, read piece by piece.
///
/// # Errors
/// What the system says.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn two_parts_of_a_process_that_write_one_file_do_not_write_into_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let mut writers = [NewFile::create(&path).unwrap(), NewFile::create(&path).unwrap()];
        for (at, writer) in writers.iter_mut().enumerate() {
            write!(writer, "written by {at}").unwrap();
        }
        assert_eq!(names(folder.path()).len(), 2);
        // what is being written is swept by nobody
        sweep(std::slice::from_ref(&path)).unwrap();
        let [first, second] = writers;
        second.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "written by 1");
        first.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "written by 0");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn many_who_look_at_once_whether_a_folder_can_be_written_find_that_it_can() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| require_writable(folder.path()).unwrap()));
            }
        });
        assert!(names(folder.path()).is_empty());
        assert!(require_writable(&folder.path().join("gone")).is_err());
    }

    #[test]
    fn a_file_that_another_process_of_the_same_number_writes_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (_, path) = create_temporary(folder.path(), ".x-").unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (front, number) = name.rsplit_once('-').unwrap();
        // the names that come next
        for next in 1..20 {
            let taken = format!("{front}-{}", number.parse::<u64>().unwrap() + next);
            fs::write(folder.path().join(taken), "theirs").unwrap();
        }
        let (_, other) = create_temporary(folder.path(), ".x-").unwrap();
        assert_eq!(fs::read_to_string(other).unwrap(), "");
    }

    #[test]
    fn what_dead_processes_left_is_swept_however_it_is_called_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let us = std::process::id();
        // numbers that no process has, and ours as another process had it
        let left = [
            ".a.txt.tmp-4294967295".to_owned(),
            ".a.txt.tmp-4294967295-0a1b2c3d-7".into(),
            format!(".a.txt.tmp-{us}"),
            format!(".a.txt.tmp-{us}-other-0"),
        ];
        let kept = [
            ".a.txt.tmp-notes".to_owned(),
            ".a.txt.tmp-4294967295-notes".into(),
            ".b.txt.tmp-4294967295".into(),
            format!(".a.txt.tmp-{us}-{}-3", *OURS),
        ];
        left.iter().chain(&kept).for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        sweep(&[path]).unwrap();
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(names(folder.path()), kept);
    }
}
