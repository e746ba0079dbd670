use std::io;

use millstream_schemas::shown;
use safetensors::{Dtype, SafeTensorError};

use super::file_names::{HISTORY, LARGEST_MANIFEST, MANIFEST, MANIFEST_HASH};

/// Why a checkpoint cannot be loaded, or not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// A file cannot be read.
    #[error("{file}: {reason}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The manifest is longer than any that is read.
    #[error("{file} has more than {LARGEST_MANIFEST} bytes")]
    TooLong {
        /// The file.
        file: String,
    },
    /// The manifest would be longer than any that is read.
    #[error("{MANIFEST} would have {bytes} bytes, at most {LARGEST_MANIFEST} are read")]
    WouldBeTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The manifest is not the one that was written.
    #[error("{MANIFEST} was changed or cut: its SHA-256 is not the one in {MANIFEST_HASH}")]
    ManifestChanged,
    /// The manifest does not parse.
    #[error("{MANIFEST}: {0}")]
    Manifest(serde_json::Error),
    /// The history does not parse.
    #[error("{HISTORY}: {0}")]
    History(serde_json::Error),
    /// The manifest is of another version.
    #[error("{MANIFEST} has version {}, this build reads {oldest} to {wanted}", version(*.got))]
    Version {
        /// The version of this build.
        wanted: u32,
        /// The oldest that it reads.
        oldest: u32,
        /// Its version, if it states one.
        got: Option<u64>,
    },
    /// The manifest does not list a file that a checkpoint needs.
    #[error("{MANIFEST} does not list {file}")]
    NotListed {
        /// The file.
        file: String,
    },
    /// A file was cut or has grown.
    #[error("{file} has {got} bytes, wanted {wanted}")]
    Size {
        /// The file.
        file: String,
        /// As the manifest says.
        wanted: u64,
        /// What there is.
        got: u64,
    },
    /// A file's bytes are others.
    #[error("{file} was changed: its SHA-256 is {got}, wanted {wanted}")]
    Hash {
        /// The file.
        file: String,
        /// As the manifest says.
        wanted: String,
        /// What there is.
        got: String,
    },
    /// The tensors of a file are not those of the graph.
    #[error("{file}: {fault}")]
    Tensors {
        /// The file.
        file: String,
        /// What is wrong with them.
        fault: TensorsFault,
    },
}

/// What is wrong with a file of tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorsFault {
    /// It is no such file.
    #[error(transparent)]
    Format(#[from] SafeTensorError),
    /// There are more or fewer than wanted.
    #[error("it has {got} tensors, wanted {wanted}")]
    Count {
        /// Of the graph.
        wanted: usize,
        /// Of the file.
        got: usize,
    },
    /// One is not there.
    #[error("`{}`: {reason}", shown(.name))]
    Missing {
        /// Its name.
        name: String,
        /// What the reader said.
        reason: SafeTensorError,
    },
    /// One has another type or shape.
    #[error("`{}` is {dtype:?} {got:?}, wanted {wanted_dtype:?} {wanted:?}", shown(.name))]
    Shape {
        /// Its name.
        name: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        got: Vec<usize>,
        /// The graph's type.
        wanted_dtype: Dtype,
        /// The graph's shape.
        wanted: Vec<usize>,
    },
    /// One has elements of a type that no optimizer remembers.
    #[error("`{}` is said to be {}, which no state is", shown(.name), shown(.dtype))]
    Type {
        /// Its name.
        name: String,
        /// What the manifest says.
        dtype: String,
    },
    /// One that is to be written has another number of values than its shape says.
    #[error("`{}` has {values} values, its shape is {shape:?}", shown(.name))]
    Values {
        /// Its name.
        name: String,
        /// Its values.
        values: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
}

fn version(got: Option<u64>) -> String {
    got.map_or_else(|| "none".to_owned(), |version| version.to_string())
}
