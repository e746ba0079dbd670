use std::path::PathBuf;
use std::process::ExitStatus;

use millstream_schemas::{count, shown, shown_path, shown_up_to};

use crate::no_cuda::NoCuda;
use crate::place::Place;
use crate::tried::Tried;
use crate::unusable::Unusable;
use crate::version::{OLDEST_MINOR, VERSION};

/// Why there is no ONNX Runtime library, or no such device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No library lies in any of the places that are looked through.
    #[error(
        "no ONNX Runtime library was found; these places were looked through, in this order:{}\n\
         run `millstream runtime install`, or point ORT_DYLIB_PATH at a library of version 1.{OLDEST_MINOR} or newer",
        list(.tried)
    )]
    NotFound {
        /// Every place, and what was found there.
        tried: Vec<Tried>,
    },
    /// A library was named, and it cannot be used.
    #[error("the ONNX Runtime library {}, named by {place}, cannot be used: {reason}", shown_path(.path))]
    Unusable {
        /// The library.
        path: PathBuf,
        /// Who named it.
        place: Place,
        /// Why not.
        reason: Unusable,
    },
    /// A process can hold one library, and another one is loaded.
    #[error("{} cannot be loaded: this process already uses {}", shown_path(.asked), shown_path(.loaded))]
    Loaded {
        /// The library in use.
        loaded: PathBuf,
        /// The other library.
        asked: PathBuf,
    },
    /// The library was loaded with another pool of threads for sessions to share, or without one.
    #[error(
        "{} cannot be shared: this process has loaded ONNX Runtime {}; open what is to be shared before anything else that \
         uses the library",
        count(*.asked as u64, "thread"), with(.loaded)
    )]
    SharedThreads {
        /// Its threads, if it was loaded with any to share.
        loaded: Option<usize>,
        /// The threads that were asked for.
        asked: usize,
    },
    /// The library was loaded without threads for sessions to share.
    #[error("this process has loaded ONNX Runtime without threads for sessions to share")]
    NoSharedThreads,
    /// No library is pinned for this platform.
    #[error(
        "cannot install ONNX Runtime: no library is pinned for this platform ({system} {architecture}); point \
         ORT_DYLIB_PATH at an ONNX Runtime library of version 1.{OLDEST_MINOR} or newer"
    )]
    Platform {
        /// Operating system.
        system: &'static str,
        /// Architecture of its processor.
        architecture: &'static str,
    },
    /// The environment names no folder for data.
    #[error("cannot install ONNX Runtime: neither XDG_DATA_HOME nor HOME is set, so there is no folder to install to")]
    NoDataFolder,
    /// A folder to install to that lies in no other folder.
    #[error("cannot install ONNX Runtime: {} cannot be a folder to install to", shown_path(.folder))]
    InstallFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Python, whose pip fetches the wheel, cannot be started.
    #[error("cannot install ONNX Runtime: cannot start python3 ({reason}); install Python with pip, {OTHERWISE}")]
    Python {
        /// What the system said.
        reason: std::io::Error,
    },
    /// pip failed.
    #[error(
        "cannot install ONNX Runtime: `python3 -m pip download {wheel}=={VERSION}` failed ({status}): {}; check the \
         network, {OTHERWISE}", shown_up_to(.said, 800)
    )]
    Download {
        /// Name of the wheel.
        wheel: &'static str,
        /// How pip ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// pip reported success, and there is no wheel.
    #[error("cannot install ONNX Runtime: pip reported success but fetched no wheel; {OTHERWISE}")]
    NothingDownloaded,
    /// A wheel is not the one that is pinned.
    #[error("{} is not the pinned wheel {wheel} {VERSION}: its SHA-256 is {got}, wanted {wanted}", shown_path(.path))]
    WheelHash {
        /// The file.
        path: PathBuf,
        /// The wheel's name.
        wheel: &'static str,
        /// The pinned SHA-256.
        wanted: &'static str,
        /// The file's.
        got: String,
    },
    /// A wheel that cannot be read.
    #[error("cannot install ONNX Runtime: {}", shown_path(.path))]
    Wheel {
        /// The file.
        path: PathBuf,
        /// What is wrong with the archive.
        source: zip::result::ZipError,
    },
    /// A file in a wheel that cannot be unpacked.
    #[error("cannot install ONNX Runtime: {}: {}", shown_path(.path), shown(.entry))]
    WheelEntry {
        /// The wheel.
        path: PathBuf,
        /// The file in it.
        entry: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was installed cannot be used.
    #[error("cannot install ONNX Runtime: {} was installed but cannot be used: {reason}", shown_path(.folder))]
    InstalledUnusable {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: Unusable,
    },
    /// No name of a device.
    #[error("device is `{}`: wanted `auto`, `cpu`, `cuda` or `cuda:N`", shown_up_to(.name, 40))]
    DeviceName {
        /// As written.
        name: String,
    },
    /// The device that was asked for cannot be had.
    #[error("device `{asked}` cannot be had: {reason}")]
    Device {
        /// As written.
        asked: String,
        /// Why not, and what to do where that is known.
        reason: NoCuda,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {}", shown_path(.path))]
    Io {
        /// `read`, `write`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What to do when pip cannot do it.
const OTHERWISE: &str = "or download the wheel elsewhere and run `millstream runtime install --from FILE.whl`";

impl RuntimeError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(|tried| format!("\n  {}: {}", tried.place, tried.finding)).collect()
}

fn with(threads: &Option<usize>) -> String {
    threads.map_or_else(|| "without threads to share".into(), |threads| format!("with {threads}"))
}
