use std::path::{Path, PathBuf};

use serde::Serialize;

use millstream_schemas::shown_path;

use crate::{Place, RuntimeError, Tried, Unusable, install_folder, library};

/// A library that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// The file.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub path: PathBuf,
    /// Who named it.
    pub place: Place,
    /// Its version, for example `1.31.1`.
    pub version: String,
}

/// The places to look at, in order of precedence.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// A library, or a folder that holds one, named on the command line.
    pub flag: Option<PathBuf>,
    /// The same, named by `ORT_DYLIB_PATH`.
    pub environment: Option<PathBuf>,
    /// Our data folder for the pinned version.
    pub data_folder: Option<PathBuf>,
    /// The folder of the executable.
    pub executable_folder: Option<PathBuf>,
    /// Folders in which Python keeps packages.
    pub python_folders: Vec<PathBuf>,
}

/// Finds the library: the flag, `ORT_DYLIB_PATH`, our data folder, beside the executable, an `onnxruntime` Python
/// package.
///
/// # Errors
/// Nothing usable is found (the error lists the places), or what the flag or the variable names cannot be used: a
/// named library is never silently replaced by another.
pub fn locate(flag: Option<&Path>) -> Result<Located, RuntimeError> {
    Search::of_this_process(flag).run().0
}

impl Search {
    /// The places as they are for this process.
    pub fn of_this_process(flag: Option<&Path>) -> Self {
        let executable = std::env::current_exe().ok();
        Self {
            flag: flag.map(Path::to_owned),
            environment: std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from),
            data_folder: install_folder().ok(),
            executable_folder: executable.as_deref().and_then(Path::parent).map(Path::to_owned),
            python_folders: python_folders(),
        }
    }

    /// Looks; returns the result and every place that was looked at.
    pub fn run(&self) -> (Result<Located, RuntimeError>, Vec<Tried>) {
        let mut tried = Vec::new();
        for (place, named) in [(Place::Flag, &self.flag), (Place::Environment, &self.environment)] {
            match named {
                None => tried.push(Tried { place: place.to_string(), finding: "not set".into() }),
                Some(path) => {
                    let result = named_library(path, place);
                    let finding = result.as_ref().map_or_else(ToString::to_string, describe);
                    tried.push(Tried { place: format!("{place} ({})", shown_path(path)), finding });
                    return (result, tried);
                }
            }
        }
        let python = self.python_folders.iter().map(|folder| Some(folder.join("onnxruntime/capi")));
        let places =
            [(Place::DataFolder, self.data_folder.clone()), (Place::BesideExecutable, self.executable_folder.clone())];
        for (place, folder) in places.into_iter().chain(python.map(|folder| (Place::PythonPackage, folder))) {
            let Some(folder) = folder else {
                let finding = if place == Place::DataFolder { "HOME is not set" } else { "not known" };
                tried.push(Tried { place: place.to_string(), finding: finding.into() });
                continue;
            };
            let label = format!("{place} ({})", shown_path(&folder));
            match usable_in(&folder) {
                Ok((path, version)) => {
                    let found = Located { path, place, version };
                    tried.push(Tried { place: label, finding: describe(&found) });
                    return (Ok(found), tried);
                }
                Err(reason) => tried.push(Tried { place: label, finding: reason.to_string() }),
            }
        }
        if self.python_folders.is_empty() {
            tried.push(Tried { place: Place::PythonPackage.to_string(), finding: "no folder of packages".into() });
        }
        (Err(RuntimeError::NotFound { tried: tried.clone() }), tried)
    }
}

fn describe(found: &Located) -> String {
    format!("version {} ({})", found.version, shown_path(&found.path))
}

fn named_library(path: &Path, place: Place) -> Result<Located, RuntimeError> {
    let unusable = |reason| RuntimeError::Unusable { path: path.to_owned(), place, reason };
    // A bare name would be searched for by the system's loader and could be another file.
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = if file.is_dir() {
        usable_in(&file)
    } else if file.exists() {
        library::probe(&file).map(|version| (file, version))
    } else {
        Err(Unusable::NoFile)
    };
    let (path, version) = found.map_err(unusable)?;
    Ok(Located { path, place, version })
}

/// The newest usable library in a folder with its version; what is there instead, if there is none.
pub(super) fn usable_in(folder: &Path) -> Result<(PathBuf, String), Unusable> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Err(Unusable::NoFolder) };
    let mut libraries: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_library_name))
        .filter(|path| path.is_file())
        .collect();
    libraries.sort_by_cached_key(|path| std::cmp::Reverse(version_in_name(path)));
    let mut problems = Vec::new();
    for path in libraries {
        match library::probe(&path) {
            Ok(version) => return Ok((path, version)),
            Err(reason) => problems.push((path, reason)),
        }
    }
    Err(if problems.is_empty() { Unusable::NoLibrary } else { Unusable::NoneOf(problems) })
}

/// The numbers in a file's name, so that 1.31 is newer than 1.4 and `python3.13` than `python3.9`.
fn version_in_name(path: &Path) -> Vec<u64> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn is_library_name(name: &str) -> bool {
    if cfg!(target_os = "windows") {
        name.eq_ignore_ascii_case("onnxruntime.dll")
    } else if cfg!(target_os = "macos") {
        name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

/// Folders in which Python keeps packages, found without starting Python.
fn python_folders() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).collect();
    prefixes.extend(variable("HOME").map(|home| home.join(".local")));
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    for folder in on_path.unwrap_or_default() {
        let python = ["python3", "python"].map(|name| folder.join(name)).into_iter().find(|file| file.is_file());
        // A link in a virtual environment leads out of it, so both the link's prefix and its target's count.
        let target = python.as_deref().and_then(|file| file.canonicalize().ok());
        for file in [python, target].into_iter().flatten() {
            prefixes.extend(file.parent().and_then(Path::parent).map(Path::to_owned));
        }
    }
    prefixes.extend(["/usr", "/usr/local"].map(PathBuf::from));
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in prefixes.iter().flat_map(|prefix| packages_below(prefix)) {
        // `/lib` is often a link to `/usr/lib`.
        let folder = folder.canonicalize().unwrap_or(folder);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Folders of packages below a prefix, those of the newest Python first.
fn packages_below(prefix: &Path) -> Vec<PathBuf> {
    let libraries = ["lib", "lib64"].map(|name| prefix.join(name));
    let entries = libraries.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut pythons: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python3")))
        .collect();
    pythons.sort_by_cached_key(|path| (std::cmp::Reverse(version_in_name(path)), path.clone()));
    let packages = pythons.iter().flat_map(|python| [python.join("site-packages"), python.join("dist-packages")]);
    packages.filter(|folder| folder.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(folder: &Path) -> Search {
        Search {
            data_folder: Some(folder.join("data")),
            executable_folder: Some(folder.join("bin")),
            python_folders: vec![folder.join("site-packages")],
            ..Search::default()
        }
    }

    #[test]
    fn nothing_found_lists_every_place_and_names_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let message = search(folder.path()).run().0.unwrap_err().to_string();
        for part in [
            "the flag: not set",
            "ORT_DYLIB_PATH: not set",
            "data",
            "bin",
            "site-packages",
            "millstream runtime install",
        ] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn a_named_library_that_is_not_there_is_an_error_even_if_another_would_do() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("missing.so");
        let search = Search { environment: Some(named), ..search(folder.path()) };
        let message = search.run().0.unwrap_err().to_string();
        assert!(message.contains("missing.so") && message.contains("no such file"), "{message}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_is_no_library_is_refused_with_the_systems_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libonnxruntime.so");
        std::fs::write(&file, b"not a library").unwrap();
        for named in [file, folder.path().to_owned()] {
            let search = Search { flag: Some(named), ..Search::default() };
            let message = search.run().0.unwrap_err().to_string();
            // The loader's own words: dlopen says either.
            let said = ["file too short", "invalid ELF header"].iter().any(|reason| message.contains(reason));
            assert!(message.contains("cannot be used: ") && said, "{message}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_that_cannot_be_used_does_not_hide_an_older_one_that_can() {
        let usable = locate(None).unwrap().path.canonicalize().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libonnxruntime.so.1.100.0"), b"\x7fELF").unwrap();
        std::os::unix::fs::symlink(usable, folder.path().join("libonnxruntime.so.1.99.0")).unwrap();
        let (path, _) = usable_in(folder.path()).unwrap();
        assert!(path.ends_with("libonnxruntime.so.1.99.0"), "{path:?}");
    }

    #[test]
    fn names_are_ordered_by_version() {
        let rows = [
            ("libonnxruntime.so.1.31.1", "libonnxruntime.so.1.4.0"),
            ("libonnxruntime.so.1.31.1", "libonnxruntime.so"),
            ("libonnxruntime.so.1.31.1", "libonnxruntime.so.1"),
            ("python3.13", "python3.9"),
            ("python3.10", "python3"),
        ];
        for (newer, older) in rows {
            let of = |name: &str| version_in_name(Path::new(name));
            assert!(of(newer) > of(older), "{newer} is newer than {older}");
        }
    }

    #[test]
    fn packages_of_the_newest_python_come_first_wherever_they_are() {
        let prefix = tempfile::tempdir().unwrap();
        let folders = ["lib64/python3.13/site-packages", "lib/python3.9/site-packages", "lib/python3.9/dist-packages"];
        for folder in folders {
            std::fs::create_dir_all(prefix.path().join(folder)).unwrap();
        }
        assert_eq!(packages_below(prefix.path()), folders.map(|folder| prefix.path().join(folder)));
    }

    #[test]
    fn a_data_folder_that_is_not_known_is_listed_too() {
        let message = Search::default().run().0.unwrap_err().to_string();
        assert!(message.contains("the data folder: HOME is not set"), "{message}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_damaged_library_in_a_folder_is_passed_over_and_mentioned() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/libonnxruntime.so.1.31.1"), b"\x7fELF").unwrap();
        let (result, tried) = search(folder.path()).run();
        assert!(result.is_err());
        let finding = &tried.iter().find(|tried| tried.place.contains("data folder")).unwrap().finding;
        assert!(finding.contains("libonnxruntime.so.1.31.1: "), "{finding}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn names_of_provider_libraries_are_not_taken_for_the_library() {
        assert!(is_library_name("libonnxruntime.so") && is_library_name("libonnxruntime.so.1.31.1"));
        assert!(!is_library_name("libonnxruntime_providers_shared.so"));
    }
}
