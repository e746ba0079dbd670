//! Paths as JSON can hold them: a text is UTF-8, and a path need not be.

use std::path::{Path, PathBuf};

use serde::Serializer;

/// Writes a path as a text, for `#[serde(serialize_with = …)]`: what is no UTF-8 in it becomes `�`, so that a report of a folder whose name
/// is no text is a report and no error. What is read back of such a path names no file.
///
/// # Errors
/// Those of the serializer.
pub fn written_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The same of a path that may be none.
///
/// # Errors
/// Those of the serializer.
pub fn written_path_if_any<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.serialize_some(&path.to_string_lossy()),
        None => serializer.serialize_none(),
    }
}

/// The same of several.
///
/// # Errors
/// Those of the serializer.
pub fn written_paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Report {
        #[serde(serialize_with = "written_path")]
        folder: PathBuf,
        #[serde(serialize_with = "written_path_if_any")]
        model: Option<PathBuf>,
        #[serde(serialize_with = "written_paths")]
        files: Vec<PathBuf>,
    }

    #[test]
    fn paths_that_are_texts_are_written_as_ever() {
        let report =
            Report { folder: "runs/é".into(), model: Some("m.onnx".into()), files: vec!["a".into(), "b".into()] };
        let wanted = json!({"folder": "runs/é", "model": "m.onnx", "files": ["a", "b"]});
        assert_eq!(serde_json::to_value(report).unwrap(), wanted);
        let report = Report { folder: PathBuf::new(), model: None, files: Vec::new() };
        assert_eq!(serde_json::to_value(report).unwrap(), json!({"folder": "", "model": null, "files": []}));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_utf_8_is_written_and_makes_no_panic() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let path = || PathBuf::from(OsStr::from_bytes(b"runs/\xff"));
        assert!(serde_json::to_value(path()).is_err(), "which is what the others would be");
        let report = Report { folder: path(), model: Some(path()), files: vec![path()] };
        let wanted = json!({"folder": "runs/\u{fffd}", "model": "runs/\u{fffd}", "files": ["runs/\u{fffd}"]});
        assert_eq!(serde_json::to_value(report).unwrap(), wanted);
    }
}
