//! Finds, loads, installs and examines the ONNX Runtime library, and says which devices it has.
//!
//! The library is loaded at run time, once a process; nothing is linked or downloaded when this crate is built.

mod device;
mod doctor;
mod error;
mod install;
mod install_folder;
mod library;
mod locate;
mod no_cuda;
mod place;
mod tried;
mod unusable;
mod version;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use ort::environment::GlobalThreadPoolOptions;

pub use device::{Device, DeviceKind, DeviceRequest, cuda_provider};
pub use doctor::{CudaReport, Doctor, LibraryReport, doctor};
pub use error::RuntimeError;
pub use install::{InstallOptions, Installed, Variant, install};
pub use install_folder::install_folder;
pub use locate::{Located, Search, locate};
pub use no_cuda::NoCuda;
pub use place::Place;
pub use tried::Tried;
pub use unusable::Unusable;
pub use version::{OLDEST_MINOR, VERSION};

/// The loaded library.
#[derive(Debug)]
pub struct Runtime {
    environment: ort::environment::Environment,
    library: Located,
    shared_threads: Option<usize>,
}

impl Runtime {
    /// Where the library lies and who named it.
    pub fn library(&self) -> &Located {
        &self.library
    }

    /// Its environment, from which sessions are made.
    pub fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }

    /// Threads of the pool that sessions can share; none where there is no such pool.
    pub fn shared_threads(&self) -> Option<usize> {
        self.shared_threads
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
pub fn ready(flag: Option<&Path>) -> Result<&'static Runtime, RuntimeError> {
    match (current(), flag) {
        (Some(runtime), None) => Ok(runtime),
        _ => load(&locate(flag)?),
    }
}

/// As [`ready`], with a pool of so many threads that sessions can share; 0 takes one for each core. The calling thread of a
/// session counts as one.
///
/// # Errors
/// As [`ready`], or the library was loaded without such a pool.
pub fn ready_with_threads(flag: Option<&Path>, threads: usize) -> Result<&'static Runtime, RuntimeError> {
    let threads = if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
    let runtime = match (current(), flag) {
        (Some(runtime), None) => runtime,
        _ => load_with(&locate(flag)?, Some(threads))?,
    };
    match runtime.shared_threads {
        Some(loaded) if loaded == threads => Ok(runtime),
        loaded => Err(RuntimeError::SharedThreads { loaded, asked: threads }),
    }
}

/// Loads the library: telemetry off, one environment for the process.
///
/// # Errors
/// It does not load (the system's reason is in the error), or another library is already in use.
pub fn load(located: &Located) -> Result<&'static Runtime, RuntimeError> {
    load_with(located, None)
}

/// Loads the library, with so many threads for sessions to share if it was not loaded before.
fn load_with(located: &Located, shared_threads: Option<usize>) -> Result<&'static Runtime, RuntimeError> {
    let _guard = LOADING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        if same_file(&runtime.library.path, &located.path) {
            return Ok(runtime);
        }
        return Err(RuntimeError::Loaded { loaded: runtime.library.path.clone(), asked: located.path.clone() });
    }
    let unusable = |reason| RuntimeError::Unusable { path: located.path.clone(), place: located.place, reason };
    let builder = ort::init_from(&located.path).map_err(|error| unusable(Unusable::Interface(error)))?;
    let mut builder = builder.with_name("millstream").with_telemetry(false);
    if let Some(threads) = shared_threads {
        builder = builder.with_global_thread_pool(pool(threads).map_err(|error| unusable(Unusable::Start(error)))?);
    }
    let environment = builder.build().map_err(|error| unusable(Unusable::Start(error)))?;
    // With a logger in place ONNX Runtime otherwise formats every verbose message of every run.
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(RUNTIME.get_or_init(|| Runtime { environment, library: located.clone(), shared_threads }))
}

/// Threads that sessions share do what those of one session do: they do not spin while they wait.
fn pool(threads: usize) -> ort::Result<GlobalThreadPoolOptions> {
    GlobalThreadPoolOptions::default().with_intra_threads(threads)?.with_inter_threads(1)?.with_spin_control(false)
}

fn same_file(a: &Path, b: &Path) -> bool {
    let canonical = |path: &Path| -> PathBuf { path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
    canonical(a) == canonical(b)
}
