//! What `--version` says: the build, and the ONNX Runtime library that would be used.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use millstream::runtime::{RuntimeError, VERSION, locate};
use millstream::schemas::shown_path;

/// For a command line of these words. The library is looked for only where they ask for this.
pub(crate) fn version(words: &[OsString]) -> String {
    let own = env!("CARGO_PKG_VERSION");
    let commit = millstream::recipes::commit().map_or_else(|| "no commit".to_owned(), short);
    let build = format!("{own} ({commit}, {})", env!("MILLSTREAM_TARGET"));
    match words.iter().any(|word| word == "--version") {
        true => format!("{build}\nONNX Runtime: {}", library(named_library(words).as_deref())),
        false => build,
    }
}

/// The library that would be used, or why there is none.
fn library(named: Option<&Path>) -> String {
    match locate(named) {
        Ok(found) => format!("{} ({}, found by {})", found.version, shown_path(&found.path), found.place),
        Err(RuntimeError::NotFound { .. }) => format!(
            "none found: `millstream runtime install` fetches {VERSION}, and `millstream runtime doctor` says where was looked"
        ),
        Err(error) => format!("none found: {error}"),
    }
}

/// What `--runtime` names.
fn named_library(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--runtime" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--runtime=")) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

/// Nine digits of a commit, and whether files differed from it.
fn short(commit: &str) -> String {
    let (commit, changed) = commit.split_once('+').unwrap_or((commit, ""));
    let plus = if changed.is_empty() { "" } else { "+" };
    format!("{}{plus}{changed}", commit.get(..9).unwrap_or(commit))
}
