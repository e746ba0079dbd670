//! What people note of a run: what they decided, and why.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use millstream_schemas::{Fingerprint, shown, shown_path};
use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::run_folder::RunFolder;
use crate::{RecipeError, moment};

/// Letters of a note; what is longer is a document of its own.
const LONGEST: usize = 10_000;

/// A line of `notes.jsonl` in a run's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was noted, in UTC: `2026-11-27T03:11:00Z`.
    pub time: String,
    /// What was noted.
    pub text: String,
    /// What the run was made of then. Another run may take the folder later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Fingerprint>,
}

/// Appends a note to those of a run, which may be under way.
///
/// # Errors
/// The folder holds no run, the text is empty or longer than 10 000 letters, or the file cannot be written.
pub fn note(run: &Path, text: &str) -> Result<Decision, RecipeError> {
    let folder = RunFolder(run.to_owned());
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST {
        return Err(RecipeError::mismatch("the note", format!("wanted 1 to {LONGEST} letters")));
    }
    if !folder.recipe().exists() && !folder.0.join("ensemble.json").exists() {
        let message = format!("{} holds no run; name the output folder of one", shown_path(run));
        return Err(RecipeError::mismatch("run", message));
    }
    let decision = Decision { time: moment::now(), text: text.to_owned(), of: folder.beginning()?[0].clone() };
    let file = folder.notes();
    let mut line = serde_json::to_string(&decision).expect("our own types have string keys");
    line.push('\n');
    // a process that was ended while it wrote has left a part of a line
    let is_whole = fs::read(&file).map_or(true, |text| text.last().is_none_or(|last| *last == b'\n'));
    if !is_whole {
        line.insert(0, '\n');
    }
    let mut out = OpenOptions::new().create(true).append(true).open(&file).map_err(RecipeError::io("write", &file))?;
    out.write_all(line.as_bytes()).and_then(|()| out.sync_all()).map_err(RecipeError::io("write", &file))?;
    Ok(decision)
}

/// What was noted of a run, in order. A part of a line is passed over.
///
/// # Errors
/// The file cannot be read, or a line of it is no note.
pub fn decisions(run: &Path) -> Result<Vec<Decision>, RecipeError> {
    let file = RunFolder(run.to_owned()).notes();
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&file).map_err(RecipeError::io("read", &file))?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(decision) => found.push(decision),
            // cut off
            Err(error) if error.is_eof() => {}
            Err(error) => {
                let reason = format!("line {}: {}", number + 1, shown(error.to_string()));
                return Err(RecipeError::Statements { path: file, reason });
            }
        }
    }
    Ok(found)
}

/// What was noted of a run, in words: `2026-11-27 03:11 UTC: …`.
pub(crate) fn in_words(run: &Path) -> Result<Vec<String>, RecipeError> {
    let folder = RunFolder(run.to_owned());
    let (now, origin) = (folder.beginning()?, Origin::of_run(&folder)?);
    // What a note says of its run are hashes of files that are written anew where the run goes on. A run that has noted no origin is of a
    // build older than notes are: no other has taken the folder since.
    let is_of_this = |decision: &Decision| {
        now.contains(&decision.of) || origin.as_ref().is_none_or(|origin| decision.time > origin.began)
    };
    let words = |decision: &Decision| {
        let time = decision.time.get(..16).unwrap_or(&decision.time).replace('T', " ");
        let earlier = if is_of_this(decision) { "" } else { " (of an earlier run in this folder)" };
        format!("{time} UTC{earlier}: {}", decision.text)
    };
    Ok(decisions(run)?.iter().map(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_in_order_and_a_part_of_a_line_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path();
        assert!(note(run, "a").unwrap_err().to_string().contains("holds no run"));
        fs::write(run.join("recipe.yaml"), "version: 1\n").unwrap();
        assert!(decisions(run).unwrap().is_empty());
        for text in ["  ", &"x".repeat(LONGEST + 1)] {
            assert!(note(run, text).is_err());
        }
        note(run, " froze the backbone:\n\"too few rows\" ").unwrap();
        let file = run.join("notes.jsonl");
        let cut = fs::read_to_string(&file).unwrap() + "{\"time\":\"2026-1";
        fs::write(&file, cut).unwrap();
        note(run, "second").unwrap();
        let texts: Vec<String> = decisions(run).unwrap().into_iter().map(|one| one.text).collect();
        assert_eq!(texts, ["froze the backbone:\n\"too few rows\"", "second"]);
        fs::write(&file, "no note\n").unwrap();
        assert!(decisions(run).unwrap_err().to_string().contains("line 1"));
    }

    /// What a build has written of how a run began.
    fn begin(run: &Path, recipe: &str, began: Option<&str>) {
        fs::write(run.join("recipe.yaml"), recipe).unwrap();
        fs::write(run.join("fingerprints.json"), "{}").unwrap();
        let Some(began) = began else { return };
        let origin = Origin {
            version: 1,
            began: began.into(),
            software: "millstream".into(),
            commit: None,
            onnx_runtime: "1.20.1".into(),
            device: "cpu".into(),
            host: None,
            processor: None,
            threads: 2,
            parent: None,
        };
        origin.write(&RunFolder(run.to_owned())).unwrap();
    }

    #[test]
    fn a_note_of_an_older_build_is_not_called_one_of_an_earlier_run_after_a_resume() {
        const EARLIER: &str = "(of an earlier run in this folder)";
        for began in [None, Some("2026-01-01T00:00:00Z")] {
            let place = tempfile::tempdir().unwrap();
            let run = place.path();
            begin(run, "version: 1\n", began);
            let mut noted = note(run, "too few rows").unwrap();
            // as older builds told runs apart
            noted.of = RunFolder(run.to_owned()).beginning().unwrap()[1].clone();
            fs::write(run.join("notes.jsonl"), serde_json::to_string(&noted).unwrap() + "\n").unwrap();
            // going on, the run writes what it is made of as this build does
            fs::write(run.join("recipe.yaml"), "version: 1\nseed: 1\n").unwrap();
            fs::write(run.join("fingerprints.json"), r#"{"more": 1}"#).unwrap();
            assert!(!in_words(run).unwrap()[0].contains(EARLIER), "{began:?}");
            // another run takes the folder
            begin(run, "version: 1\nseed: 2\n", Some("2999-01-01T00:00:00Z"));
            assert!(in_words(run).unwrap()[0].ends_with("UTC (of an earlier run in this folder): too few rows"));
            note(run, "of the new one").unwrap();
            let words = in_words(run).unwrap();
            assert!(words[0].contains(EARLIER) && !words[1].contains(EARLIER), "{words:?}");
        }
    }
}
