//! The ONNX Runtime library: asked for, and installed when there is none.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::command::{ask, built, cargo, program, run};

/// A library that our command line can use.
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    pub(crate) place: String,
}

impl Library {
    /// What a summary says of it.
    pub(crate) fn described(&self) -> String {
        format!("version {} ({})", self.version, self.place)
    }
}

/// Builds the command line and gets the library.
pub(crate) fn setup() -> Result<(), String> {
    run(&mut cargo(&["build", "--locked", "--package", "millstream-cli"]))?;
    let library = get(&built("debug", "millstream")?)?;
    println!("ONNX Runtime {}: {}", library.described(), library.path.display());
    Ok(())
}

/// How often the library is fetched before it is given up, with a pause between.
const TRIES: u64 = 4;

/// The library that `millstream` finds; when it finds none, it is told to install one first.
pub(crate) fn get(millstream: &Path) -> Result<Library, String> {
    if let Some(library) = find(millstream) {
        return Ok(library);
    }
    for left in (0..TRIES).rev() {
        match run(&mut program(millstream, &["runtime", "install"])) {
            Ok(()) => break,
            Err(problem) if left == 0 => return Err(problem),
            // what it is fetched from may be busy
            Err(problem) => println!("   {problem}; it is tried again"),
        }
        thread::sleep(Duration::from_secs(10 * (TRIES - left)));
    }
    find(millstream).ok_or_else(|| "installed, and still not found: see `millstream runtime doctor`".into())
}

fn find(millstream: &Path) -> Option<Library> {
    let said = ask(&mut program(millstream, &["runtime", "doctor", "--json"]))?;
    let doctor: Value = serde_json::from_str(&said).ok()?;
    let text = |key: &str| doctor["library"][key].as_str();
    Some(Library {
        path: text("path")?.into(),
        version: text("version")?.into(),
        place: text("place").unwrap_or("found").replace('_', " "),
    })
}
