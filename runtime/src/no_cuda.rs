use std::path::PathBuf;

use millstream_schemas::{shown_path, shown_up_to};

/// Why a CUDA device cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoCuda {
    /// The library is one for the CPU.
    #[error("the library {} was built without CUDA; `millstream runtime install --cuda` fetches one with it", shown_path(.library))]
    NotBuilt {
        /// The library.
        library: PathBuf,
    },
    /// A session on the device cannot be made.
    #[error("{}", shown_up_to(.0.message().trim(), 800))]
    Session(ort::Error),
}
