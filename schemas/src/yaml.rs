//! YAML that is no recipe.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

use crate::shown;

/// What a YAML text says.
///
/// # Errors
/// It is no YAML; the text says at which line.
pub fn value(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str::<Value>(text).map_err(|error| {
        let line = error.location().map_or_else(String::new, |place| format!("line {}: ", place.line()));
        format!("{line}it is no YAML; a key and a text are written `key: text`, a longer text behind `key: |` on indented lines")
    })
}

/// A key with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEntry {
    /// The key.
    pub key: String,
    /// Its line, from 1.
    pub line: usize,
    /// The text behind it, as it is written: `1.0` is no number. None where nothing is.
    pub text: Option<String>,
}

/// The entries of a YAML text that is a list of keys with a text each.
///
/// # Errors
/// It is no YAML or no such list; the text says at which line, and of which key.
pub fn texts(text: &str) -> Result<Vec<TextEntry>, String> {
    value(text)?;
    let no_list = || "it is no list of `key: text` lines".to_owned();
    let (mut entries, mut key, mut is_within) = (Vec::<TextEntry>::new(), None::<(String, usize)>, false);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("line {}: it is no YAML", error.marker().line()))?;
        let line = span.start.line();
        match (event, is_within) {
            (Event::MappingStart(..), false) => is_within = true,
            (Event::MappingEnd, true) => is_within = false,
            (Event::Scalar(scalar, style, ..), _) => {
                let is_nothing = style == ScalarStyle::Plain && matches!(&*scalar, "" | "~" | "null" | "Null" | "NULL");
                match (is_within, key.take()) {
                    (false, _) if is_nothing => {}
                    (false, _) => return Err(no_list()),
                    (true, None) => {
                        if entries.iter().any(|entry| entry.key == *scalar) {
                            return Err(format!("line {line}: the key `{}` stands twice", shown(&scalar)));
                        }
                        key = Some((scalar.into_owned(), line));
                    }
                    (true, Some((key, line))) => {
                        let text = (!is_nothing).then(|| scalar.into_owned());
                        entries.push(TextEntry { key, line, text });
                    }
                }
            }
            (Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_), _) => {
                let Some((key, line)) = key.filter(|_| is_within) else { return Err(no_list()) };
                return Err(format!(
                    "line {line}: `{}` has no text behind it but a list or keys of its own; write them as one text, behind `{}: |` on \
                     indented lines",
                    shown(&key),
                    shown(&key)
                ));
            }
            _ => {}
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_line() {
        assert_eq!(value("a: 1\nb: x").unwrap(), serde_json::json!({"a": 1, "b": "x"}));
        assert!(value("a: 1\nb: [").unwrap_err().starts_with("line "));
    }

    #[test]
    fn numbers_and_dates_are_texts_as_they_are_written() {
        let text =
            "# of a model\na: 1.0\nb: 2026-11-26\nc: true\nd:\ne: ~\nf: '~'\ng: |\n  two\n  lines\nh: 007\ni: \"1\"\n";
        let found = texts(text).unwrap();
        let found: Vec<_> = found.iter().map(|entry| (&*entry.key, entry.line, entry.text.as_deref())).collect();
        let wanted = [
            ("a", 2, Some("1.0")),
            ("b", 3, Some("2026-11-26")),
            ("c", 4, Some("true")),
            ("d", 5, None),
            ("e", 6, None),
            ("f", 7, Some("~")),
            ("g", 8, Some("two\nlines\n")),
            ("h", 11, Some("007")),
            ("i", 12, Some("1")),
        ];
        assert_eq!(found, wanted);
        for (text, wanted) in [
            ("a: x\nb: [1, 2]\n", "line 2: `b` has no text behind it"),
            ("a:\n  c: x\n", "line 1: `a` has no text behind it"),
            ("- a\n", "it is no list of `key: text` lines"),
            ("a\n", "it is no list of `key: text` lines"),
            ("a: x\nb: {\n", "line "),
            ("a: x\na: y\n", "line "),
        ] {
            let message = texts(text).unwrap_err();
            assert!(message.starts_with(wanted), "{text:?}: {message}");
        }
        assert_eq!(texts("").unwrap(), []);
        assert_eq!(texts("# nothing\n").unwrap(), []);
    }
}
