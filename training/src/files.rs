//! Files that are whole or not there: written under another name, synced, renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Writes a file and waits until it is on the disk.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the names in a folder are on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Makes a folder and those above it that are missing, each on the disk before the next.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
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
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(parent)?;
    let temporary = parent.join(format!(".{}.tmp-{}", name.to_string_lossy(), std::process::id()));
    write_synced(&temporary, bytes)?;
    fs::rename(&temporary, path)?;
    sync_folder(parent)
}

/// SHA-256 of a file, read piece by piece.
pub(crate) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
