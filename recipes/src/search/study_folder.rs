use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use millstream_schemas::recipe::{RecipeText, relative_path};
use millstream_schemas::{files, shown_path};
use serde::{Deserialize, Serialize};

use super::first_fingerprints::FirstFingerprints;
use crate::RecipeError;
use crate::run_files::RECIPE_FILE;
use crate::run_folder::RunFolder;

/// Where the files of a study lie: its journal, its recipe, a folder for each trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyFolder(PathBuf);

/// How a study began, beside its recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    /// Version of this file.
    version: u32,
    /// What the recipe was called.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    recipe: PathBuf,
    /// Where relative paths in the recipe start.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    folder: PathBuf,
    /// Where relative paths of arguments start.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    working_directory: PathBuf,
    /// What the command line changed of the recipe.
    changes: Vec<String>,
    /// The folder and the working directory from the study's folder, where they can be moved together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder_from_here: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    working_directory_from_here: Option<String>,
    /// The same from where the study's folder really is, where links lead there or to the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    really_from_here: Option<FromHere>,
    /// Environment variables that paths of the recipe name, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    variables: BTreeMap<String, String>,
    /// What each trial is held against; none in a study of a build that did not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_fingerprints: Option<FirstFingerprints>,
}

/// A recipe's folder and a working directory from the folder of a study.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FromHere {
    folder: Option<String>,
    working_directory: Option<String>,
}

const VERSION: u32 = 1;

impl StudyFolder {
    /// A folder, whatever is in it.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All that has happened in the study, a line each.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The recipe as it was given.
    pub fn recipe(&self) -> PathBuf {
        self.0.join(RECIPE_FILE)
    }

    /// The files that a study is read from.
    pub fn files(&self) -> [PathBuf; 3] {
        [self.journal(), self.recipe(), self.origin()]
    }

    /// The page of the study.
    pub fn page(&self) -> PathBuf {
        self.0.join("search.html")
    }

    /// The recipe of the best trial.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.yaml")
    }

    /// The run of the best recipe on all rows.
    pub fn refit(&self) -> PathBuf {
        self.0.join("refit")
    }

    /// The folder of a trial: an ordinary run folder, or one that holds several.
    pub fn trial(&self, number: u64) -> PathBuf {
        self.0.join("trials").join(format!("{number:04}"))
    }

    /// A run to name in a message: the first trial, or the first run in it where it holds several.
    pub(crate) fn first_run(&self) -> PathBuf {
        let trial = self.trial(0);
        let is_run = |folder: &PathBuf| RunFolder(folder.clone()).recipe().exists();
        if is_run(&trial) {
            return trial;
        }
        let inside = std::fs::read_dir(&trial).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        inside.filter(is_run).min().unwrap_or(trial)
    }

    /// Parts of the training rows.
    pub(crate) fn folds(&self) -> PathBuf {
        self.0.join("folds")
    }

    /// Locks of the processes that work on the study.
    pub(crate) fn workers(&self) -> PathBuf {
        self.0.join("workers")
    }

    fn origin(&self) -> PathBuf {
        self.0.join("study.json")
    }

    /// Whether a study has begun here.
    pub fn holds_study(&self) -> bool {
        self.origin().exists()
    }

    /// # Errors
    /// A study has begun here, or another file, or trials of a study whose journal is gone, are in its way.
    pub(crate) fn require_none(&self) -> Result<(), RecipeError> {
        if self.journal().exists() {
            return Err(RecipeError::StudyInTheWay { folder: self.0.clone() });
        }
        // their runs would be taken for those of the new study's trials, whose values are others
        let left =
            self.trials_left().or_else(|| Some(self.recipe()).filter(|recipe| recipe.exists() && !self.holds_study()));
        left.map_or(Ok(()), |path| Err(RecipeError::ForeignFile { path }))
    }

    /// A trial's folder that lies here, whatever the journal says of it.
    fn trials_left(&self) -> Option<PathBuf> {
        let trials = std::fs::read_dir(self.0.join("trials")).into_iter().flatten().filter_map(Result::ok);
        let is_number = |name: &str| !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_digit());
        trials.filter(|entry| entry.file_name().to_str().is_some_and(is_number)).map(|entry| entry.path()).min()
    }

    /// Notes how a study begins: the recipe as it was given, what the command line says beside it, and the environment variables that paths
    /// of it name.
    ///
    /// # Errors
    /// There is one already, another file is in the way, or nothing can be written.
    pub(crate) fn begin(
        &self,
        text: &RecipeText,
        changes: &[String],
        variables: BTreeMap<String, String>,
    ) -> Result<(), RecipeError> {
        self.require_none()?;
        files::create_folder(&self.0).map_err(|source| RecipeError::OutputFolder { folder: self.0.clone(), source })?;
        let here = absolute(&self.0)?;
        let working_directory =
            text.working_directory().map_or_else(|| std::env::current_dir().unwrap_or_default(), Path::to_owned);
        require_text("the recipe's folder", text.folder())?;
        require_text("the working directory", &working_directory)?;
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let from = |here: &Path, folder: &Path| relative_path(folder.to_str()?, here, home.as_deref());
        let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let as_named =
            FromHere { folder: from(&here, text.folder()), working_directory: from(&here, &working_directory) };
        let really = FromHere {
            folder: from(&real(&here), &real(text.folder())),
            working_directory: from(&real(&here), &real(&working_directory)),
        };
        let origin = Origin {
            version: VERSION,
            recipe: text.name().to_owned(),
            really_from_here: (really != as_named).then_some(really),
            folder_from_here: as_named.folder,
            working_directory_from_here: as_named.working_directory,
            folder: text.folder().to_owned(),
            working_directory,
            changes: changes.to_vec(),
            variables,
            first_fingerprints: Some(FirstFingerprints::default()),
        };
        self.write_origin(&origin)?;
        write(&self.recipe(), text.text().as_bytes())
    }

    /// The text of the recipe as it was given, and what the command line changed of it.
    ///
    /// # Errors
    /// As [`StudyFolder::text`].
    pub(crate) fn given(&self) -> Result<(String, Vec<String>), RecipeError> {
        let text = self.text()?;
        Ok((text.text().to_owned(), self.read_origin()?.changes))
    }

    /// The environment variables that paths of the recipe name, with the values that they had when the study began.
    ///
    /// # Errors
    /// As [`StudyFolder::text`].
    pub fn variables(&self) -> Result<BTreeMap<String, String>, RecipeError> {
        Ok(self.read_origin()?.variables)
    }

    /// What each trial is held against.
    pub(super) fn first_fingerprints(&self) -> Result<Option<FirstFingerprints>, RecipeError> {
        Ok(self.read_origin()?.first_fingerprints)
    }

    pub(super) fn read_origin(&self) -> Result<Origin, RecipeError> {
        let path = self.origin();
        let bytes = std::fs::read(&path).map_err(RecipeError::io("read", &path))?;
        let origin = serde_json::from_slice(&bytes).ok().filter(|origin: &Origin| origin.version == VERSION);
        origin.ok_or(RecipeError::StudyDamaged { path })
    }

    /// Whoever writes what trials are held against holds a lock.
    pub(super) fn write_origin(&self, origin: &Origin) -> Result<(), RecipeError> {
        write(&self.origin(), &serde_json::to_vec_pretty(origin).expect("our own types have string keys"))
    }

    /// The recipe that the study began with, as it was then: environment variables that its paths name have the values that they had.
    ///
    /// # Errors
    /// There is no study, or what was noted of it cannot be read.
    pub fn text(&self) -> Result<RecipeText, RecipeError> {
        let text = self.text_with(&[])?;
        Ok(text.with_variables(self.variables()?))
    }

    /// The same to work with here and now, with more that replaces some of it: environment variables have the values that they had where
    /// the environment does not say them.
    ///
    /// # Errors
    /// As there; or more is given in another directory than that in which the study began with changes of its own: relative paths of
    /// both would have to start in one.
    pub fn text_with(&self, more: &[String]) -> Result<RecipeText, RecipeError> {
        for file in [self.origin(), self.recipe()] {
            if !file.exists() {
                let missing = file.strip_prefix(&self.0).unwrap_or(&file).to_owned();
                return Err(RecipeError::NoStudy { folder: self.0.clone(), missing });
            }
        }
        let origin = self.read_origin()?;
        let path = self.recipe();
        let text = std::fs::read_to_string(&path).map_err(RecipeError::io("read", &path))?;
        let really = origin.really_from_here.unwrap_or_default();
        let name = origin.recipe.file_name().unwrap_or_default();
        let ways = [origin.folder_from_here, really.folder];
        let (folder, way) = self.found(origin.folder, &ways, |_, folder| folder.join(name).exists())?;
        let ways = [origin.working_directory_from_here, really.working_directory];
        // an absolute path tells nothing of the folder that it was named in
        let holds_recipe = |at, folder: &Path| match origin.recipe.is_relative() {
            true => folder.join(&origin.recipe).exists(),
            false => Some(at) == way,
        };
        let (working_directory, _) = self.found(origin.working_directory, &ways, holds_recipe)?;
        let is_elsewhere = std::env::current_dir().is_ok_and(|current| current != working_directory);
        if is_elsewhere && !more.is_empty() && !origin.changes.is_empty() {
            let message = format!(
                "the study began in {}, where relative paths of its own `--set` start; change it from there",
                shown_path(&working_directory)
            );
            return Err(RecipeError::mismatch("--set", message));
        }
        if is_elsewhere && origin.changes.is_empty() {
            return Ok(RecipeText::new(&text, &path, &folder, more)?.with_variables_in_reserve(origin.variables));
        }
        let text = RecipeText::new(&text, &path, &folder, &[&origin.changes, more].concat())?;
        Ok(text.in_working_directory(working_directory).with_variables_in_reserve(origin.variables))
    }

    /// A folder that the study has noted: where it was, or where it was moved to with the study, by the path that leads to the study or
    /// from where that really is; rather one that holds the recipe. With it comes which of these ways it was found by.
    fn found(
        &self,
        folder: PathBuf,
        [as_named, really]: &[Option<String>; 2],
        holds_recipe: impl Fn(usize, &Path) -> bool,
    ) -> Result<(PathBuf, Option<usize>), RecipeError> {
        if folder.exists() {
            return Ok((folder, None));
        }
        let here = along(Path::new("/"), &absolute(&self.0)?);
        let real = here.canonicalize().unwrap_or_else(|_| here.clone());
        let ways = [(&here, as_named), (&real, really)];
        let ways = ways.map(|(from, way)| way.as_ref().map(|way| along(from, Path::new(way))));
        let ways = ways.into_iter().enumerate();
        let there: Vec<(usize, PathBuf)> =
            ways.filter_map(|(at, place)| Some((at, place?.canonicalize().ok()?))).collect();
        let found = there.iter().find(|(at, place)| holds_recipe(*at, place)).or_else(|| there.first());
        Ok(found.map_or((folder, None), |(at, place)| (place.clone(), Some(*at))))
    }
}

/// A path from a folder, by the letters alone: `..` leads back over a link, as it was written.
fn along(folder: &Path, way: &Path) -> PathBuf {
    let mut place = folder.to_owned();
    for part in way.components() {
        match part {
            Component::ParentDir => {
                place.pop();
            }
            Component::CurDir => {}
            other => place.push(other),
        }
    }
    place
}

/// Refuses a folder that would be another one when it is read back.
fn require_text(what: &str, folder: &Path) -> Result<(), RecipeError> {
    match folder.to_str() {
        Some(_) => Ok(()),
        None => Err(RecipeError::mismatch(
            what,
            format!("{}: the name is no UTF-8, and a study notes it as a text; rename it", shown_path(folder)),
        )),
    }
}

/// A path as a recipe can name it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, RecipeError> {
    let path = std::path::absolute(path).map_err(RecipeError::io("find", path))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err(RecipeError::mismatch("output.folder", format!("{}: the name is no UTF-8", shown_path(&path)))),
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), RecipeError> {
    files::replace_file(path, bytes).map_err(RecipeError::io("write", path))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn trials_whose_journal_is_gone_are_not_taken_for_those_of_a_new_study() {
        let place = tempfile::tempdir().unwrap();
        let folder = StudyFolder::new(place.path().join("study"));
        folder.require_none().unwrap();
        fs::create_dir_all(folder.path().join("trials/notes")).unwrap();
        folder.require_none().unwrap();
        fs::create_dir_all(folder.trial(3)).unwrap();
        let message = folder.require_none().unwrap_err().to_string();
        assert!(message.contains("0003") && message.contains("move it away"), "{message}");
    }

    /// A project with a study that is reached over links, moved as a whole.
    #[test]
    fn a_study_that_is_reached_through_a_link_is_found_with_its_recipe_after_both_were_moved() {
        let place = tempfile::tempdir().unwrap();
        let (before, after) = (place.path().join("before"), place.path().join("after"));
        fs::create_dir_all(before.join("disk/deep/runs")).unwrap();
        symlink("disk/deep/runs", before.join("runs")).unwrap();
        fs::write(before.join("recipe.yaml"), "version: 1\n").unwrap();
        let text = RecipeText::read(&before.join("recipe.yaml"), &[]).unwrap().in_working_directory(before.clone());
        let changes = ["seed=1".to_owned()];
        StudyFolder::new(before.join("runs/study")).begin(&text, &changes, BTreeMap::new()).unwrap();
        fs::rename(&before, &after).unwrap();
        let wanted = after.canonicalize().unwrap();
        for reached in ["runs/study", "disk/deep/runs/study", "disk/../runs/study"] {
            let text = StudyFolder::new(after.join(reached)).text().unwrap();
            assert_eq!(text.folder(), wanted, "{reached}");
            assert_eq!(text.working_directory(), Some(wanted.as_path()), "{reached}");
        }
    }

    /// The disk with the results stays, and the project with the link to it is moved.
    #[test]
    fn a_study_on_another_disk_is_found_with_its_recipe_after_the_link_to_it_was_moved() {
        let place = tempfile::tempdir().unwrap();
        let (before, after) = (place.path().join("projects/before"), place.path().join("after"));
        let disk = place.path().join("disk/runs");
        fs::create_dir_all(&before).unwrap();
        fs::create_dir_all(&disk).unwrap();
        symlink(&disk, before.join("runs")).unwrap();
        fs::write(before.join("recipe.yaml"), "version: 1\n").unwrap();
        let text = RecipeText::read(&before.join("recipe.yaml"), &[]).unwrap().in_working_directory(before.clone());
        StudyFolder::new(before.join("runs/study")).begin(&text, &[], BTreeMap::new()).unwrap();
        fs::rename(&before, &after).unwrap();
        let text = StudyFolder::new(after.join("runs/study")).text().unwrap();
        assert_eq!(text.folder(), after.canonicalize().unwrap());
    }
}
