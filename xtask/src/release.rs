//! `cargo xtask release`: one archive for the platform that it runs on, with its checksum.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bill;
use crate::command::{ask, built, cargo, program, root, run, target};
use crate::runtime;

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
/// The smallest training that there is: its recipe, its rows, and what writes its network.
const RECIPE: &str = "examples/digits/pretrain.yaml";
const ROWS: &str = "examples/digits/data";
const NETWORK: &str = "digits_network";

/// Builds the program, packs it and says what it needs. On Linux it also trains in a folder that holds nothing but itself, ONNX Runtime and
/// the libraries of both.
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
    // the build is that of `cargo demo` and `cargo install`; what is packed needs no names of functions, and on Windows it has none
    if !is_windows(&host) {
        run(program("strip", &[]).arg(&binary))?;
    }
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
    let file = archive_name(&name, &host);
    let archive = folder.join(&file);
    // what Windows has by this name writes the format that the file's end says
    let how = if is_windows(&host) { "-acf" } else { "-czf" };
    run(program("tar", &[how]).arg(&archive).arg("-C").arg(&folder).arg(&name))?;
    let sum = checksum(&archive)?;
    let sums = folder.join(format!("{file}.sha256"));
    fs::write(&sums, format!("{sum}  {file}\n")).map_err(|error| format!("{}: {error}", sums.display()))?;
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

fn is_windows(host: &str) -> bool {
    host.contains("windows")
}

/// What the platform's people unpack without further programs.
fn archive_name(name: &str, host: &str) -> String {
    let end = if is_windows(host) { "zip" } else { "tar.gz" };
    format!("{name}.{end}")
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(|_| ()).map_err(|error| format!("{} cannot be copied: {error}", from.display()))
}

/// The files that the loader maps beside the program. An error names one that not every Linux has.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for (name, file) in mapped(binary)? {
        let file_name =
            Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !OF_LINUX.iter().any(|known| file_name.starts_with(known)) {
            return Err(format!("the program needs `{name}`, which not every Linux has"));
        }
        files.extend(file);
    }
    Ok(files)
}

/// A name of what the loader maps, and where that lies if it is a file.
type Mapped = (String, Option<PathBuf>);

/// What the loader maps beside a file.
fn mapped(file: &Path) -> Result<Vec<Mapped>, String> {
    let said = ask(program("ldd", &[]).arg(file)).ok_or_else(|| format!("`ldd {}` failed", file.display()))?;
    mapped_in(&said).map_err(|name| format!("{} needs `{name}`, which is not there", file.display()))
}

/// What `ldd` says; the name of the first that it does not find is the error.
fn mapped_in(said: &str) -> Result<Vec<Mapped>, String> {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = |line: &str| {
        let name = line.split_whitespace().next().unwrap_or_default().to_owned();
        match line.ends_with("not found") {
            true => Err(name),
            false => Ok((name, line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from))),
        }
    };
    lines.map(read).collect()
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

/// Runs the program with nothing around it but ONNX Runtime, the libraries of both and what is trained: as the root folder of a process of
/// its own, where the system lets its users have one. A build machine must.
fn bare(binary: &Path, libraries: &[PathBuf], folder: &Path) -> Result<(), String> {
    if ask(&mut program("unshare", &["--user", "--map-root-user", "true"])).is_none() {
        return not_run(std::env::var_os("CI").is_some_and(|value| !value.is_empty()));
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let runtime = runtime::get(binary)?.path;
    let of_runtime: Vec<PathBuf> = mapped(&runtime)?.into_iter().filter_map(|(_, file)| file).collect();
    for file in libraries.iter().chain(&of_runtime) {
        copy_to(file, &folder.join(file.strip_prefix("/").unwrap_or(file)))?;
    }
    copy(binary, &folder.join("millstream"))?;
    copy_to(&runtime, &folder.join("onnxruntime/libonnxruntime.so"))?;
    copy_to(&root().join(RECIPE), &folder.join("digits/recipe.yaml"))?;
    let rows = fs::read_dir(root().join(ROWS)).map_err(|error| format!("{ROWS}: {error}"))?;
    for entry in rows {
        let entry = entry.map_err(|error| format!("{ROWS}: {error}"))?;
        copy_to(&entry.path(), &folder.join("digits/data").join(entry.file_name()))?;
    }
    run(&mut cargo(&["build", "--release", "--locked", "--package", "millstream", "--example", NETWORK]))?;
    run(program(built("release/examples", NETWORK)?, &[]).arg(folder.join("digits/network.onnx")))?;
    let bare = ["--user", "--map-root-user", "chroot"];
    run(program("unshare", &bare).arg(folder).args(["/millstream", "--version"]))?;
    run(program("unshare", &bare)
        .arg(folder)
        .args(["/millstream", "schema", "--quiet"])
        .stdout(std::process::Stdio::null()))?;
    let train = ["/millstream", "train", "/digits/recipe.yaml", "--quiet"];
    let runtime = ["--runtime", "/onnxruntime/libonnxruntime.so"];
    let changes = ["model.path=/digits/network.onnx", "output.folder=/run", "training.max_steps=2"];
    let changes = changes.iter().flat_map(|change| ["--set", *change]);
    run(program("unshare", &bare).arg(folder).args(train).args(runtime).args(changes))?;
    let model = folder.join("run/model.onnx");
    if model.exists() { Ok(()) } else { Err(format!("the training in a bare root wrote no {}", model.display())) }
}

/// What is said where the system has no root folder for its users; on a build machine an error.
fn not_run(on_build_machine: bool) -> Result<(), String> {
    let what = "not run in a bare root: `unshare --user` is not allowed here";
    if on_build_machine {
        return Err(format!("{what}, and what is built here goes out to people"));
    }
    println!("   {what}");
    Ok(())
}

/// As [`copy`], with the folders that it lies in.
fn copy_to(from: &Path, to: &Path) -> Result<(), String> {
    let parent = to.parent().ok_or_else(|| format!("{} is no file", to.display()))?;
    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    copy(from, to)
}

fn checksum(file: &Path) -> Result<String, String> {
    const TOOLS: [(&str, &[&str], &[&str]); 3] =
        [("sha256sum", &[], &[]), ("shasum", &["-a", "256"], &[]), ("certutil", &["-hashfile"], &["SHA256"])];
    let said = TOOLS.iter().find_map(|(tool, before, after)| ask(program(tool, before).arg(file).args(*after)));
    let said = said.ok_or("none of `sha256sum`, `shasum` and `certutil` is there")?;
    sum_in(&said).ok_or_else(|| format!("no checksum of {}", file.display()))
}

/// The checksum among the words of such a tool; it has a stroke in front where the name of the file has one in it.
fn sum_in(said: &str) -> Option<String> {
    let words = said.split_whitespace().map(|word| word.trim_start_matches('\\'));
    let is_sum = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    words.into_iter().find(is_sum).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_in_what_each_tool_says() {
        let sum = "0a".repeat(32);
        for said in [
            format!("{sum}  millstream.tar.gz\n"),
            format!("\\{sum}  C:\\\\build\\\\millstream.zip\n"),
            format!(
                "SHA256 hash of C:\\millstream.zip:\r\n{}\r\nCertUtil: -hashfile command completed\r\n",
                sum.to_uppercase()
            ),
        ] {
            assert_eq!(sum_in(&said).as_deref(), Some(sum.as_str()), "{said}");
        }
        assert_eq!(sum_in("no such file"), None);
    }

    #[test]
    fn an_archive_is_of_the_platform_s_usual_kind() {
        for (host, wanted) in [
            ("x86_64-unknown-linux-gnu", "m.tar.gz"),
            ("aarch64-apple-darwin", "m.tar.gz"),
            ("x86_64-pc-windows-msvc", "m.zip"),
        ] {
            assert_eq!(archive_name("m", host), wanted);
        }
    }

    #[test]
    fn a_library_that_the_loader_does_not_find_is_named() {
        let said = "\tlinux-vdso.so.1 (0x7ff)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let file = |name: &str, path: Option<&str>| (name.to_owned(), path.map(PathBuf::from));
        let wanted = [
            file("linux-vdso.so.1", None),
            file("libm.so.6", Some("/lib/x86_64-linux-gnu/libm.so.6")),
            file("/lib64/ld-linux-x86-64.so.2", Some("/lib64/ld-linux-x86-64.so.2")),
        ];
        assert_eq!(mapped_in(said).unwrap(), wanted);
        assert_eq!(mapped_in("\tlibstdc++.so.6 => not found\n").unwrap_err(), "libstdc++.so.6");
    }

    #[test]
    fn a_build_machine_that_cannot_run_what_it_packs_fails() {
        assert!(not_run(false).is_ok());
        assert!(not_run(true).unwrap_err().contains("`unshare --user` is not allowed"));
    }

    #[test]
    fn versions_of_the_c_library_are_numbers() {
        let found = glibc_versions(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0GLIBC_");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(2, 2), (2, 9), (2, 34)]);
    }
}
