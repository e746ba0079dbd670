//! Colour on terminals. It is added after foreign text was escaped, and only here.

use std::io::{stderr, stdout};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;

/// When colour is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that has it
    #[default]
    Auto,
    /// Even in a pipe or a file
    Always,
    /// Nowhere
    Never,
}

/// What a text is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    Added,
    Heading,
    Good,
    Warning,
    Bad,
    Progress,
    Removed,
}

impl Meaning {
    fn code(self) -> &'static str {
        match self {
            // underlined and struck out, for eyes that see no difference of the colours
            Self::Added => "4;32",
            Self::Heading => "1",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "1;31",
            Self::Progress => "36",
            Self::Removed => "9;31",
        }
    }

    fn paint(self, text: &str, coloured: bool) -> String {
        if coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", self.code()) } else { text.to_owned() }
    }

    /// For the standard output.
    pub(crate) fn output(self, text: &str) -> String {
        self.paint(text, is_coloured(AutoStream::choice(&stdout())))
    }

    /// Whether the standard output has colours.
    pub(crate) fn is_on_output() -> bool {
        is_coloured(AutoStream::choice(&stdout()))
    }

    /// For the standard error output.
    pub(crate) fn message(self, text: &str) -> String {
        self.paint(text, is_coloured(AutoStream::choice(&stderr())))
    }
}

fn is_coloured(choice: ColorChoice) -> bool {
    matches!(choice, ColorChoice::Always | ColorChoice::AlwaysAnsi)
}

/// Sets when colour is used, for help and usage errors too: so before the command line is read. A wrong value is left
/// for the parser to refuse. `NO_COLOR` counts for more than `CLICOLOR_FORCE`, and a terminal that only types
/// (`TERM=dumb`) for more than `CI`.
pub(crate) fn start(arguments: impl IntoIterator<Item = String>) {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let only_types = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb") && !is_set("CLICOLOR_FORCE");
    let forbidden = is_set("NO_COLOR") || only_types;
    match asked(arguments).unwrap_or_default() {
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
        Color::Auto if forbidden => ColorChoice::Never,
        Color::Auto => ColorChoice::Auto,
    }
    .write_global();
}

/// What `--color` says, wherever it stands; of several the last.
fn asked(arguments: impl IntoIterator<Item = String>) -> Option<Color> {
    let mut asked = None;
    let mut arguments = arguments.into_iter().take_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--color") {
            Some("") => arguments.next(),
            Some(value) => value.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        asked = value.and_then(|value| Color::from_str(&value, false).ok()).or(asked);
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_asked_for_anywhere_before_the_end_of_options() {
        for (line, wanted) in [
            ("train a.yaml", None),
            ("--color always train a.yaml", Some(Color::Always)),
            ("train a.yaml --color=never", Some(Color::Never)),
            ("--color=always check a.yaml --color never", Some(Color::Never)),
            ("check --color blue", None),
            ("check -- --color always", None),
        ] {
            assert_eq!(asked(line.split(' ').map(str::to_owned)), wanted, "{line}");
        }
    }
}
