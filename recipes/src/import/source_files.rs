use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use millstream_pipeline::Split;
use millstream_schemas::shown_path;

use super::archive::{Members, archive_stem};
use super::import_report::LeftOut;
use super::member::MemberPlace;
use super::path_below::path_below;
use super::unpacked::Unpacked;
use crate::folder_files::{FolderFiles, is_image, read_file};
use crate::table_records::TableFormat;
use crate::{RecipeError, Stop};

/// What tables are read through.
pub(crate) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// A file of the source.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    /// What it is called: its path below the source, with `/`; of several archives behind the archive's name.
    pub(super) name: String,
    /// How much of the name is that of its archive.
    front: usize,
    /// The split that the archive's name says.
    pub(super) split: Option<Split>,
    place: Place,
}

/// Where a file lies.
#[derive(Clone, Debug)]
enum Place {
    Disk(PathBuf),
    Archive(MemberPlace),
}

impl SourceFile {
    fn place_in_words(&self) -> String {
        match &self.place {
            Place::Disk(path) => shown_path(path),
            Place::Archive(_) => millstream_schemas::shown(&self.name),
        }
    }

    /// Its name without that of its archive.
    pub(super) fn inner_name(&self) -> &str {
        &self.name[self.front..]
    }

    /// The split of the nearest folder that is called like one, or else that of its archive.
    pub(super) fn split_of_folders(&self) -> Option<Split> {
        self.inner_name().split('/').rev().skip(1).find_map(Split::named).or(self.split)
    }
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
    /// Folders with nothing in them, named as files are, in archives without what stands in front of members.
    pub(super) empty_folders: Vec<String>,
    /// Folders of tables that are themselves sources, by the tables' names.
    beside: BTreeMap<String, PathBuf>,
    unpacked: Unpacked,
    /// Whether there is an archive whose name says no split.
    undivided: bool,
}

impl SourceFiles {
    /// Finds the files of sources, and of archives their members. Of several, names begin with those of the sources. What has to
    /// be unpacked lies in `folder` as long as this is there.
    ///
    /// # Errors
    /// One is not there or cannot be read, or two have one name.
    pub(super) fn open(sources: &[PathBuf], folder: &Path, stop: &Stop) -> Result<Self, RecipeError> {
        Self::open_unpacking(sources, Unpacked::into_folder(folder), stop)
    }

    /// As [`Self::open`], for what has no result: what has to be unpacked lies among the system's temporary files.
    ///
    /// # Errors
    /// As there.
    pub(super) fn open_beside_no_result(sources: &[PathBuf], stop: &Stop) -> Result<Self, RecipeError> {
        Self::open_unpacking(sources, Unpacked::among_temporary_files(), stop)
    }

    fn open_unpacking(sources: &[PathBuf], unpacked: Unpacked, stop: &Stop) -> Result<Self, RecipeError> {
        let mut all = Self { unpacked, ..Self::default() };
        let several = sources.len() > 1;
        for source in sources {
            if !source.exists() {
                return Err(RecipeError::mismatch(shown_path(source), "there is no such file or folder"));
            }
            let whole = fs::canonicalize(source).map_err(RecipeError::io("read", source))?;
            let own = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if source.is_dir() {
                let front = if several { format!("{own}/") } else { String::new() };
                all.add_folder(source, &front, stop)?;
            } else if let Some(stem) = archive_stem(&own) {
                all.add_archive(source, if several { stem } else { "" }, stop)?;
            } else {
                all.beside.insert(own.clone(), whole.parent().unwrap_or(Path::new("/")).to_owned());
                all.add(Path::new(&own), source, "");
            }
        }
        // one word alone may be part of a name that means something else
        if all.undivided {
            all.files.iter_mut().for_each(|file| file.split = None);
        }
        all.files.sort_by(|a, b| a.name.cmp(&b.name));
        match all.files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => {
                let message = format!("{} has the same name; import one of them by itself", pair[1].place_in_words());
                Err(RecipeError::mismatch(pair[0].place_in_words(), message))
            }
            None => Ok(all),
        }
    }

    fn add_folder(&mut self, source: &Path, front: &str, stop: &Stop) -> Result<(), RecipeError> {
        let found = FolderFiles::below(source)?;
        for (path, reason) in found.left_out {
            let name = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().into_owned();
            self.left_out.push(LeftOut { name: front.to_owned() + &name, reason });
        }
        for path in found.hidden {
            let name = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().into_owned();
            let reason =
                "it is a hidden folder, since its name begins with a dot; name it as a source to have what lies in it";
            self.left_out.push(LeftOut { name: front.to_owned() + &name, reason: reason.into() });
        }
        for path in found.empty {
            let below = path.strip_prefix(source).unwrap_or(&path).to_string_lossy();
            self.empty_folders.push(front.to_owned() + &below.replace('\\', "/"));
        }
        let stem = |path: &Path| {
            let below = path.strip_prefix(source).unwrap_or(path).to_str()?;
            archive_stem(below).map(str::to_owned)
        };
        // archives among pictures and tables are something else
        let is_data = |path: &PathBuf| path.to_str().is_some_and(is_image) || TableFormat::of(path).is_some();
        let archives = found.files.iter().filter(|path| stem(path).is_some()).count();
        let of_archives = archives > 0 && !found.files.iter().any(is_data);
        for path in found.files {
            match stem(&path).filter(|_| of_archives) {
                Some(_) if archives == 1 && front.is_empty() => self.add_archive(&path, "", stop)?,
                Some(stem) => self.add_archive(&path, &(front.to_owned() + &stem), stop)?,
                None => self.add(path.strip_prefix(source).unwrap_or(&path), &path, front),
            }
        }
        Ok(())
    }

    fn add_archive(&mut self, path: &Path, name: &str, stop: &Stop) -> Result<(), RecipeError> {
        let members = Members::of(path, &self.unpacked, stop)?;
        let front = if name.is_empty() { String::new() } else { format!("{name}/") };
        let words = name.split(|letter: char| !letter.is_alphabetic());
        let split = words.filter_map(Split::named).next_back();
        self.undivided |= split.is_none();
        self.empty_folders.extend(members.empty_folders());
        for member in members.files {
            let place = Place::Archive(member.place);
            self.files.push(SourceFile { name: front.clone() + &member.name, front: front.len(), split, place });
        }
        let left_out = members.left_out.into_iter();
        self.left_out.extend(left_out.map(|own| LeftOut { name: front.clone() + &own.name, ..own }));
        Ok(())
    }

    fn add(&mut self, below: &Path, path: &Path, front: &str) {
        let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
        match parts {
            Some(parts) => {
                let name = front.to_owned() + &parts.join("/");
                self.files.push(SourceFile { name, front: 0, split: None, place: Place::Disk(path.to_owned()) });
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
                let name = path_below(&below.to_string_lossy()).ok_or_else(leads_out)?;
                Ok(NamedFile::Beside(folder.join(&name), name))
            }
            None => {
                let folder = table.rsplit_once('/').map_or("", |(folder, _)| folder);
                let below = path_below(path).ok_or_else(leads_out)?;
                let name = if folder.is_empty() { below } else { format!("{folder}/{below}") };
                let there_is_none = || format!("there is no file `{}`", millstream_schemas::shown(&name));
                self.find(&name).map(NamedFile::Listed).ok_or_else(there_is_none)
            }
        }
    }

    /// The image that a cell of a table names.
    ///
    /// # Errors
    /// As [`Self::named`], or the cell is empty.
    pub(super) fn image(&self, table: &str, path: &str) -> Result<NamedFile, String> {
        if path.trim().is_empty() {
            return Err("it names no image".into());
        }
        self.named(table, path)
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
        match file {
            NamedFile::Listed(file) => match &self.files[*file as usize].place {
                Place::Disk(path) => read_file(path),
                Place::Archive(member) => member.read(),
            },
            NamedFile::Beside(path, _) => read_file(path),
        }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// As [`Self::read`], or it is no UTF-8; in words.
    pub(super) fn text(&self, file: u32) -> Result<String, String> {
        let mut text =
            String::from_utf8(self.read(&NamedFile::Listed(file))?).map_err(|_| "it is no UTF-8".to_owned())?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(text)
    }

    /// A file to be read once from its beginning; nothing of it is held or unpacked beside the result.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn stream(&self, file: u32) -> Result<Box<dyn Read>, RecipeError> {
        match &self.files[file as usize].place {
            Place::Disk(path) => Ok(Box::new(File::open(path).map_err(RecipeError::io("read", path))?)),
            Place::Archive(member) => member.stream().map_err(RecipeError::io("read", &*member.archive)),
        }
    }

    /// A file to be gone through.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn seekable(&self, file: u32) -> Result<Box<dyn ReadSeek>, RecipeError> {
        match &self.files[file as usize].place {
            Place::Disk(path) => Ok(Box::new(File::open(path).map_err(RecipeError::io("read", path))?)),
            Place::Archive(member) => Ok(Box::new(member.seekable(&self.unpacked)?)),
        }
    }

    /// The file of a name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.files.binary_search_by(|file| file.name.as_str().cmp(name)).ok().map(|place| place as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_tables_stay_below_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("train")).unwrap();
        for name in ["train/a.jpg", "train/metadata.csv"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let files = SourceFiles::open(&[folder.path().to_owned()], folder.path(), &Stop::default()).unwrap();
        assert_eq!(files.named("train/metadata.csv", "a.jpg"), Ok(NamedFile::Listed(0)));
        assert!(files.named("train/metadata.csv", "b.jpg").unwrap_err().contains("no file `train/b.jpg`"));
        assert!(files.named("train/metadata.csv", "../x.jpg").unwrap_err().contains("leads out"));
        let table =
            SourceFiles::open(&[folder.path().join("train/metadata.csv")], folder.path(), &Stop::default()).unwrap();
        let real = fs::canonicalize(folder.path()).unwrap().join("train/a.jpg");
        let absolute = real.to_str().unwrap();
        for path in ["a.jpg", absolute] {
            assert_eq!(table.named("metadata.csv", path), Ok(NamedFile::Beside(real.clone(), "a.jpg".into())));
        }
        assert!(table.named("metadata.csv", "/etc/passwd").unwrap_err().contains("leads out"));
    }

    #[test]
    fn texts_begin_behind_the_mark_of_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for (written, wanted) in [("\u{feff}a\u{feff}", "a\u{feff}"), ("a", "a"), ("\u{feff}", ""), ("", "")] {
            fs::write(folder.path().join("a.txt"), written).unwrap();
            let files = SourceFiles::open(&[folder.path().to_owned()], folder.path(), &Stop::default()).unwrap();
            assert_eq!(files.text(0).unwrap(), wanted, "{written:?}");
        }
    }
}
