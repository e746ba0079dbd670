use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use millstream_schemas::{FileLock, files};

use crate::{RuntimeError, VERSION, install_folder, locate};

/// Which build of the library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// For the CPU only.
    #[default]
    Cpu,
    /// With CUDA 13 as well; the CUDA and cuDNN libraries themselves must be on the machine.
    Cuda,
}

struct Wheel {
    package: &'static str,
    sha256: &'static str,
}

impl Variant {
    fn wheel(self) -> Wheel {
        match self {
            Self::Cpu => Wheel {
                package: "onnxruntime",
                sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
            },
            Self::Cuda => Wheel {
                package: "onnxruntime-gpu",
                sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
            },
        }
    }
}

/// What to install and from where.
#[derive(Clone, Debug, Default)]
pub struct InstallOptions {
    /// Which build.
    pub variant: Variant,
    /// A wheel file that is already here; fetched through pip when not given.
    pub from: Option<PathBuf>,
    /// Where to; [`install_folder`](crate::install_folder()) when not given.
    pub folder: Option<PathBuf>,
}

/// An installed library.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    /// The library file.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub library: PathBuf,
    /// Its version.
    pub version: String,
    /// Which build; the one with CUDA may be there although the other was asked for.
    pub variant: Variant,
    /// Whether it was there before, so that nothing was done.
    pub already_there: bool,
}

/// Installs the pinned library: the wheel is fetched through pip with its hash required, or taken from a file whose hash
/// is checked; the library is unpacked beside its place and renamed into it. A build with CUDA that is there is kept when
/// the one for the CPU is asked for, since it does the same and more; delete its folder to go back.
///
/// # Errors
/// The platform has no pinned wheel, pip fails, the wheel is another one, or the folder cannot be written.
pub fn install(options: &InstallOptions) -> Result<Installed, RuntimeError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(RuntimeError::Platform { system: std::env::consts::OS, architecture: std::env::consts::ARCH });
    }
    let folder = options.folder.clone().map_or_else(install_folder, Ok)?;
    let wheel = options.variant.wheel();
    if let Some(installed) = already_in(&folder, options.variant) {
        return Ok(installed);
    }
    let parent = folder.parent().ok_or_else(|| RuntimeError::InstallFolder { folder: folder.clone() })?;
    files::create_folder(parent).map_err(RuntimeError::io("create", parent))?;
    let lock = parent.join(LOCK);
    // One at a time: whoever waited finds it done.
    let _lock = FileLock::wait(&lock).map_err(RuntimeError::io("write", lock))?;
    if let Some(installed) = already_in(&folder, options.variant) {
        return Ok(installed);
    }
    sweep(parent);
    let work = Scratch::new(parent)?;
    let file = match &options.from {
        Some(file) => file.clone(),
        None => download(&wheel, &work.0)?,
    };
    let got = files::sha256_of_file(&file).map_err(RuntimeError::io("read", &file))?;
    if got != wheel.sha256 {
        return Err(RuntimeError::WheelHash { path: file, wheel: wheel.package, wanted: wheel.sha256, got });
    }
    let unpacked = work.0.join("library");
    unpack(&file, &unpacked)?;
    files::write_synced(&unpacked.join(WHEEL_RECORD), wheel.sha256.as_bytes())
        .map_err(RuntimeError::io("write", unpacked.join(WHEEL_RECORD)))?;
    files::sync_folder(&unpacked).map_err(RuntimeError::io("sync", &unpacked))?;
    if let Err(error) = put_in_place(&unpacked, &folder, &work.0.join("replaced")) {
        // Another process may have been faster at the same.
        return already_in(&folder, options.variant).ok_or(error);
    }
    files::sync_folder(parent).map_err(RuntimeError::io("sync", parent))?;
    let (library, version) = locate::usable_in(&folder)
        .map_err(|reason| RuntimeError::InstalledUnusable { folder: folder.clone(), reason })?;
    Ok(Installed { library, version, variant: options.variant, already_there: false })
}

/// What is installed, if it does what is wanted: the build with CUDA can do all that the one without can, and whoever
/// fetched it is not to lose it.
fn already_in(folder: &Path, wanted: Variant) -> Option<Installed> {
    let record = fs::read_to_string(folder.join(WHEEL_RECORD)).ok()?;
    let variant = [Variant::Cpu, Variant::Cuda].into_iter().find(|variant| variant.wheel().sha256 == record.trim())?;
    if wanted == Variant::Cuda && variant == Variant::Cpu {
        return None;
    }
    let (library, version) = locate::usable_in(folder).ok()?;
    Some(Installed { library, version, variant, already_there: true })
}

/// Renames `new` to `folder`; what was there goes to `old`.
fn put_in_place(new: &Path, folder: &Path, old: &Path) -> Result<(), RuntimeError> {
    if folder.exists() {
        fs::rename(folder, old).map_err(RuntimeError::io("replace", folder))?;
    }
    fs::rename(new, folder).map_err(RuntimeError::io("write", folder))
}

/// Names the wheel that a folder was unpacked from.
const WHEEL_RECORD: &str = "wheel.sha256";

/// A folder that goes away at the end.
struct Scratch(PathBuf);

/// Held by the process that installs.
const LOCK: &str = ".install.lock";

const SCRATCH: &str = ".install-";

impl Scratch {
    fn new(parent: &Path) -> Result<Self, RuntimeError> {
        let path = parent.join(format!("{SCRATCH}{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(RuntimeError::io("create", &path))?;
        Ok(Self(path))
    }
}

/// Deletes what installs that were killed left behind.
fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().and_then(|name| name.to_str());
        let process = name.and_then(|name| name.strip_prefix(SCRATCH)).and_then(|id| id.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn download(wheel: &Wheel, work: &Path) -> Result<PathBuf, RuntimeError> {
    let requirements = work.join("requirements.txt");
    let line = format!("{}=={VERSION} --hash=sha256:{}\n", wheel.package, wheel.sha256);
    fs::write(&requirements, line).map_err(RuntimeError::io("write", &requirements))?;
    let folder = work.join("wheel");
    let mut command = Command::new("python3");
    // The wheel is only unpacked, so it is the same for any Python that runs pip.
    command
        .args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes", "--implementation", "cp", "--python-version", "3.11"])
        .args(["--abi", "cp311", "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64"])
        .arg("--dest")
        .arg(&folder)
        .arg("-r")
        .arg(&requirements);
    let output = command.output().map_err(|reason| RuntimeError::Python { reason })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = said[said.len().saturating_sub(4)..].join("; ");
        return Err(RuntimeError::Download { wheel: wheel.package, status: output.status, said });
    }
    let files = fs::read_dir(&folder).map_err(RuntimeError::io("read", &folder))?;
    files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or(RuntimeError::NothingDownloaded)
}

/// Takes the libraries and the licence texts out of a wheel.
fn unpack(wheel: &Path, folder: &Path) -> Result<(), RuntimeError> {
    let damaged = |source| RuntimeError::Wheel { path: wheel.to_owned(), source };
    fs::create_dir_all(folder).map_err(RuntimeError::io("create", folder))?;
    let file = File::open(wheel).map_err(RuntimeError::io("read", wheel))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(damaged)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let Some(wanted) = wanted_name(&name) else { continue };
        let path = folder.join(wanted);
        let mut output = File::create(&path).map_err(RuntimeError::io("write", &path))?;
        let unpacked = io::copy(&mut entry, &mut output);
        let damaged = |source| RuntimeError::WheelEntry { path: wheel.to_owned(), entry: name.clone(), source };
        unpacked.map_err(damaged)?;
        output.sync_all().map_err(RuntimeError::io("write", &path))?;
    }
    Ok(())
}

/// The file name under which an entry of the wheel is kept, if it is.
fn wanted_name(entry: &str) -> Option<&str> {
    if let Some(name) = entry.strip_prefix("onnxruntime/capi/") {
        return (!name.contains('/') && name.starts_with("libonnxruntime") && name.contains(".so")).then_some(name);
    }
    let name = entry.strip_prefix("onnxruntime/")?;
    matches!(name, "LICENSE" | "ThirdPartyNotices.txt").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_and_licences_are_taken_from_a_wheel() {
        for (entry, wanted) in [
            ("onnxruntime/capi/libonnxruntime.so.1.31.1", Some("libonnxruntime.so.1.31.1")),
            ("onnxruntime/capi/libonnxruntime_providers_cuda.so", Some("libonnxruntime_providers_cuda.so")),
            ("onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so", None),
            ("onnxruntime/capi/../../libonnxruntime.so", None),
            ("onnxruntime/LICENSE", Some("LICENSE")),
            ("onnxruntime/backend/backend.py", None),
        ] {
            assert_eq!(wanted_name(entry), wanted, "{entry}");
        }
    }

    #[test]
    fn a_wheel_is_unpacked_to_its_libraries() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        let mut archive = zip::ZipWriter::new(File::create(&wheel).unwrap());
        for (name, method) in [
            ("onnxruntime/capi/libonnxruntime.so.1.31.1", zip::CompressionMethod::Deflated),
            ("onnxruntime/LICENSE", zip::CompressionMethod::Stored),
            ("onnxruntime/__init__.py", zip::CompressionMethod::Stored),
        ] {
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            archive.start_file(name, options).unwrap();
            archive.write_all(name.repeat(100).as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        let target = folder.path().join("library");
        unpack(&wheel, &target).unwrap();
        let library = fs::read_to_string(target.join("libonnxruntime.so.1.31.1")).unwrap();
        assert_eq!(library, "onnxruntime/capi/libonnxruntime.so.1.31.1".repeat(100));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
        fs::write(&wheel, b"PK no archive").unwrap();
        assert!(unpack(&wheel, &target).unwrap_err().to_string().contains("a.whl"));
    }

    #[test]
    fn a_wheel_with_another_hash_is_refused_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("other.whl");
        fs::write(&wheel, b"PK").unwrap();
        let target = folder.path().join("data/1.31.1");
        let options = InstallOptions { from: Some(wheel), folder: Some(target.clone()), variant: Variant::Cpu };
        let message = install(&options).unwrap_err().to_string();
        assert!(message.contains("not the pinned wheel onnxruntime 1.31.1"), "{message}");
        assert!(!target.exists());
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);
    }

    /// A folder that looks like an installed build.
    #[cfg(target_os = "linux")]
    fn installed(folder: &Path, variant: Variant) {
        let library = locate::locate(None).unwrap().path.canonicalize().unwrap();
        fs::create_dir_all(folder).unwrap();
        std::os::unix::fs::symlink(library, folder.join(format!("libonnxruntime.so.{VERSION}"))).unwrap();
        fs::write(folder.join(WHEEL_RECORD), variant.wheel().sha256).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_install_for_the_cpu_keeps_a_build_with_cuda() {
        use Variant::{Cpu, Cuda};
        for (there, wanted, kept) in [(Cpu, Cpu, true), (Cuda, Cuda, true), (Cuda, Cpu, true), (Cpu, Cuda, false)] {
            let folder = tempfile::tempdir().unwrap();
            installed(folder.path(), there);
            let found = already_in(folder.path(), wanted);
            assert_eq!(found.is_some(), kept, "{there:?} is there, {wanted:?} is wanted");
            assert!(found.is_none_or(|found| found.variant == there && found.already_there));
        }
        let folder = tempfile::tempdir().unwrap();
        installed(folder.path(), Cpu);
        fs::write(folder.path().join(WHEEL_RECORD), "of another version").unwrap();
        assert!(already_in(folder.path(), Cpu).is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_killed_installs_left_behind_is_swept_and_what_runs_is_not() {
        let folder = tempfile::tempdir().unwrap();
        // No process has so high a number.
        let [dead, alive, other] =
            [format!("{SCRATCH}4294967295"), format!("{SCRATCH}{}", std::process::id()), "1.31.1".into()]
                .map(|name| folder.path().join(name));
        for path in [&dead, &alive, &other] {
            fs::create_dir(path).unwrap();
        }
        sweep(folder.path());
        assert_eq!((dead.exists(), alive.exists(), other.exists()), (false, true, true));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_place_that_another_install_took_meanwhile_is_an_error_that_leaves_it_whole() {
        let parent = tempfile::tempdir().unwrap();
        let [new, folder] = ["new", "1.31.1"].map(|name| parent.path().join(name));
        fs::create_dir(&new).unwrap();
        installed(&folder, Variant::Cpu);
        // The name for what is replaced is taken, as when the other install came between the two renames.
        let old = parent.path().join("replaced");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("full"), b"").unwrap();
        assert!(put_in_place(&new, &folder, &old).is_err());
        assert!(already_in(&folder, Variant::Cpu).is_some());
    }
}
