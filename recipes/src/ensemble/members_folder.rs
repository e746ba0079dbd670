//! The folder of members that were trained on parts of the rows, as its files say it.

use std::path::{Path, PathBuf};

use millstream_pipeline::predictions_header;
use millstream_schemas::{Fingerprint, PredictionsHeader, shown_sentences};
use serde::Deserialize;

use super::ensemble_origin::in_shell;
use super::files::MEMBERS;
use super::member_rows::Sampling;
use super::members_report::MembersReport;
use crate::RecipeError;
use crate::run_files::RECIPE_FILE;
use crate::run_folder::RunFolder;

/// Of the file that says which members lie in a folder.
const VERSION: u32 = 1;
/// What is wrong with a folder whose members are under way.
pub(super) const NOT_ALL_TRAINED: &str =
    "its members are not all trained yet; the `millstream ensemble members` command that began it goes on with it";

/// Members that were trained on parts of the rows.
#[derive(Clone, Debug)]
pub(crate) struct MembersFolder {
    /// The folder: as in that of a run, its `model.onnx` is what it gives, here the mean of the members, and its `recipe.yaml`, which older
    /// builds did not write, names all rows.
    pub(crate) own: RunFolder,
    /// Which rows each member was trained on.
    pub(crate) sampling: Sampling,
    /// Of all rows, by the names, sizes and footers of their files.
    pub(crate) rows: Fingerprint,
    /// What came out; none while members are still to be trained.
    pub(crate) report: Option<MembersReport>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Written {
    made_of: WrittenMadeOf,
    report: Option<MembersReport>,
}

#[derive(Deserialize)]
struct WrittenMadeOf {
    sampling: Sampling,
    rows: Fingerprint,
}

impl MembersFolder {
    /// Whether members lie in a folder. Beside a run a file of that name is of another program.
    pub(crate) fn is_one(folder: &Path) -> bool {
        folder.join(MEMBERS).exists() && !RunFolder(folder.to_owned()).holds_run()
    }

    /// None where a folder [is of no members](Self::is_one).
    ///
    /// # Errors
    /// Its file cannot be read, is damaged, or of another version.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, RecipeError> {
        let file = folder.join(MEMBERS);
        if !Self::is_one(folder) {
            return Ok(None);
        }
        let text = std::fs::read(&file).map_err(RecipeError::io("read", &file))?;
        let damaged = |error: serde_json::Error| {
            let message = format!(
                "it is damaged, or of another program, and does not say which members lie here: {}",
                shown_sentences(error.to_string())
            );
            RecipeError::ensemble(&file, message)
        };
        let Version { version } = serde_json::from_slice(&text).map_err(damaged)?;
        if version != VERSION {
            return Err(RecipeError::ensemble(&file, format!("it has version {version}, this build reads {VERSION}")));
        }
        let Written { made_of, report } = serde_json::from_slice(&text).map_err(damaged)?;
        let own = RunFolder(folder.to_owned());
        Ok(Some(Self { own, sampling: made_of.sampling, rows: made_of.rows, report }))
    }

    /// The folders of the members' runs, in order.
    ///
    /// # Errors
    /// They are not all trained yet.
    pub(crate) fn runs(&self) -> Result<Vec<PathBuf>, RecipeError> {
        match &self.report {
            Some(report) => Ok(report.members.iter().map(|member| self.own.0.join(&member.name)).collect()),
            None => Err(RecipeError::ensemble(&self.own.0, NOT_ALL_TRAINED)),
        }
    }

    /// What its file of answers for rows that members have not seen says of itself; none where there is none.
    ///
    /// # Errors
    /// It is no such file.
    pub(crate) fn answers(&self) -> Result<Option<PredictionsHeader>, RecipeError> {
        let file = self.own.predictions();
        Ok(if file.exists() { Some(predictions_header(&file)?) } else { None })
    }

    /// The command that trains the same members, given in this folder; none where no recipe lies there.
    pub(crate) fn command(&self, output: &str) -> Option<String> {
        if !self.own.recipe().exists() {
            return None;
        }
        let words = ["millstream", "ensemble", "members", RECIPE_FILE].map(str::to_owned).into_iter();
        let report = self.report.as_ref();
        let bootstrap = report.and_then(|report| report.bootstrap).map(|draws| ("--bootstrap", draws.to_string()));
        let memory = report.and_then(|report| report.memory).map(|memory| ("--memory", format!("{}B", memory.0)));
        let measured = bootstrap.into_iter().chain(memory).flat_map(|(name, value)| [name.to_owned(), value]);
        let words = words.chain(self.sampling.options()).chain(measured).chain(["-o".to_owned(), output.to_owned()]);
        Some(in_shell(&words.collect::<Vec<_>>()))
    }
}

/// Refuses a folder of members where one run is wanted: it has a recipe, too.
///
/// # Errors
/// It is one.
pub(crate) fn require_one_run(folder: &Path) -> Result<(), RecipeError> {
    match MembersFolder::is_one(folder) {
        true => Err(RecipeError::ensemble(
            folder,
            "it holds members that were trained on parts of the rows, each of which is a run; name the folder of one of them",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_members_says_which_they_are_and_a_damaged_one_is_told() {
        let place = tempfile::tempdir().unwrap();
        assert!(MembersFolder::read(place.path()).unwrap().is_none());
        let file = place.path().join(MEMBERS);
        let made_of =
            r#""made_of": {"version": 1, "sampling": {"bags": {"count": 3, "seed": 7}}, "recipe": {}, "rows": "12ab"}"#;
        std::fs::write(&file, format!("{{\"version\": 1, {made_of}}}")).unwrap();
        let found = MembersFolder::read(place.path()).unwrap().unwrap();
        assert_eq!(found.sampling, Sampling::Bags { count: 3, seed: 7 });
        assert_eq!(found.rows, Fingerprint("12ab".into()));
        assert!(found.report.is_none(), "members are under way");
        let message = found.runs().unwrap_err().to_string();
        assert!(message.contains("its members are not all trained yet"), "{message}");
        for (text, words) in [
            (r#"{"version": 1, "made"#, "it is damaged"),
            (r#"[{"name": "another program's"}]"#, "it is damaged, or of another program"),
            (r#"{"version": 2, "made_of": {}}"#, "it has version 2, this build reads 1"),
        ] {
            std::fs::write(&file, text).unwrap();
            let message = MembersFolder::read(place.path()).unwrap_err().to_string();
            assert!(message.contains(MEMBERS) && message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_folder_of_members_with_its_recipe_is_not_taken_for_a_run() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder(place.path().to_owned());
        std::fs::write(run.recipe(), "version: 1").unwrap();
        require_one_run(place.path()).unwrap();
        std::fs::write(place.path().join(MEMBERS), "{}").unwrap();
        let message = require_one_run(place.path()).unwrap_err().to_string();
        assert!(message.contains("name the folder of one of them"), "{message}");
        // beside a run, at its end or not, it is of another program
        for file in [run.fingerprints(), run.metrics()] {
            std::fs::write(&file, "{}").unwrap();
            require_one_run(place.path()).unwrap();
            assert!(MembersFolder::read(place.path()).unwrap().is_none(), "{file:?}");
            std::fs::remove_file(&file).unwrap();
        }
        assert!(MembersFolder::is_one(place.path()));
    }
}
