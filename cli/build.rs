//! What `--version` says of the build: the commit, where there is one, and the target.

use std::path::Path;
use std::process::Command;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short=9", "HEAD"]).output().ok();
    let commit =
        commit.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    let commit = commit.as_deref().map_or("no commit", str::trim);
    println!("cargo:rustc-env=MILLSTREAM_COMMIT={commit}");
    println!("cargo:rustc-env=MILLSTREAM_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo:rerun-if-changed=build.rs");
    // written at each commit and each change of the branch
    let log = Path::new("../.git/logs/HEAD");
    if log.exists() {
        println!("cargo:rerun-if-changed={}", log.display());
    }
}
