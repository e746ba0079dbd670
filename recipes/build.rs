//! What is known of the code that is built: its commit, where it lies in a repository of its own, and whether files differ from it.

use std::path::Path;
use std::process::Command;

/// Whatever the program is made of.
const PARTS: [&str; 10] =
    ["schemas", "transforms", "pipeline", "compiler", "runtime", "training", "search", "recipes", "cli", "src"];

fn main() {
    println!("cargo:rustc-env=MILLSTREAM_COMMIT={}", commit().unwrap_or_default());
    println!("cargo:rerun-if-changed=build.rs");
    let parts = PARTS.iter().map(|part| Path::new("..").join(part).join("src"));
    for part in parts.chain([Path::new("../Cargo.lock").to_owned()]).filter(|part| part.exists()) {
        println!("cargo:rerun-if-changed={}", part.display());
    }
    // written at each commit and each change of the branch
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
}

fn commit() -> Option<String> {
    // a copy of the source in somebody else's repository has no commit there
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new("..").canonicalize().ok()? {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let parts = PARTS.iter().map(|part| format!(":/{part}"));
    let mut status = vec!["status".to_owned(), "--porcelain".to_owned(), "--".to_owned()];
    status.extend(parts.chain([":/Cargo.lock".to_owned()]));
    let status: Vec<&str> = status.iter().map(String::as_str).collect();
    let is_changed = git(&status).is_none_or(|changed| !changed.is_empty());
    Some(if is_changed { format!("{commit}+changed") } else { commit })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
