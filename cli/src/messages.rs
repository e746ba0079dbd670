//! What is said on the standard error output: errors and warnings.

use std::fmt::Write as _;
use std::io;

use millstream::schemas::recipe::{PlacedFault, WrittenAt};
use millstream::schemas::{SchemaError, count, escaped, shown_path};
use serde_json::{Value, json};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::arguments::Global;
use crate::colour::Meaning;
use crate::commands::InRecipe;
use crate::terminal::{self, NARROWEST};
use crate::{excerpt, output, screen};

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
        .with_writer(Lines { of_runtime: global.verbose > 0 })
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

/// Sentences on the standard error output: on a terminal broken where it ends, in a pipe whole.
pub(crate) fn tell_sentences(text: &str) {
    tell(&indented(text, 0));
}

/// A warning of ours.
pub(crate) fn warn(text: &str) {
    tell(&format!("{}: {}", Meaning::Warning.message("warning"), indented(text, "warning: ".len())));
}

/// What libraries say, above the progress like the rest.
struct Lines {
    /// Whether ONNX Runtime is heard: what it complains of comes back as an error too, in our words.
    of_runtime: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { shown: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { shown: self.of_runtime || !metadata.target().starts_with("ort") }
    }
}

/// One message.
struct Line {
    shown: bool,
}

impl io::Write for Line {
    /// A whole message: the subscriber writes each in one piece.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shown {
            tell(&indented(String::from_utf8_lossy(bytes).trim_end_matches('\n'), 0));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error, each cause that says something new, and the lines of the recipe that it is about. With `--json` as one
/// object on the standard output as well.
pub(crate) fn print_error(error: &anyhow::Error, global: &Global) {
    // Escaped already, before it was painted.
    tell(&describe(error));
    if global.json {
        // The exit code tells it when nobody reads.
        let _ = output::print_json_line(&as_json(error));
    }
}

/// What is said, and where in the recipe it stands.
struct Told {
    /// Several faults of one recipe, each said by itself.
    separate: bool,
    message: String,
    because: Vec<String>,
    places: Vec<PlacedFault>,
}

fn told(error: &anyhow::Error) -> Told {
    let within = error.downcast_ref::<InRecipe>();
    let error = within.map_or(error, |within| &within.error);
    let of_recipe = error.chain().find_map(|cause| match cause.downcast_ref::<SchemaError>() {
        Some(SchemaError::Recipe { path, faults }) => Some((path.clone(), faults.clone())),
        _ => None,
    });
    let of_recipe = of_recipe.or_else(|| within?.refused.clone());
    if let Some((path, faults)) = of_recipe {
        let message = match faults.as_slice() {
            [one] => one.fault.message.clone(),
            several => format!("{} in {}", count(several.len(), "error"), shown_path(path)),
        };
        return Told { separate: true, message, because: Vec::new(), places: faults };
    }
    let (mut said, mut causes) = (String::new(), Vec::new());
    for cause in error.chain().map(ToString::to_string) {
        if !said.contains(&cause) {
            said.push_str(&cause);
            causes.push(cause);
        }
    }
    let message = if causes.is_empty() { String::new() } else { causes.remove(0) };
    let places = within.map(|within| within.places.clone()).unwrap_or_default();
    Told { separate: false, message, because: causes, places }
}

fn describe(error: &anyhow::Error) -> String {
    let Told { separate, message, because, places } = told(error);
    let painted = Meaning::Bad.message("error:");
    let said = |message: &str| format!("{painted} {}\n", indented(message, "error: ".len()));
    let mut text = String::new();
    if separate {
        for placed in &places {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}{}", said(&placed.fault.message), excerpt::describe(placed));
        }
        if places.len() > 1 {
            text.push_str(&harmless(&message));
        }
    } else {
        text.push_str(&said(&message));
        for cause in &because {
            let _ = writeln!(text, "  because: {}", indented(cause, "  because: ".len()));
        }
        places.iter().for_each(|placed| text.push_str(&excerpt::describe(placed)));
    }
    text.trim_end().to_owned()
}

/// Further lines of a message below its first. On a terminal lines are broken where it ends; in a pipe they stay whole, so
/// that they can be searched.
fn indented(message: &str, by: usize) -> String {
    let width = terminal::message_width().map(|width| width.saturating_sub(by + 1).max(NARROWEST));
    let message = harmless(message);
    let lines = message.split('\n').flat_map(|line| match width {
        Some(width) => terminal::wrapped(line, width),
        None => vec![line.to_owned()],
    });
    lines.collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(by)))
}

fn as_json(error: &anyhow::Error) -> Value {
    let Told { message, because, places, .. } = told(error);
    let places: Vec<Value> = places.iter().map(place_as_json).collect();
    json!({"event": "error", "message": message, "because": because, "places": places})
}

fn place_as_json(placed: &PlacedFault) -> Value {
    let PlacedFault { fault, at } = placed;
    let (file, line, column, argument) = match at {
        WrittenAt::Line(excerpt) => (Some(&excerpt.file), Some(excerpt.line), Some(excerpt.column), None),
        WrittenAt::Argument(argument) => (None, None, None, Some(argument)),
        WrittenAt::Nowhere => (None, None, None, None),
    };
    json!({
        "file": file, "line": line, "column": column, "argument": argument,
        "key": fault.place, "message": fault.message, "help": fault.help,
    })
}

/// Text with its lines kept and all else escaped that would steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
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
        assert_eq!(as_json(&twice)["because"], json!(["disk full"]));
    }

    #[test]
    fn what_would_steer_a_terminal_is_escaped_whoever_says_it() {
        let error = anyhow::anyhow!("cannot read a\u{1b}[31m\nb\u{202e}");
        assert_eq!(describe(&error), "error: cannot read a\\u{1b}[31m\n       b\\u{202e}");
    }
}
