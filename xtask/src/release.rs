//! `cargo xtask release`: one archive for the platform that it runs on, with its checksum.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bill;
use crate::command::{ask, built, cargo, program, root, run, target};

/// What an archive holds beside the program, its completions, manual pages and bill of crates.
const PAPERS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];
const SHELLS: [(&str, &str); 5] = [
    ("bash", "millstream.bash"),
    ("zsh", "_millstream"),
    ("fish", "millstream.fish"),
    ("elvish", "millstream.elv"),
    ("powershell", "_millstream.ps1"),
];
/// What of shared libraries every Linux of the GNU C library has.
const OF_LINUX: [&str; 8] =
    ["ld-linux", "linux-vdso", "libc.", "libm.", "libdl.", "libpthread.", "librt.", "libgcc_s."];

/// Builds the program, packs it and says what it needs. On Linux it is also run in a folder that holds nothing but itself and
/// those libraries.
pub(crate) fn release() -> Result<(), String> {
    let host = host()?;
    run(&mut cargo(&["build", "--release", "--locked", "--package", "millstream-cli", "--bin", "millstream"]))?;
    let binary = built("release", "millstream")?;
    let version = ask(&mut program(&binary, &["--version"])).ok_or("the program does not say its version")?;
    let version = version.split_whitespace().nth(1).ok_or("the program does not say its version")?.to_owned();

    let name = format!("millstream-{version}-{host}");
    let folder = target()?.join("release/archives");
    let packed = folder.join(&name);
    if packed.exists() {
        fs::remove_dir_all(&packed).map_err(|error| format!("{}: {error}", packed.display()))?;
    }
    let completions = packed.join("completions");
    fs::create_dir_all(&completions).map_err(|error| format!("{}: {error}", completions.display()))?;
    let own = binary.file_name().map(PathBuf::from).unwrap_or_default();
    copy(&binary, &packed.join(&own))?;
    let binary = packed.join(&own);
    // the build is that of `cargo demo` and `cargo install`; what is packed needs no names of functions
    run(program("strip", &[]).arg(&binary))?;
    for paper in PAPERS {
        copy(&root().join(paper), &packed.join(paper))?;
    }
    for (shell, file) in SHELLS {
        let script =
            ask(&mut program(&binary, &["completions", shell])).ok_or(format!("no completions for {shell}"))?;
        let file = completions.join(file);
        fs::write(&file, script).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    run(program(&binary, &["man-pages", "--quiet"]).arg(packed.join("man")))?;
    bill::write(&host, &checksum(&binary)?, &packed.join("sbom.cdx.json"))?;

    if host.contains("linux-gnu") {
        let libraries = libraries(&binary)?;
        println!("   needs {} or later, and {}", newest_glibc(&binary)?, names(&libraries).join(", "));
        bare(&binary, &libraries, &folder.join("bare"))?;
    }
    let archive = folder.join(format!("{name}.tar.gz"));
    run(program("tar", &["-czf"]).arg(&archive).arg("-C").arg(&folder).arg(&name))?;
    let sum = checksum(&archive)?;
    let sums = folder.join(format!("{name}.tar.gz.sha256"));
    fs::write(&sums, format!("{sum}  {name}.tar.gz\n")).map_err(|error| format!("{}: {error}", sums.display()))?;
    let bytes = fs::metadata(&archive).map_err(|error| format!("{}: {error}", archive.display()))?.len();
    println!("{}: {:.1} MB, sha256 {sum}", archive.display(), bytes as f64 / 1e6);
    Ok(())
}

/// The platform, as the compiler calls it.
pub(crate) fn host() -> Result<String, String> {
    let said = ask(&mut program("rustc", &["-vV"])).ok_or("`rustc -vV` failed")?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("`rustc -vV` names no host")?;
    Ok(host.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(|_| ()).map_err(|error| format!("{} cannot be copied: {error}", from.display()))
}

/// The files that the loader maps beside the program. An error names one that not every Linux has.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let said = ask(program("ldd", &[]).arg(binary)).ok_or("`ldd` failed")?;
    let mut files = Vec::new();
    for line in said.lines().map(str::trim) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let file_name = Path::new(name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !OF_LINUX.iter().any(|known| file_name.starts_with(known)) {
            return Err(format!("the program needs `{name}`, which not every Linux has"));
        }
        files.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(files)
}

fn names(libraries: &[PathBuf]) -> Vec<String> {
    libraries.iter().filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned())).collect()
}

/// The newest version of the GNU C library of which the program names a symbol.
fn newest_glibc(binary: &Path) -> Result<String, String> {
    let bytes = fs::read(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    let newest =
        glibc_versions(&bytes).into_iter().next_back().ok_or("the program names no version of the C library")?;
    Ok(format!("glibc {}.{}", newest.0, newest.1))
}

fn glibc_versions(bytes: &[u8]) -> BTreeSet<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let version = |(at, _): (usize, &[u8])| {
        let rest = &bytes[at + MARK.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(rest.len());
        let mut numbers = std::str::from_utf8(&rest[..end]).ok()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    marks.filter_map(version).collect()
}

/// Runs the program with nothing around it but the libraries: as the root folder of a process of its own, where the system
/// lets its users have one.
fn bare(binary: &Path, libraries: &[PathBuf], folder: &Path) -> Result<(), String> {
    if ask(&mut program("unshare", &["--user", "--map-root-user", "true"])).is_none() {
        println!("   not run in a bare root: `unshare --user` is not allowed here");
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    for file in libraries {
        let place = folder.join(file.strip_prefix("/").unwrap_or(file));
        let parent = place.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        copy(file, &place)?;
    }
    copy(binary, &folder.join("millstream"))?;
    let bare = ["--user", "--map-root-user", "chroot"];
    run(program("unshare", &bare).arg(folder).args(["/millstream", "--version"]))?;
    run(program("unshare", &bare)
        .arg(folder)
        .args(["/millstream", "schema", "--quiet"])
        .stdout(std::process::Stdio::null()))
}

fn checksum(file: &Path) -> Result<String, String> {
    let tools: [(&str, &[&str]); 2] = [("sha256sum", &[]), ("shasum", &["-a", "256"])];
    let said = tools.iter().find_map(|(tool, arguments)| ask(program(tool, arguments).arg(file)));
    let said = said.ok_or("neither `sha256sum` nor `shasum` is there")?;
    said.split_whitespace().next().map(str::to_owned).ok_or_else(|| format!("no checksum of {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_c_library_are_numbers() {
        let found = glibc_versions(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0GLIBC_");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(2, 2), (2, 9), (2, 34)]);
    }
}
