use std::io::{self, BufRead, Cursor, Read};

use millstream_schemas::cells::long_numbers_as_texts;
use millstream_schemas::{shown, shown_path};

use super::input_columns::InputColumn;
use crate::line_object::LineObject;

/// Bytes that are looked at.
const LONGEST_BEGINNING: u64 = 16 << 20;

/// What the first line that is not empty says of the rows of a source whose name does not say how they are written, for a model of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstLine {
    /// A text.
    Text,
    /// A JSON object that has the column.
    Object,
    /// A JSON object that lacks it.
    OtherObject,
    /// JSON that is not one object a line.
    OtherJson,
    /// The heading of a table that has the column; or a text that is the same to the letter.
    Heading,
}

impl FirstLine {
    /// Of a line.
    pub(super) fn of(line: &str, column: &InputColumn) -> Self {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.starts_with('{')
            && let Ok(LineObject { cells, .. }) = serde_json::from_str(&long_numbers_as_texts(line))
        {
            let only = cells.keys().next().filter(|_| cells.len() == 1);
            return match column.key(&cells, only.map(String::as_str)) {
                Some(_) => Self::Object,
                None => Self::OtherObject,
            };
        }
        if matches!(line, "{" | "[") || (line.starts_with('[') && line[1..].trim_start().starts_with('{')) {
            return Self::OtherJson;
        }
        let is_name = |field: &str| column.names().contains(&field.trim_matches('"'));
        match [',', ';', '\t'].into_iter().any(|separator| line.split(separator).any(is_name)) {
            true => Self::Heading,
            false => Self::Text,
        }
    }

    /// What is to be said where each line of the source is read as a text all the same; `-` is the standard input.
    pub(super) fn note(self, source: &str, column: &InputColumn) -> Option<String> {
        let (source, named, wanted) = (shown_path(source), source != "-", shown(column.name()));
        let what = match self {
            Self::Text => return None,
            Self::Object => format!("is a JSON object with `{wanted}`; name the file `.jsonl`, and its objects are read"),
            Self::OtherObject => format!(
                "is a JSON object without `{wanted}`; `jq -c '{{\"{wanted}\": .NAME}}'` gives what is under `NAME` the name by which it is found"
            ),
            Self::OtherJson => {
                "begins JSON that is not one object a line; `jq -c .`, or `jq -c '.[]'` of an array, makes JSON Lines of it"
                    .to_owned()
            }
            Self::Heading if named => {
                format!("may be the heading of a table with `{wanted}`; name the file `.csv` or `.tsv` where it is one")
            }
            Self::Heading => {
                format!("may be the heading of a table with `{wanted}`; `--format csv` or `tsv` reads it as one")
            }
        };
        Some(format!("`{source}`: each line is read as a text, and the first {what}"))
    }
}

/// The first line that is not empty, and all of the source.
///
/// # Errors
/// It cannot be read.
pub(super) fn first_line(mut source: Box<dyn BufRead>) -> io::Result<(String, Box<dyn BufRead>)> {
    let mut begin = Vec::new();
    let line = loop {
        let at = begin.len();
        let left = LONGEST_BEGINNING.saturating_sub(at as u64);
        let read = source.by_ref().take(left).read_until(b'\n', &mut begin)?;
        let line = String::from_utf8_lossy(&begin[at..]);
        if read == 0 || !line.trim_start_matches('\u{feff}').trim().is_empty() {
            break line.into_owned();
        }
    };
    Ok((line, Box::new(Cursor::new(begin).chain(source))))
}

#[cfg(test)]
mod tests {
    use millstream_pipeline::Holds;

    use super::*;

    #[test]
    fn json_lines_without_a_name_are_told_from_lines_of_text_by_the_column() {
        let named = InputColumn::of_texts(Some("review"));
        let unnamed = InputColumn::of_texts(None);
        assert!(named.takes == [Holds::Text] && named.is_lines());
        for (line, of_named, of_unnamed) in [
            ("a delight", FirstLine::Text, FirstLine::Text),
            ("", FirstLine::Text, FirstLine::Text),
            ("\u{feff}{\"review\": \"a\", \"x\": 1}\r\n", FirstLine::Object, FirstLine::OtherObject),
            ("{\"text\": \"a\", \"id\": 12345678901234567890123}", FirstLine::OtherObject, FirstLine::Object),
            // the only column of a table, as in a file
            ("{\"words\": \"a\"}", FirstLine::OtherObject, FirstLine::Object),
            ("{curly} words", FirstLine::Text, FirstLine::Text),
            ("{\"text\": cut", FirstLine::Text, FirstLine::Text),
            ("[ {\"review\": \"a\"},", FirstLine::OtherJson, FirstLine::OtherJson),
            ("[", FirstLine::OtherJson, FirstLine::OtherJson),
            ("[sic] a film", FirstLine::Text, FirstLine::Text),
            ("review", FirstLine::Heading, FirstLine::Text),
            ("id;\"review\";label", FirstLine::Heading, FirstLine::Text),
            ("id\ttext", FirstLine::Text, FirstLine::Heading),
            ("the review, at length", FirstLine::Text, FirstLine::Text),
        ] {
            assert_eq!(FirstLine::of(line, &named), of_named, "{line}");
            assert_eq!(FirstLine::of(line, &unnamed), of_unnamed, "{line}");
        }
        assert_eq!(FirstLine::Text.note("-", &named), None);
        for (line, source, wanted) in [
            (FirstLine::Heading, "-", "`--format csv`"),
            (FirstLine::Heading, "a.txt", "name the file `.csv`"),
            (FirstLine::Object, "a.txt", "name the file `.jsonl`"),
            (FirstLine::OtherObject, "-", "`jq -c '{\"review\": .NAME}'"),
        ] {
            let note = line.note(source, &named).unwrap();
            assert!(note.starts_with(&format!("`{source}`: each line is read as a text")), "{note}");
            assert!(note.contains(wanted), "{note}");
        }
    }

    #[test]
    fn nothing_is_lost_of_what_is_looked_at() {
        for (text, wanted) in [("\r\n\n a\nb\n", " a\n"), ("a", "a"), ("", ""), ("\n\n", "")] {
            let (line, mut all) = first_line(Box::new(Cursor::new(text.as_bytes().to_vec()))).unwrap();
            let mut read = String::new();
            all.read_to_string(&mut read).unwrap();
            assert_eq!((line.as_str(), read.as_str()), (wanted, text));
        }
    }
}
