//! The folder of an ensemble.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use millstream_schemas::{files, shown, shown_path, shown_sentences};
use millstream_training::ensembles::FittedEnsemble;
use serde_json::Value;

use super::ensemble_origin::EnsembleOrigin;
use crate::RecipeError;
use crate::run_folder::{RunFolder, folder_name};

/// The file that says what a folder of members is.
pub(crate) const MEMBERS: &str = "members.json";
/// In the folder of a member: what it gives for the rows that it has not seen, where it is evaluated on others.
pub(super) const HELD_OUT: &str = "held-out.parquet";

/// Where the files of an ensemble lie.
#[derive(Clone, Debug)]
pub struct EnsembleFolder(pub PathBuf);

impl EnsembleFolder {
    /// What it is made of, how, and what was measured.
    pub fn description(&self) -> PathBuf {
        self.0.join("ensemble.json")
    }

    /// The members as one model.
    pub fn model(&self) -> PathBuf {
        self.0.join("ensemble.onnx")
    }

    /// What was measured, for people.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// Names of the classes.
    pub fn labels(&self) -> PathBuf {
        self.0.join("labels.txt")
    }

    /// When, with which software and on which machine it was made, and what was asked for.
    pub fn origin(&self) -> PathBuf {
        self.0.join("origin.json")
    }

    fn all(&self) -> [PathBuf; 5] {
        [self.description(), self.model(), self.report(), self.labels(), self.origin()]
    }

    /// Refuses a folder that holds something under one of the names, unless it is an ensemble that may be replaced.
    pub(super) fn require_free(&self, overwrite: bool) -> Result<(), RecipeError> {
        let Some(found) = self.all().into_iter().find(|file| file.exists()) else { return Ok(()) };
        // one whose process was ended before it was whole has said what was asked for
        let is_begun = || matches!(self.read_origin(), Ok(Some(_)));
        match self.description().exists() {
            true if overwrite => Ok(()),
            true => Err(RecipeError::ensemble(
                &self.0,
                "it holds an ensemble already; replace it by `--overwrite`, or choose another folder",
            )),
            false if is_begun() && overwrite => Ok(()),
            false if is_begun() => Err(RecipeError::ensemble(
                &self.0,
                "it holds an ensemble that was not finished; begin anew by `--overwrite`, or choose another folder",
            )),
            false => Err(RecipeError::ensemble(
                found,
                "it has the name of a result, and is of no ensemble; move it away, or choose another folder",
            )),
        }
    }

    /// Refuses an ensemble where a run is wanted; what is done with one in place of that is said behind it.
    ///
    /// # Errors
    /// The folder holds an ensemble, which is named with its members.
    pub(crate) fn require_run(folder: &Path, instead: &str) -> Result<(), RecipeError> {
        let own = Self(folder.to_owned());
        // beside a run a file of that name is of another program
        if !own.description().exists() || RunFolder(folder.to_owned()).holds_run() {
            return Ok(());
        }
        // what is damaged is no run either
        let members = own.read().map(|read| read.members).unwrap_or_default();
        let models: Vec<String> = members.iter().map(|member| shown(&member.model)).collect();
        let of = if models.is_empty() { String::new() } else { format!(" (of {}, from here)", models.join(", ")) };
        Err(RecipeError::ensemble(folder, format!("it is an ensemble{of} and no run; {instead}")))
    }

    /// What its file says.
    ///
    /// # Errors
    /// There is none, it is damaged, or of another version.
    pub fn read(&self) -> Result<FittedEnsemble, RecipeError> {
        let path = self.description();
        if !path.exists() {
            let message = format!(
                "it holds no ensemble ({} is not there); `millstream ensemble fit` makes one",
                shown_path(&path)
            );
            return Err(RecipeError::ensemble(&self.0, message));
        }
        let bytes = std::fs::read(&path).map_err(RecipeError::io("read", &path))?;
        let damaged =
            |reason: String| RecipeError::ensemble(&path, format!("it is damaged: {reason}; fit the ensemble anew"));
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(FittedEnsemble::VERSION) => {}
            Some(version) => {
                let message = format!("it has version {version}, this build reads {}", FittedEnsemble::VERSION);
                return Err(RecipeError::ensemble(&path, message));
            }
            None => return Err(damaged("it states no version".into())),
        }
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
    }

    /// How it was made; none where it has not noted that, as older builds did not.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read_origin(&self) -> Result<Option<EnsembleOrigin>, RecipeError> {
        let path = self.origin();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(&path).map_err(RecipeError::io("read", &path))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let reason = shown_sentences(error.to_string());
            RecipeError::ensemble(&path, format!("it is damaged: {reason}; fit the ensemble anew, or delete the file"))
        })
    }

    /// Begins an ensemble: what there was is deleted, the description first, so that whatever ends the process in between leaves nothing
    /// that looks whole.
    pub(super) fn begin(&self, origin: &EnsembleOrigin) -> Result<(), RecipeError> {
        self.delete(&self.description())?;
        let text = serde_json::to_vec_pretty(origin).expect("our own types have string keys");
        self.write_file(&self.origin(), &text)?;
        [self.model(), self.report(), self.labels()].iter().try_for_each(|file| self.delete(file))
    }

    /// Writes what is said of it. The description comes last: with it the others are whole.
    pub(super) fn finish(&self, ensemble: &FittedEnsemble) -> Result<(), RecipeError> {
        let text = serde_json::to_vec_pretty(ensemble).expect("our own types have string keys");
        let title = folder_name(&self.0);
        self.write_file(&self.report(), ensemble.page(&title)?.as_bytes())?;
        self.write_file(&self.description(), &text)
    }

    fn delete(&self, file: &Path) -> Result<(), RecipeError> {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(RecipeError::io("delete", file)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), RecipeError> {
        files::replace_file(path, bytes).map_err(RecipeError::io("write", path))
    }

    /// A file as the ensemble names it: from its folder, so that both can be moved together.
    pub(super) fn relative(&self, file: &Path) -> String {
        let whole = |path: &Path| {
            path.canonicalize().ok().or_else(|| std::path::absolute(path).ok()).unwrap_or_else(|| path.to_owned())
        };
        // the folder need not be there yet
        let folder = self.0.ancestors().find(|folder| folder.exists()).map(|there| {
            let rest = self.0.strip_prefix(there).unwrap_or(Path::new(""));
            whole(there).join(rest)
        });
        let (folder, file) = (folder.unwrap_or_else(|| whole(&self.0)), whole(file));
        let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
            (folder.components().collect(), file.components().collect());
        let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        // nothing but the root in common: a path from it is as good
        if same <= 1 {
            return file.to_string_lossy().into_owned();
        }
        let up = from[same..].iter().map(|_| Component::ParentDir);
        let path: PathBuf = up.chain(to[same..].iter().copied()).collect();
        path.to_string_lossy().into_owned()
    }

    /// Where a file lies that the ensemble names.
    pub(super) fn member(&self, named: &str) -> PathBuf {
        self.0.join(named)
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;

    use super::super::ensemble_origin::FitRequest;
    use super::*;
    use crate::origin::Origin;

    #[test]
    fn members_are_named_from_the_folder_so_that_both_can_be_moved() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("runs/a")).unwrap();
        let model = place.path().join("runs/a/model.onnx");
        std::fs::write(&model, "").unwrap();
        for (folder, wanted) in [
            ("runs/both", "../a/model.onnx"),
            ("ensembles/new/one", "../../../runs/a/model.onnx"),
            ("runs/a", "model.onnx"),
        ] {
            let folder = EnsembleFolder(place.path().join(folder));
            assert_eq!(folder.relative(&model), wanted);
            std::fs::create_dir_all(&folder.0).unwrap();
            assert_eq!(folder.member(wanted).canonicalize().unwrap(), model.canonicalize().unwrap());
        }
    }

    /// A folder under the name of a file cannot be deleted as one: what comes before it is gone then, as if the process had been ended.
    #[test]
    fn an_ensemble_that_is_replaced_leaves_no_names_of_its_classes_and_killed_in_between_nothing_that_looks_whole() {
        let place = tempfile::tempdir().unwrap();
        let folder = EnsembleFolder(place.path().to_owned());
        let origin = EnsembleOrigin {
            origin: Origin::without_base("2026-11-27T03:11:00Z".into(), None),
            request: FitRequest {
                members: Vec::new(),
                method: Choice::named("probability"),
                metrics: Vec::new(),
                best: None,
                holdout: 0.5,
                seed: 0,
                bootstrap: 0,
                memory: None,
                flips: false,
                output_name: None,
                recipe: None,
                names_predictions: false,
            },
        };
        folder.all().iter().for_each(|file| std::fs::write(file, "{}").unwrap());
        std::fs::remove_file(folder.labels()).unwrap();
        std::fs::create_dir(folder.labels()).unwrap();
        let message = folder.begin(&origin).unwrap_err().to_string();
        assert!(message.contains("cannot delete") && message.contains("labels.txt"), "{message}");
        for file in [folder.description(), folder.model(), folder.report()] {
            assert!(!file.exists(), "{}", file.display());
        }
        // it can be begun anew, and is not taken for a file of others
        std::fs::remove_dir(folder.labels()).unwrap();
        std::fs::write(folder.model(), "half").unwrap();
        assert!(folder.require_free(false).unwrap_err().to_string().contains("was not finished"));
        folder.require_free(true).unwrap();
        std::fs::write(folder.labels(), "of the one before").unwrap();
        folder.begin(&origin).unwrap();
        assert!(!folder.labels().exists() && !folder.model().exists());
        assert_eq!(folder.read_origin().unwrap(), Some(origin));
    }

    #[test]
    fn what_is_no_ensemble_is_neither_replaced_nor_read() {
        let place = tempfile::tempdir().unwrap();
        let folder = EnsembleFolder(place.path().join("both"));
        folder.require_free(false).unwrap();
        assert!(folder.read().unwrap_err().to_string().contains("holds no ensemble"));
        std::fs::create_dir_all(&folder.0).unwrap();
        std::fs::write(folder.model(), "").unwrap();
        assert!(folder.require_free(true).unwrap_err().to_string().contains("is of no ensemble"));
        for (text, wanted) in [
            ("{", "it is damaged"),
            ("{}", "states no version"),
            (r#"{"version": 9}"#, "has version 9"),
            (r#"{"version": 1}"#, "it is damaged"),
        ] {
            std::fs::write(folder.description(), text).unwrap();
            let message = folder.read().unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
        folder.require_free(true).unwrap();
        assert!(folder.require_free(false).unwrap_err().to_string().contains("`--overwrite`"));
    }
}
