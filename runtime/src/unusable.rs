use std::path::PathBuf;

use millstream_schemas::{shown_path, shown_up_to};

use crate::version::OLDEST_MINOR;

/// Why a file or a folder gives no library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The file is not there.
    #[error("there is no such file")]
    NoFile,
    /// The folder is not there.
    #[error("no such folder")]
    NoFolder,
    /// No file of the folder has the name of a library.
    #[error("no ONNX Runtime library in it")]
    NoLibrary,
    /// Files have the name, and none can be used.
    #[error("{}", list(.0))]
    NoneOf(Vec<(PathBuf, Unusable)>),
    /// The system does not load it.
    #[error("{}", with_sources(.0))]
    System(libloading::Error),
    /// ONNX Runtime's interface cannot be had from it.
    #[error("{}", with_sources(.0))]
    Interface(ort::LoadDynamicError),
    /// It is another library.
    #[error("it does not export `OrtGetApiBase`, so it is no ONNX Runtime library")]
    NoInterface,
    /// It is an ONNX Runtime library, by its exports, and offers nothing.
    #[error("its `OrtGetApiBase` returns nothing")]
    EmptyInterface,
    /// It is too old, or of another major version.
    #[error("it is version {}, wanted 1.{OLDEST_MINOR} or newer", shown_up_to(.version, 40))]
    Version {
        /// Its version.
        version: String,
    },
    /// It does not start.
    #[error("{}", .0.message())]
    Start(ort::Error),
}

fn list(problems: &[(PathBuf, Unusable)]) -> String {
    let said = problems.iter().map(|(path, problem)| format!("{}: {problem}", shown_path(path)));
    said.collect::<Vec<_>>().join("; ")
}

/// An error's text with those of its sources: the display of loader errors leaves the system's reason out.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
