use std::path::Path;

use super::source_files::{NamedFile, ReadSeek, SourceFiles};
use crate::{RecipeError, Stop};

/// The files in an archive, read as an import reads them.
#[derive(Debug)]
pub(crate) struct ArchiveMembers {
    files: SourceFiles,
    /// What is in it and cannot be read.
    pub(crate) left_out: usize,
}

impl ArchiveMembers {
    /// Lists them, or some where it is stopped. What can be gone through only unpacked is so among the system's temporary files, until this is dropped.
    ///
    /// # Errors
    /// It cannot be read, or is packed by what is not read.
    pub(crate) fn open(path: &Path, stop: &Stop) -> Result<Self, RecipeError> {
        let mut files = SourceFiles::open_beside_no_result(&[path.to_owned()], stop)?;
        let left_out = std::mem::take(&mut files.left_out).len();
        Ok(Self { files, left_out })
    }

    /// Their names, by which they are sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.files.files().iter().map(|file| file.name.as_str())
    }

    /// The bytes of the file at a place among the names.
    ///
    /// # Errors
    /// It cannot be read, or is too large; in words.
    pub(crate) fn read(&self, place: u32) -> Result<Vec<u8>, String> {
        self.files.read(&NamedFile::Listed(place))
    }

    /// The file at a place among the names, to be gone through.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn seekable(&self, place: u32) -> Result<Box<dyn ReadSeek>, RecipeError> {
        self.files.seekable(place)
    }

    /// The bytes of the file that a table names, whose paths count from the folder that it lies in itself.
    ///
    /// # Errors
    /// There is none, or as [`Self::read`]; in words.
    pub(crate) fn read_named(&self, table: u32, path: &str) -> Result<Vec<u8>, String> {
        let table = self.files.files().get(table as usize).map_or("", |file| file.name.as_str());
        self.files.read(&self.files.named(table, path)?)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn an_archive_that_is_unpacked_can_be_stopped() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("rows.tar.gz");
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        tar.append_data(&mut header, "a.png", &b"x"[..]).unwrap();
        std::fs::write(&path, tar.into_inner().unwrap().finish().unwrap()).unwrap();
        let stop = Stop::default();
        let members = ArchiveMembers::open(&path, &stop).unwrap();
        assert_eq!(members.names().collect::<Vec<_>>(), ["a.png"]);
        assert_eq!(members.read(0).unwrap(), b"x");
        stop.request();
        assert_eq!(ArchiveMembers::open(&path, &stop).unwrap().names().count(), 0);
    }
}
