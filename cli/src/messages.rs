//! What is said on the standard error output: errors and warnings.

use std::fmt::Write as _;
use std::io;

use crate::arguments::Global;
use crate::colour::Meaning;
use crate::screen;

/// Warnings of the libraries are shown unless `--quiet`; `-v` shows more.
pub(crate) fn start(global: &Global) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    };
    // A subscriber that is there already is as good.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Lines)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .compact()
        .try_init();
}

/// A line on the standard error output. When nobody reads it any more, the work goes on: its results are files.
pub(crate) fn tell(text: &str) {
    screen::tell(text);
}

/// A warning of ours.
pub(crate) fn warn(text: &str) {
    tell(&format!("{}: {text}", Meaning::Warning.message("warning")));
}

/// What libraries say, above the progress like the rest.
struct Lines;

impl io::Write for Lines {
    /// A whole message: the subscriber writes each in one piece.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tell(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One block: the error, then each cause that says something new.
pub(crate) fn print_error(error: &anyhow::Error) {
    let text = describe(error);
    let (head, rest) = text.split_at(text.find(':').unwrap_or(0));
    tell(&format!("{}{rest}", Meaning::Bad.message(head)));
}

fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.contains(&cause) {
            continue;
        }
        let prefix = if said.is_empty() { "error: " } else { "  because: " };
        let indented = cause.replace('\n', "\n         ");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{prefix}{indented}");
        said.push_str(&cause);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_follow_once() {
        let source = std::io::Error::other("disk full");
        let error = Err::<(), _>(source).context("cannot write a.png").unwrap_err();
        assert_eq!(describe(&error), "error: cannot write a.png\n  because: disk full");
        let twice = error.context("saving: cannot write a.png");
        assert_eq!(describe(&twice), "error: saving: cannot write a.png\n  because: disk full");
    }
}
