//! Which part of a study the folder of a run is.

use std::path::{Path, PathBuf};

use millstream_schemas::shown_path;
use serde::{Deserialize, Serialize};

use crate::search::StudyFolder;

/// Folders between a run and the study that it is of, at most: `trials/0007/fold-1`.
const DEEPEST: usize = 3;

/// What a run is in a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyPart {
    /// The folder of the study.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub study: PathBuf,
    /// As what the run lies in it.
    pub role: StudyRole,
}

/// As what a run lies in a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StudyRole {
    /// The recipe of the best trial, trained again.
    Best,
    /// The recipe of the best trial, trained on all rows.
    Refit,
    /// A trial, or one of its runs.
    Trial(u64),
}

impl StudyPart {
    /// Of a run by its folder; none where it lies in no study.
    pub fn of(run: &Path) -> Option<Self> {
        let run = run.canonicalize().unwrap_or_else(|_| run.to_owned());
        let study = run.ancestors().skip(1).take(DEEPEST).find(|folder| StudyFolder::new(*folder).holds_study())?;
        let within: Vec<&str> = run.strip_prefix(study).ok()?.iter().filter_map(|part| part.to_str()).collect();
        let role = match within[..] {
            ["best"] => StudyRole::Best,
            ["refit"] => StudyRole::Refit,
            ["trials", number] | ["trials", number, _] => StudyRole::Trial(number.parse().ok()?),
            _ => return None,
        };
        Some(Self { study: study.to_owned(), role })
    }

    /// `trial 7 of the study flowers`.
    pub fn in_words(&self) -> String {
        let study = shown_path(self.study.file_name().map_or_else(|| self.study.clone(), PathBuf::from));
        match self.role {
            StudyRole::Best => format!("the best recipe of the study {study}"),
            StudyRole::Refit => format!("the best recipe of the study {study}, on all rows"),
            StudyRole::Trial(number) => format!("trial {number} of the study {study}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_knows_the_study_that_it_lies_in() {
        let place = tempfile::tempdir().unwrap();
        let study = place.path().join("flowers");
        for folder in ["trials/0007/fold-1", "refit", "best", "other", "trials/seven"] {
            std::fs::create_dir_all(study.join(folder)).unwrap();
        }
        let of = |folder: &str| StudyPart::of(&study.join(folder)).map(|part| part.in_words());
        assert_eq!(of("refit"), None);
        std::fs::write(study.join("study.json"), "{}").unwrap();
        for (folder, wanted) in [
            ("trials/0007", Some("trial 7 of the study flowers")),
            ("trials/0007/fold-1", Some("trial 7 of the study flowers")),
            ("best", Some("the best recipe of the study flowers")),
            ("refit", Some("the best recipe of the study flowers, on all rows")),
            ("other", None),
            ("trials", None),
            ("trials/seven", None),
            ("", None),
        ] {
            assert_eq!(of(folder).as_deref(), wanted, "{folder}");
        }
    }
}
