//! Foreign text (names, values, paths, what a library says) made fit for a message, in this one place.
//!
//! For messages alone: data, class names and everything that a program reads stay as they are.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Letters that a name or value is cut to.
const LONGEST: usize = 120;
/// Letters that a path is cut to: far more than a person types, so that it can be copied.
const LONGEST_PATH: usize = 1024;
/// Letters that sentences are cut to: far more than an error with its causes has, so that nothing is lost of what to do.
const LONGEST_SENTENCES: usize = 10_000;

/// A name or value, escaped as [`escaped`] does it and cut to 120 letters. Showing what was shown changes nothing.
///
/// ```
/// use millstream_schemas::shown;
/// assert_eq!(shown("bird's nest \\ é"), "bird's nest \\ é");
/// assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
/// assert_eq!(shown(&"x".repeat(500)).chars().count(), 121);
/// ```
pub fn shown(text: impl AsRef<str>) -> String {
    shown_up_to(text, LONGEST)
}

/// As [`shown`], cut to another number of letters.
pub fn shown_up_to(text: impl AsRef<str>, most: usize) -> String {
    let text = text.as_ref();
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", escaped(&text[..end])),
        None => escaped(text).into_owned(),
    }
}

/// A path, escaped and whole, unless it is longer than any that a person has typed.
pub fn shown_path(path: impl AsRef<Path>) -> String {
    shown_up_to(path.as_ref().to_string_lossy(), LONGEST_PATH)
}

/// Sentences, for example an error with its causes: escaped, on one line, and whole, unless there are more of them than anybody reads.
///
/// ```
/// use millstream_schemas::shown_sentences;
/// assert_eq!(shown_sentences("It failed\n  for a\u{1b}[31m"), "It failed for a\\u{1b}[31m");
/// assert_eq!(shown_sentences("x ".repeat(500)).chars().count(), 999);
/// ```
pub fn shown_sentences(text: impl AsRef<str>) -> String {
    let lines: Vec<&str> = text.as_ref().lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    shown_up_to(lines.join(" "), LONGEST_SENTENCES)
}

/// Text without what would steer a terminal, break a line or hide: control characters, line and paragraph separators,
/// marks that turn the direction of writing, and blanks without width. All else stays, quotes and backslashes too, so
/// that nothing is escaped twice.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            // Writing to a string cannot fail.
            letter if steers(letter) => drop(write!(escaped, "\\u{{{:x}}}", u32::from(letter))),
            letter => escaped.push(letter),
        }
    }
    Cow::Owned(escaped)
}

/// Joiners are left alone: emoji and several scripts are written with them.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_steers_a_terminal_is_escaped_and_never_twice() {
        for text in ["bird's nest", "C:\\new \"x\"", "e\u{301}", "👩\u{200d}🚒", "กำ", "שָׁלוֹם", "größe 龍"]
        {
            assert_eq!(shown(text), text);
        }
        for (text, wanted) in [
            ("a\u{1b}[31m\r\n\tb", "a\\u{1b}[31m\\r\\n\\tb"),
            ("x\u{202e}gpj\u{2066}", "x\\u{202e}gpj\\u{2066}"),
            ("\u{0}\u{7f}\u{9b}\u{2028}", "\\u{0}\\u{7f}\\u{9b}\\u{2028}"),
        ] {
            assert_eq!(shown(text), wanted);
            assert_eq!(shown(shown(text)), wanted);
        }
    }

    #[test]
    fn names_are_cut_and_paths_are_whole() {
        let long = "ab".repeat(150);
        assert_eq!(shown(&long), format!("{}…", &long[..120]));
        assert_eq!(shown_path(&long), long);
        assert_eq!(shown_up_to("größe", 3), "grö…");
        assert_eq!(shown_up_to("größe", 5), "größe");
    }

    #[test]
    fn the_end_of_a_long_error_which_says_what_to_do_is_not_cut() {
        let error = format!("{}\r\n\n  a smaller learning rate may help", "the loss is inf. ".repeat(40));
        let told = shown_sentences(&error);
        assert!(told.ends_with("inf. a smaller learning rate may help") && !told.contains('\n'), "{told}");
        assert_eq!(shown_sentences(&told), told);
        assert_eq!(shown_sentences("x".repeat(20_000)).chars().count(), LONGEST_SENTENCES + 1);
    }
}
