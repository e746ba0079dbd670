use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Component, Path, PathBuf};

use millstream_schemas::shown_path;

use super::import_report::LeftOut;
use crate::RecipeError;
use crate::folder_files::{FolderFiles, read_file};

/// What tables are read through.
pub(super) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// A file of the source.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    /// What it is called: its path below the source, with `/`.
    pub(super) name: String,
    /// Where it lies.
    path: PathBuf,
}

/// A file that a table names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NamedFile {
    /// One of the source's.
    Listed(u32),
    /// One that lies beside a table which is itself the source, and what it is called.
    Beside(PathBuf, String),
}

/// The files of a source, by name.
#[derive(Debug, Default)]
pub(super) struct SourceFiles {
    files: Vec<SourceFile>,
    /// What is no file, or has no name that can be written.
    pub(super) left_out: Vec<LeftOut>,
    /// Folders of tables that are themselves sources, by the tables' names.
    beside: BTreeMap<String, PathBuf>,
}

impl SourceFiles {
    /// Finds the files of sources. Of several, names begin with those of the sources.
    ///
    /// # Errors
    /// One is not there or cannot be read, or two have one name.
    pub(super) fn open(sources: &[PathBuf]) -> Result<Self, RecipeError> {
        let mut all = Self::default();
        for source in sources {
            if !source.exists() {
                return Err(RecipeError::mismatch(shown_path(source), "there is no such file or folder"));
            }
            let whole = fs::canonicalize(source).map_err(RecipeError::io("read", source))?;
            let own = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if source.is_dir() {
                let front = if sources.len() > 1 { format!("{own}/") } else { String::new() };
                let found = FolderFiles::below(source)?;
                for (path, reason) in found.left_out {
                    let name = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().into_owned();
                    all.left_out.push(LeftOut { name: front.clone() + &name, reason });
                }
                for path in found.files {
                    all.add(path.strip_prefix(source).unwrap_or(&path), &path, &front);
                }
            } else {
                all.beside.insert(own.clone(), whole.parent().unwrap_or(Path::new("/")).to_owned());
                all.add(Path::new(&own), source, "");
            }
        }
        all.files.sort_by(|a, b| a.name.cmp(&b.name));
        match all.files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => {
                let message = format!("{} has the same name; import one of them by itself", shown_path(&pair[1].path));
                Err(RecipeError::mismatch(shown_path(&pair[0].path), message))
            }
            None => Ok(all),
        }
    }

    fn add(&mut self, below: &Path, path: &Path, front: &str) {
        let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
        match parts {
            Some(parts) => {
                let name = front.to_owned() + &parts.join("/");
                self.files.push(SourceFile { name, path: path.to_owned() });
            }
            None => {
                let name = front.to_owned() + &below.to_string_lossy();
                self.left_out.push(LeftOut { name, reason: "its name is no UTF-8".into() });
            }
        }
    }

    /// All, by name.
    pub(super) fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file that a table names, whose paths count from the folder that it lies in itself.
    ///
    /// # Errors
    /// There is none, or the path leads out of that folder.
    pub(super) fn named(&self, table: &str, path: &str) -> Result<NamedFile, String> {
        let leads_out = || format!("`{}` leads out of the table's folder", millstream_schemas::shown(path));
        match self.beside.get(table) {
            Some(folder) => {
                let path = Path::new(path);
                let below = path.strip_prefix(folder).unwrap_or(path);
                let name = normal(&below.to_string_lossy()).ok_or_else(leads_out)?;
                Ok(NamedFile::Beside(folder.join(&name), name))
            }
            None => {
                let folder = table.rsplit_once('/').map_or("", |(folder, _)| folder);
                let below = normal(path).ok_or_else(leads_out)?;
                let name = if folder.is_empty() { below } else { format!("{folder}/{below}") };
                let place = self.files.binary_search_by(|file| file.name.as_str().cmp(&name));
                place
                    .map(|place| NamedFile::Listed(place as u32))
                    .map_err(|_| format!("there is no file `{}`", millstream_schemas::shown(&name)))
            }
        }
    }

    /// What a file is called.
    pub(super) fn name<'a>(&'a self, file: &'a NamedFile) -> &'a str {
        match file {
            NamedFile::Listed(file) => &self.files[*file as usize].name,
            NamedFile::Beside(_, name) => name,
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// It cannot be read, or is too large; in words.
    pub(super) fn read(&self, file: &NamedFile) -> Result<Vec<u8>, String> {
        let path = match file {
            NamedFile::Listed(file) => &self.files[*file as usize].path,
            NamedFile::Beside(path, _) => path,
        };
        read_file(path)
    }

    /// A file to be gone through.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn seekable(&self, file: u32) -> Result<Box<dyn ReadSeek>, RecipeError> {
        let path = &self.files[file as usize].path;
        Ok(Box::new(File::open(path).map_err(RecipeError::io("read", path))?))
    }
}

/// A path below a folder, written with `/` and without detours; none where it leads out of it.
fn normal(path: &str) -> Option<String> {
    let path = path.trim().replace('\\', "/");
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(&path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    if parts.is_empty() { None } else { Some(parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_tables_stay_below_their_folder() {
        for (path, wanted) in [
            ("a/b.jpg", Some("a/b.jpg")),
            ("./a/../b.jpg", Some("b.jpg")),
            ("a\\b.jpg", Some("a/b.jpg")),
            ("../b.jpg", None),
            ("a/../../b.jpg", None),
            ("/etc/passwd", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(normal(path).as_deref(), wanted, "{path}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("train")).unwrap();
        for name in ["train/a.jpg", "train/metadata.csv"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let files = SourceFiles::open(&[folder.path().to_owned()]).unwrap();
        assert_eq!(files.named("train/metadata.csv", "a.jpg"), Ok(NamedFile::Listed(0)));
        assert!(files.named("train/metadata.csv", "b.jpg").unwrap_err().contains("no file `train/b.jpg`"));
        assert!(files.named("train/metadata.csv", "../x.jpg").unwrap_err().contains("leads out"));
        let table = SourceFiles::open(&[folder.path().join("train/metadata.csv")]).unwrap();
        let real = fs::canonicalize(folder.path()).unwrap().join("train/a.jpg");
        let absolute = real.to_str().unwrap();
        for path in ["a.jpg", absolute] {
            assert_eq!(table.named("metadata.csv", path), Ok(NamedFile::Beside(real.clone(), "a.jpg".into())));
        }
        assert!(table.named("metadata.csv", "/etc/passwd").unwrap_err().contains("leads out"));
    }
}
