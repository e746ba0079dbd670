//! Results on the standard output.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

use crate::terminal;

/// Prints text and ends the line. A reader that has had enough (`millstream inspect … | head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.trim_end_matches('\n').as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the standard output"),
        _ => Ok(()),
    }
}

/// Prints a value as JSON, indented.
pub(crate) fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints a value as JSON on one line.
pub(crate) fn print_json_line<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Sentences, broken at blanks as the terminal is wide; in a pipe they stay whole, so that they can be searched.
pub(crate) fn prose(text: &str) -> String {
    if !io::stdout().is_terminal() {
        return format!("{text}\n");
    }
    let width = terminal::output_width();
    let lines = text.lines().flat_map(|line| terminal::wrapped(line, width));
    lines.map(|line| line + "\n").collect()
}

/// A device, and why that one if somebody asked.
pub(crate) fn device(device: &str, reason: &str, verbose: bool) -> String {
    let device = if device == "cpu" { "the CPU" } else { device };
    if verbose { format!("{device} ({reason})") } else { device.to_owned() }
}
