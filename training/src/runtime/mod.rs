//! Finding, loading, installing and examining the ONNX Runtime library.
//!
//! The library is loaded at run time, once a process; nothing is linked or downloaded when this crate is built.

mod doctor;
mod install;
mod install_folder;
mod library;
mod locate;
mod tried;
mod version;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

pub use doctor::{CudaReport, Doctor, LibraryReport, doctor};
pub use install::{InstallOptions, Installed, Variant, install};
pub use install_folder::install_folder;
pub use locate::{Located, Place, Search, locate};
pub use tried::Tried;
pub use version::{OLDEST_MINOR, VERSION};

use crate::TrainingError;

/// The loaded library.
#[derive(Debug)]
pub struct Runtime {
    pub(crate) environment: ort::environment::Environment,
    library: Located,
}

impl Runtime {
    /// Where the library lies and who named it.
    pub fn library(&self) -> &Located {
        &self.library
    }

    /// Its version, for example `1.31.1`.
    pub fn version(&self) -> &str {
        &self.library.version
    }
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// The library that this process uses, if one was loaded.
pub fn current() -> Option<&'static Runtime> {
    RUNTIME.get()
}

/// Finds and loads the library; the loaded one when there is one.
///
/// # Errors
/// None is found, or the one that was named cannot be used.
pub fn ready(flag: Option<&Path>) -> Result<&'static Runtime, TrainingError> {
    match (current(), flag) {
        (Some(runtime), None) => Ok(runtime),
        _ => load(&locate(flag)?),
    }
}

/// Loads the library: telemetry off, one environment for the process.
///
/// # Errors
/// It does not load (the system's reason is in the error), or another library is already in use.
pub fn load(located: &Located) -> Result<&'static Runtime, TrainingError> {
    let _guard = LOADING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        if same_file(&runtime.library.path, &located.path) {
            return Ok(runtime);
        }
        return Err(TrainingError::RuntimeLoaded { loaded: runtime.library.path.clone(), asked: located.path.clone() });
    }
    let unusable = |reason| TrainingError::RuntimeUnusable {
        path: located.path.clone(),
        place: located.place.to_string(),
        reason,
    };
    let builder = ort::init_from(&located.path).map_err(|error| unusable(library::with_sources(&error)))?;
    let environment = builder
        .with_name("millstream")
        .with_telemetry(false)
        .build()
        .map_err(|error| unusable(error.message().to_owned()))?;
    // With a logger in place ONNX Runtime otherwise formats every verbose message of every run.
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(RUNTIME.get_or_init(|| Runtime { environment, library: located.clone() }))
}

fn same_file(a: &Path, b: &Path) -> bool {
    let canonical = |path: &Path| -> PathBuf { path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
    canonical(a) == canonical(b)
}
