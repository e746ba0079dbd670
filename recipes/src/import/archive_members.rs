use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::source_files::{NamedFile, SourceFiles};
use crate::{RecipeError, Stop};

/// The files in an archive, read as an import reads them.
#[derive(Debug)]
pub(crate) struct ArchiveMembers {
    files: SourceFiles,
    /// What is in it and cannot be read.
    pub(crate) left_out: usize,
}

/// Archives that were opened by this process, so that none is unpacked into the folder of another.
static OPENED: AtomicU64 = AtomicU64::new(0);

impl ArchiveMembers {
    /// Lists them. What can be gone through only unpacked is so among the system's temporary files, until this is dropped.
    ///
    /// # Errors
    /// It cannot be read, or is packed by what is not read.
    pub(crate) fn open(path: &Path) -> Result<Self, RecipeError> {
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let folder: PathBuf = std::env::temp_dir().join(format!("millstream-{}-{number}", process::id()));
        let mut files = SourceFiles::open(&[path.to_owned()], &folder, &Stop::default())?;
        let left_out = std::mem::take(&mut files.left_out).len();
        Ok(Self { files, left_out })
    }

    /// Their names, by which they are sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.files().iter().map(|file| file.name.as_str())
    }

    /// The bytes of the file at a place among the names.
    ///
    /// # Errors
    /// It cannot be read, or is too large; in words.
    pub(crate) fn read(&self, place: u32) -> Result<Vec<u8>, String> {
        self.files.read(&NamedFile::Listed(place))
    }
}
