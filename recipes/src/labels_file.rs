//! `labels.txt`: the class names in the order of the scores, one a line.
//!
//! A name that a line could not hold as it is (one with a line break, or that begins with a quote) is written as a JSON
//! string; a line that begins with a quote and is no JSON string is a name like any other.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::RecipeError;

pub(crate) fn to_text(names: &[String]) -> String {
    names.iter().map(|name| line(name) + "\n").collect()
}

fn line(name: &str) -> String {
    // What editors and other languages take for the end of a line, besides the line feed.
    let breaks = |letter: char| matches!(letter, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    match name.contains(breaks) || name.starts_with('"') || name.trim() != name {
        true => serde_json::to_string(name).expect("text is always JSON"),
        false => name.to_owned(),
    }
}

pub(crate) fn from_text(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        serde_json::from_str::<String>(line).unwrap_or_else(|_| line.to_owned())
    };
    text.strip_suffix('\n').unwrap_or(text).split('\n').map(name).collect()
}

/// The names beside a model; `None` where there is no such file.
pub(crate) fn beside(model: &Path) -> Result<Option<Vec<String>>, RecipeError> {
    let file = model.with_file_name("labels.txt");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(from_text(&text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RecipeError::io("read", &file)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_name_with_a_line_break_survives() {
        let names = [
            "bird's nest",
            "a\nb",
            "c\r",
            "\"quoted\"",
            "\"half",
            " blank ",
            "",
            "größe\u{2028}x",
            "back\\slash\\n",
            "1",
            "null",
        ];
        let names = names.map(str::to_owned);
        let text = to_text(&names);
        assert_eq!(text.lines().count(), names.len());
        assert_eq!(from_text(&text), names);
        // As others write it.
        assert_eq!(from_text("daisy\r\nroses\r\n"), ["daisy", "roses"]);
        assert_eq!(from_text("daisy\n5 \" nails"), ["daisy", "5 \" nails"]);
    }
}
