use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::locate::Search;
use crate::{Place, Tried, VERSION, device, install_folder, library, load};

/// What there is of ONNX Runtime on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// The version that `millstream runtime install` fetches.
    pub pinned_version: &'static str,
    /// Where it is put.
    #[serde(serialize_with = "millstream_schemas::written_path_if_any")]
    pub install_folder: Option<PathBuf>,
    /// The library that is used, if any.
    pub library: Option<LibraryReport>,
    /// Why there is none.
    pub problem: Option<String>,
    /// Every place that was looked at.
    pub searched: Vec<Tried>,
    /// Whether CUDA can be used.
    pub cuda: CudaReport,
}

/// A loaded library.
#[derive(Clone, Debug, Serialize)]
pub struct LibraryReport {
    /// The file.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub path: PathBuf,
    /// Who named it.
    pub place: Place,
    /// Its version.
    pub version: String,
    /// How it was built, in its own words.
    pub build: String,
    /// Execution providers it was built with.
    pub providers: Vec<String>,
}

/// Whether CUDA can be used.
#[derive(Clone, Debug, Serialize)]
pub struct CudaReport {
    /// Whether a session on device 0 can be made.
    pub available: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Looks for the library, loads it and tries CUDA.
pub fn doctor(flag: Option<&Path>) -> Doctor {
    let (located, searched) = Search::of_this_process(flag).run();
    let loaded = located.and_then(|located| load(&located));
    let (library, problem, cuda) = match loaded {
        Err(error) => (None, Some(error.to_string()), Err("there is no library".to_owned())),
        Ok(runtime) => {
            let located = runtime.library();
            let report = LibraryReport {
                path: located.path.clone(),
                place: located.place,
                version: located.version.clone(),
                build: ort::info().to_owned(),
                providers: library::providers(),
            };
            (Some(report), None, device::try_cuda(runtime, 0).map_err(|reason| reason.to_string()))
        }
    };
    let cuda = match cuda {
        Ok(()) => CudaReport { available: true, reason: "a session on device 0 could be made".into() },
        Err(reason) => CudaReport { available: false, reason },
    };
    Doctor { pinned_version: VERSION, install_folder: install_folder().ok(), library, problem, searched, cuda }
}
