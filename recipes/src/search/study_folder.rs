use std::path::{Path, PathBuf};

use millstream_schemas::recipe::{RecipeText, relative_path};
use millstream_schemas::{files, shown_path};
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Where the files of a study lie: its journal, its recipe, a folder for each trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyFolder(PathBuf);

/// How a study began, beside its recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    /// Version of this file.
    version: u32,
    /// What the recipe was called.
    recipe: PathBuf,
    /// Where relative paths in the recipe start.
    folder: PathBuf,
    /// Where relative paths of arguments start.
    working_directory: PathBuf,
    /// What the command line changed of the recipe.
    changes: Vec<String>,
    /// The folder and the working directory from the study's folder, where they can be moved together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder_from_here: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    working_directory_from_here: Option<String>,
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
        self.0.join("recipe.yaml")
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
    /// A study has begun here, or another file is in its way.
    pub(crate) fn require_none(&self) -> Result<(), RecipeError> {
        if self.journal().exists() {
            return Err(RecipeError::StudyInTheWay { folder: self.0.clone() });
        }
        match !self.holds_study() && self.recipe().exists() {
            true => Err(RecipeError::ForeignFile { path: self.recipe() }),
            false => Ok(()),
        }
    }

    /// Notes how a study begins: the recipe as it was given, and what the command line says beside it.
    ///
    /// # Errors
    /// There is one already, another file is in the way, or nothing can be written.
    pub(crate) fn begin(&self, text: &RecipeText, changes: &[String]) -> Result<(), RecipeError> {
        self.require_none()?;
        files::create_folder(&self.0).map_err(|source| RecipeError::OutputFolder { folder: self.0.clone(), source })?;
        let here = absolute(&self.0)?;
        let working_directory =
            text.working_directory().map_or_else(|| std::env::current_dir().unwrap_or_default(), Path::to_owned);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let from_here = |folder: &Path| relative_path(folder.to_str()?, &here, home.as_deref());
        let origin = Origin {
            version: VERSION,
            recipe: text.name().to_owned(),
            folder_from_here: from_here(text.folder()),
            working_directory_from_here: from_here(&working_directory),
            folder: text.folder().to_owned(),
            working_directory,
            changes: changes.to_vec(),
        };
        let json = serde_json::to_vec_pretty(&origin).expect("our own types have string keys");
        write(&self.origin(), &json)?;
        write(&self.recipe(), text.text().as_bytes())
    }

    /// The text of the recipe as it was given, and what the command line changed of it.
    ///
    /// # Errors
    /// As [`StudyFolder::text`].
    pub(crate) fn given(&self) -> Result<(String, Vec<String>), RecipeError> {
        let text = self.text()?;
        let path = self.origin();
        let bytes = std::fs::read(&path).map_err(RecipeError::io("read", &path))?;
        let origin: Origin = serde_json::from_slice(&bytes).map_err(|_| RecipeError::StudyDamaged { path })?;
        Ok((text.text().to_owned(), origin.changes))
    }

    /// The recipe that the study began with, as it was then.
    ///
    /// # Errors
    /// There is no study, or what was noted of it cannot be read.
    pub fn text(&self) -> Result<RecipeText, RecipeError> {
        self.text_with(&[])
    }

    /// As [`StudyFolder::text`], with more that replaces some of it.
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
        let path = self.origin();
        let bytes = std::fs::read(&path).map_err(RecipeError::io("read", &path))?;
        let origin: Origin = serde_json::from_slice(&bytes)
            .ok()
            .filter(|origin: &Origin| origin.version == VERSION)
            .ok_or(RecipeError::StudyDamaged { path })?;
        let path = self.recipe();
        let text = std::fs::read_to_string(&path).map_err(RecipeError::io("read", &path))?;
        let folder = self.found(origin.folder, origin.folder_from_here.as_deref())?;
        let working_directory = self.found(origin.working_directory, origin.working_directory_from_here.as_deref())?;
        let is_elsewhere = std::env::current_dir().is_ok_and(|current| current != working_directory);
        if is_elsewhere && !more.is_empty() && !origin.changes.is_empty() {
            let message = format!(
                "the study began in {}, where relative paths of its own `--set` start; change it from there",
                shown_path(&working_directory)
            );
            return Err(RecipeError::mismatch("--set", message));
        }
        if is_elsewhere && origin.changes.is_empty() {
            return Ok(RecipeText::new(&text, &path, &folder, more)?);
        }
        let text = RecipeText::new(&text, &path, &folder, &[&origin.changes, more].concat())?;
        Ok(text.in_working_directory(working_directory))
    }

    /// A folder that the study has noted: where it was, or where it was moved to with the study.
    fn found(&self, folder: PathBuf, from_here: Option<&str>) -> Result<PathBuf, RecipeError> {
        let moved =
            from_here.filter(|_| !folder.exists()).map(|from_here| absolute(&self.0.join(from_here))).transpose()?;
        Ok(moved.and_then(|moved| moved.canonicalize().ok()).unwrap_or(folder))
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
