//! How wide a terminal is, and text that fits it. Widths are columns of a terminal: a Chinese letter takes two.

use std::env;
use std::io::{IsTerminal, stderr, stdout};

use terminal_size::{Width, terminal_size_of};
use unicode_width::UnicodeWidthStr;

/// Where nobody says how wide it is: a pipe, a file, a terminal that does not know.
const WIDTH: usize = 80;
/// Nothing can be laid out in less.
pub(crate) const NARROWEST: usize = 20;

/// Columns of the standard output, for tables.
pub(crate) fn output_width() -> usize {
    width(stdout().is_terminal().then(|| terminal_size_of(stdout())).flatten()).max(NARROWEST)
}

/// Columns of the standard error output, for progress.
pub(crate) fn progress_width() -> usize {
    width(terminal_size_of(stderr()))
}

/// Lines of the standard error output, for progress of several lines.
pub(crate) fn progress_height() -> usize {
    const USUAL: usize = 24;
    let height = terminal_size_of(stderr()).map(|(_, terminal_size::Height(height))| usize::from(height));
    height.filter(|height| *height > 0).unwrap_or(USUAL)
}

/// Columns of the standard error output, for messages; `None` where they go into a pipe or a file.
pub(crate) fn message_width() -> Option<usize> {
    stderr().is_terminal().then(progress_width)
}

fn width(size: Option<(Width, terminal_size::Height)>) -> usize {
    size.map(|(Width(width), _)| usize::from(width)).filter(|width| *width > 0).unwrap_or(WIDTH)
}

/// Whether a line on the standard error output can be drawn over: not in a file, nor on a terminal that only types.
pub(crate) fn can_redraw() -> bool {
    stderr().is_terminal() && env::var_os("TERM").is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// Columns that a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The start of a text that takes so many columns at most.
pub(crate) fn start(text: &str, most: usize) -> &str {
    if columns(text) <= most {
        return text;
    }
    let mut end = 0;
    for (index, letter) in text.char_indices() {
        let next = index + letter.len_utf8();
        // The width of the whole, since that of a joined letter is not the sum of its parts.
        if columns(&text[..next]) > most {
            break;
        }
        end = next;
    }
    &text[..end]
}

/// The lines of a text, each of so many columns at most: broken at blanks, or else wherever a word does not fit.
pub(crate) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        if !line.is_empty() && columns(&line) + columns(word.trim_end()) > most {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        line.push_str(word);
        while columns(line.trim_end()) > most {
            let part = match start(&line, most).len() {
                // A letter that is wider than the line.
                0 => line.chars().next().map_or(0, char::len_utf8),
                length => {
                    let separator = line[..length].rfind(['.', '/', '_']).map(|at| at + 1);
                    separator.filter(|at| *at > length / 2).unwrap_or(length)
                }
            };
            let rest = line.split_off(part);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_take_two_columns() {
        for (text, wanted) in [("abc", 3), ("größe", 5), ("龍龍", 4), ("🚒", 2), ("e\u{301}", 1)] {
            assert_eq!(columns(text), wanted, "{text}");
        }
        for (text, most, wanted) in
            [("龍龍龍", 5, "龍龍"), ("abc", 5, "abc"), ("e\u{301}x", 1, "e\u{301}"), ("龍", 1, "")]
        {
            assert_eq!(start(text, most), wanted);
        }
    }

    #[test]
    fn lines_break_at_blanks_or_else_in_a_word() {
        for (text, most, wanted) in [
            ("", 8, vec![""]),
            ("a b c", 8, vec!["a b c"]),
            ("one two three", 8, vec!["one two", "three"]),
            ("features.denseblock", 8, vec!["features", ".densebl", "ock"]),
            ("a features.x b", 8, vec!["a", "features", ".x b"]),
            ("layer.0.attention.query", 12, vec!["layer.0.", "attention.", "query"]),
            ("龍龍.龍龍龍", 9, vec!["龍龍.", "龍龍龍"]),
            ("  indented", 20, vec!["  indented"]),
            ("龍龍龍龍龍", 4, vec!["龍龍", "龍龍", "龍"]),
        ] {
            assert_eq!(wrapped(text, most), wanted, "{text}");
        }
    }
}
