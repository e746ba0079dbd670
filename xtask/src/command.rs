//! Running other programs, always from the root of the workspace.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The root of the workspace. Cargo says at run time where it is: a build folder may be shared by two checkouts.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let xtask = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        xtask.parent().expect("xtask is a folder of the workspace").to_owned()
    })
}

/// The folder that cargo builds into: two above this very program, so every way to configure it is followed.
pub(crate) fn target() -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| format!("the path of this program is not known: {error}"))?;
    let folder = program.parent().and_then(Path::parent);
    folder.map(Path::to_owned).ok_or_else(|| format!("{} is in no build folder", program.display()))
}

/// A program of ours, built with this profile (`debug` or `release`).
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf, String> {
    Ok(target()?.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX)))
}

/// A program with its arguments.
pub(crate) fn program(name: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name.as_ref());
    command.args(arguments).current_dir(root());
    command
}

/// Cargo with its arguments.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    program(env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from), arguments)
}

/// Runs it and lets it print; an error names it.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|error| format!("{} does not start: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command))) }
}

/// Runs it, passes on what it prints line by line, and hands each line over without its colours.
pub(crate) fn watch(command: &mut Command, stream: Stream, mut each: impl FnMut(&str)) -> Result<(), String> {
    println!("$ {}", shown(command));
    match stream {
        Stream::Output => command.stdout(Stdio::piped()),
        Stream::Errors => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().map_err(|error| format!("{} does not start: {error}", shown(command)))?;
    let piped: Box<dyn std::io::Read> = match (child.stdout.take(), child.stderr.take()) {
        (Some(output), _) => Box::new(output),
        (_, Some(errors)) => Box::new(errors),
        _ => return Err(format!("the output of {} cannot be read", shown(command))),
    };
    let mut lines = BufReader::new(piped);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        match stream {
            Stream::Output => print!("{text}"),
            Stream::Errors => eprint!("{text}"),
        }
        each(without_colours(text.trim_end()).as_str());
        line.clear();
    }
    let status = child.wait().map_err(|error| format!("{} was lost: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command))) }
}

/// One of a program's two outputs.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Output,
    Errors,
}

/// What it prints on its standard output; `None` when it fails or does not start. Its errors are dropped.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// A line without escape sequences for colours (`ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(without_colours("\u{1b}[32;1m Summary\u{1b}[0m [ 2.0s]"), " Summary [ 2.0s]");
    }

    #[test]
    fn failing_programs_are_named() {
        let error = run(&mut program("cargo-that-is-not-there", &["x"])).unwrap_err();
        assert!(error.contains("cargo-that-is-not-there x"), "{error}");
    }
}
