use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// An archive, and where in it something begins.
type Packed = (Arc<Path>, u64);

/// Files that can only be gone through unpacked: they lie in the folder of the result, by a hidden name, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    folder: PathBuf,
    /// Whether the folder was there before.
    made_folder: bool,
    files: Mutex<HashMap<Packed, PathBuf>>,
}

impl Unpacked {
    pub(super) fn into_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), made_folder: !folder.exists(), files: Mutex::default() }
    }

    /// The file with what was packed there, which `write` writes when it is first asked for.
    ///
    /// # Errors
    /// What `write` says, and the system.
    pub(super) fn once(
        &self,
        packed: Packed,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let mut files = self.files.lock().expect("no thread panics while it holds this");
        if let Some(path) = files.get(&packed) {
            return Ok(path.clone());
        }
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!(".unpacked-{}", files.len()));
        let mut file = BufWriter::new(File::create(&path)?);
        // it is deleted in the end even if it is not whole
        files.insert(packed.clone(), path.clone());
        match write(&mut file).and_then(|()| file.flush()) {
            Ok(()) => Ok(path),
            Err(error) => {
                fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let files = std::mem::take(&mut *self.files.lock().expect("no thread panics while it holds this"));
        let unpacked_any = !files.is_empty();
        for path in files.into_values() {
            fs::remove_file(path).ok();
        }
        if unpacked_any && self.made_folder {
            // only one that nothing else was written into goes
            fs::remove_dir(&self.folder).ok();
        }
    }
}
