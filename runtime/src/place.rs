use std::fmt;

use serde::Serialize;

/// Who named a library, or where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A flag of the command line.
    Flag,
    /// The environment variable `ORT_DYLIB_PATH`.
    Environment,
    /// Our data folder, where `millstream runtime install` puts it.
    DataFolder,
    /// The folder of the executable.
    BesideExecutable,
    /// An `onnxruntime` Python package, found on disk without importing it.
    PythonPackage,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "the flag",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::DataFolder => "the data folder",
            Self::BesideExecutable => "the executable's folder",
            Self::PythonPackage => "a Python package",
        })
    }
}
