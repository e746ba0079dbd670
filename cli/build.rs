//! What the program says of its own build beside its commit: the target, and the crates that it is made of.

#[path = "build/crates.rs"]
mod crates;

use std::path::{Path, PathBuf};
use std::{env, fs};

use crates::{bill, own_needs, packages};

fn main() -> Result<(), String> {
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=MILLSTREAM_TARGET={target}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/crates.rs");
    let lock = read(Path::new("../Cargo.lock"))?;
    let file = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("sbom.cdx.json");
    let bill = bill(&packages(&lock), &own_needs(Path::new(".."), &read)?, &target)?;
    fs::write(&file, bill).map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads a file; the program is built anew when it changes.
fn read(path: &Path) -> Result<String, String> {
    println!("cargo:rerun-if-changed={}", path.display());
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
