//! Files that are whole or not there: written under another name, synced, renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::file_lock::is_alive;

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
        let temporary = parent.join(format!("{}{}", temporary_prefix(&name.to_string_lossy()), std::process::id()));
        let file = File::create(&temporary)?;
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
            let process = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u32>().ok());
            if process.is_some_and(|id| id == std::process::id() || !is_alive(id)) {
                fs::remove_file(entry.path()).map_err(|error| (entry.path(), error))?;
            }
        }
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name under which a file is written starts so; the number of the process follows.
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
