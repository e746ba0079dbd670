use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use millstream_schemas::cells::long_numbers_as_texts;
use millstream_schemas::{count, shown};
use serde_json::{Map, Value};

use crate::RecipeError;
use crate::folder_files::extension;
use crate::line_object::LineObject;
use crate::record_source::{LONGEST_RECORD, RecordSource, ends_in_quotation, line_ends};

/// Bytes of a heading that are looked at for what lies between its fields.
const LONGEST_HEADING: u64 = 1 << 16;

/// What is said of an array of JSON where JSON Lines are read.
const ARRAY: &str = "it is a JSON array, and JSON Lines are read, one object a line: `jq -c '.[]' OLD.json > NEW.jsonl` makes them of an \
                     array of objects";

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableFormat {
    /// Fields between these (RFC 4180), under a heading.
    Delimited(u8),
    /// A JSON object a line.
    JsonLines,
}

impl TableFormat {
    /// As a file's name says.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match extension(path).as_str() {
            "csv" => Some(Self::Delimited(b',')),
            "tsv" => Some(Self::Delimited(b'\t')),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// As the first letters of what has no name say: an object, an array of such, or a heading.
    pub(crate) fn of_content(bytes: &[u8]) -> Self {
        let mut letters = letters(bytes);
        match (letters.next(), letters.next()) {
            (Some(b'{'), _) | (Some(b'['), Some(b'{')) => Self::JsonLines,
            _ => Self::Delimited(b','),
        }
    }
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    /// Bytes before it.
    pub(crate) byte: u64,
    /// Its first line, from 1.
    pub(crate) line: u64,
}

impl RecordPlace {
    /// Where the first object of JSON Lines may begin.
    pub(crate) const FIRST: Self = Self { byte: 0, line: 1 };
}

/// What a table holds for a row.
#[derive(Debug)]
pub(crate) struct TableRecord {
    pub(crate) place: RecordPlace,
    pub(crate) cells: RecordCells,
}

/// The cells of a record.
#[derive(Debug)]
pub(crate) enum RecordCells {
    /// Under the headings.
    Texts(csv::StringRecord),
    /// By name.
    Object(Map<String, Value>),
}

/// A line that is no record.
#[derive(Debug)]
pub(crate) struct BadRecord {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// The records of a table, read one after the other.
pub(crate) struct TableRecords<R> {
    /// What it is called in messages.
    name: String,
    rows: Rows<R>,
}

enum Rows<R> {
    Delimited {
        reader: Box<csv::Reader<RecordSource<R>>>,
        headings: Vec<String>,
        delimiter: u8,
        /// The first line of the record that goes to the end of the file, since nothing closes a quotation mark of it.
        open_record: Option<u64>,
    },
    JsonLines {
        reader: BufReader<R>,
        next: RecordPlace,
        /// Whether it begins with an array; then no line of it is read.
        is_array: bool,
        repeated: Option<RepeatedKey>,
    },
}

/// A key that an object has more than once.
struct RepeatedKey {
    /// The first line with one.
    line: u64,
    key: String,
    /// Lines with one.
    lines: u64,
}

impl<R: Read + Seek> TableRecords<R> {
    /// Opens a table. Fields of one with commas by its name lie between semicolons or tabs where its heading has some and no comma.
    ///
    /// # Errors
    /// It has no heading that can be read, or is UTF-16.
    pub(crate) fn open(name: &str, format: TableFormat, mut source: R) -> Result<Self, RecipeError> {
        let beginning = beginning(&mut source).map_err(RecipeError::io("read", name))?;
        if is_utf_16(&beginning) {
            let message = "it is UTF-16, as some programs save text, and tables are read as UTF-8: save it as `CSV UTF-8`, or write it anew by \
                           `iconv -f UTF-16 -t UTF-8 OLD > NEW`";
            return Err(RecipeError::mismatch(shown(name), message));
        }
        let rows = match format {
            TableFormat::Delimited(delimiter) => {
                let delimiter = match delimiter {
                    b',' => instead_of_commas(&beginning).unwrap_or(delimiter),
                    other => other,
                };
                let source = RecordSource::new(source);
                let mut reader =
                    csv::ReaderBuilder::new().delimiter(delimiter).buffer_capacity(1 << 16).from_reader(source);
                let headings = reader.headers().map_err(|error| heading_failed(name, &error))?.iter();
                // a mark of the byte order is no part of a name
                let headings = headings.map(|heading| heading.trim_start_matches('\u{feff}').to_owned()).collect();
                let source = reader.get_ref();
                let is_open = source.is_at_end() && ends_in_quotation(source.held_from(0), delimiter);
                let open_record = is_open.then_some(1);
                Rows::Delimited { reader: Box::new(reader), headings, delimiter, open_record }
            }
            TableFormat::JsonLines => Rows::JsonLines {
                reader: BufReader::with_capacity(1 << 16, source),
                next: RecordPlace::FIRST,
                is_array: letters(&beginning).next() == Some(b'['),
                repeated: None,
            },
        };
        Ok(Self { name: name.to_owned(), rows })
    }

    /// What lies between its fields, in words, where that is not what its name says.
    pub(crate) fn delimiter_in_words(&self, format: TableFormat) -> Option<&'static str> {
        match (&self.rows, format) {
            (Rows::Delimited { delimiter, .. }, TableFormat::Delimited(named)) if *delimiter != named => {
                Some(if *delimiter == b';' { "semicolons" } else { "tabs" })
            }
            _ => None,
        }
    }

    /// What is to be said of it where it is an array of JSON, which is one record that cannot be read.
    pub(crate) fn note_of_array(&self) -> Option<&'static str> {
        matches!(self.rows, Rows::JsonLines { is_array: true, .. }).then_some(ARRAY)
    }

    /// What is to be said of the records that were read, though each of them can be used.
    pub(crate) fn note_of_records(&self) -> Option<String> {
        match &self.rows {
            Rows::Delimited { open_record, .. } => open_record.map(|line| {
                format!(
                    "`{}`: the record that begins in line {line} goes to the end of the file, since a quotation mark in it is not closed",
                    shown(&self.name)
                )
            }),
            Rows::JsonLines { repeated, .. } => repeated.as_ref().map(|RepeatedKey { line, key, lines }| {
                let others = if *lines > 1 { format!("; {} have such a key", count(*lines, "line")) } else { String::new() };
                format!(
                    "`{}`: line {line} has the key `{}` more than once, and the last is taken{others}",
                    shown(&self.name),
                    shown(key)
                )
            }),
        }
    }

    /// The names over the fields; none where each record names its own.
    pub(crate) fn headings(&self) -> Option<&[String]> {
        match &self.rows {
            Rows::Delimited { headings, .. } => Some(headings),
            Rows::JsonLines { .. } => None,
        }
    }

    /// The next record, or why the next is none; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next_record(&mut self) -> Result<Option<Result<TableRecord, BadRecord>>, RecipeError> {
        match &mut self.rows {
            Rows::Delimited { reader, delimiter, open_record, .. } => {
                let start = reader.position().clone();
                reader.get_mut().begin_record(start.byte());
                let mut record = csv::StringRecord::new();
                let read = reader.read_record(&mut record);
                let source = reader.get_ref();
                // the reader is in front of the rest of a line end and of empty lines
                let (ends, lines) = line_ends(source.held_from(start.byte()));
                let place = RecordPlace { byte: start.byte() + ends, line: start.line() + lines };
                if source.is_at_end()
                    && !matches!(read, Ok(false))
                    && ends_in_quotation(source.held_from(place.byte), *delimiter)
                {
                    *open_record = Some(place.line);
                }
                match read {
                    Ok(false) => Ok(None),
                    Ok(true) => Ok(Some(Ok(TableRecord { place, cells: RecordCells::Texts(record) }))),
                    Err(error) => match bad(&error) {
                        Some(reason) => Ok(Some(Err(BadRecord { line: place.line, reason }))),
                        None => Err(failed(&self.name, &error)),
                    },
                }
            }
            // its lines may look like objects, and the last be one
            Rows::JsonLines { next, is_array: true, .. } => {
                let is_told = std::mem::replace(&mut next.byte, 1) > 0;
                Ok((!is_told).then(|| Err(BadRecord { line: 1, reason: ARRAY.to_owned() })))
            }
            Rows::JsonLines { reader, next, is_array: false, repeated } => loop {
                let mut line = Vec::new();
                let read = reader.by_ref().take(LONGEST_RECORD + 1).read_until(b'\n', &mut line);
                let read = read.map_err(RecipeError::io("read", self.name.as_str()))? as u64;
                let place = *next;
                if read == 0 {
                    return Ok(None);
                }
                if read > LONGEST_RECORD {
                    let message = format!("line {} has more than {LONGEST_RECORD} bytes", place.line);
                    return Err(RecipeError::mismatch(shown(&self.name), message));
                }
                *next = RecordPlace { byte: place.byte + read, line: place.line + 1 };
                let bad = |reason: String| Ok(Some(Err(BadRecord { line: place.line, reason })));
                let Ok(text) = std::str::from_utf8(&line) else { return bad("the line is no UTF-8".into()) };
                let text = text.trim_start_matches('\u{feff}').trim();
                if text.is_empty() {
                    continue;
                }
                return match serde_json::from_str(&long_numbers_as_texts(text)) {
                    Ok(LineObject { cells, repeated: again }) => {
                        if let Some(key) = again {
                            let first = repeated.get_or_insert(RepeatedKey { line: place.line, key, lines: 0 });
                            first.lines += 1;
                        }
                        Ok(Some(Ok(TableRecord { place, cells: RecordCells::Object(cells) })))
                    }
                    Err(error) => {
                        let rest = reader.fill_buf().map_err(RecipeError::io("read", self.name.as_str()))?;
                        let several = match (error.is_eof(), rest.is_empty()) {
                            (true, false) => {
                                "; an object over several lines is written in one by `jq -c . OLD.json > NEW.jsonl`"
                            }
                            (true, true) => "; the file ends within it: is it cut off?",
                            (false, _) => "",
                        };
                        bad(format!("the line is no JSON object: {error}{several}"))
                    }
                };
            },
        }
    }

    /// Where the next record begins, or what is skipped in front of it.
    pub(crate) fn here(&self) -> RecordPlace {
        match &self.rows {
            Rows::Delimited { reader, .. } => {
                let position = reader.position();
                RecordPlace { byte: position.byte(), line: position.line() }
            }
            Rows::JsonLines { next, .. } => *next,
        }
    }

    /// Goes to where a record begins.
    ///
    /// # Errors
    /// The file cannot be read there.
    pub(crate) fn go_to(&mut self, place: RecordPlace) -> Result<(), RecipeError> {
        match &mut self.rows {
            Rows::Delimited { reader, .. } => {
                let at = reader.position().byte();
                let between = place.byte.checked_sub(at).and_then(|bytes| usize::try_from(bytes).ok());
                let between = between.and_then(|bytes| reader.get_ref().held_from(at).get(..bytes));
                // what the next record skips needs no seeking, after which the buffer is read anew
                if between.is_some_and(|bytes| line_ends(bytes).0 == bytes.len() as u64) {
                    return Ok(());
                }
                let mut position = csv::Position::new();
                position.set_byte(place.byte).set_line(place.line);
                reader.seek(position).map_err(|error| failed(&self.name, &error))
            }
            Rows::JsonLines { reader, next, repeated, .. } => {
                if place == RecordPlace::FIRST {
                    *repeated = None;
                }
                if next.byte != place.byte {
                    let sought = reader.seek(SeekFrom::Start(place.byte));
                    sought.map_err(RecipeError::io("read", self.name.as_str()))?;
                }
                *next = place;
                Ok(())
            }
        }
    }
}

/// What is no white space, behind a mark of the byte order.
fn letters(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace())
}

/// As much as a heading may have; and goes back to the beginning.
fn beginning(source: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    source.by_ref().take(LONGEST_HEADING).read_to_end(&mut beginning)?;
    source.seek(SeekFrom::Start(0))?;
    Ok(beginning)
}

/// Whether text has two bytes a letter: by its mark, or since every other of its first bytes is 0.
fn is_utf_16(beginning: &[u8]) -> bool {
    let is_marked = beginning.starts_with(&[0xff, 0xfe]) || beginning.starts_with(&[0xfe, 0xff]);
    let (pairs, _) = beginning.get(..64).unwrap_or(beginning).as_chunks::<2>();
    let halves = |is: fn(&[u8; 2]) -> bool| pairs.len() >= 4 && pairs.iter().all(is);
    is_marked || halves(|[low, high]| *low != 0 && *high == 0) || halves(|[high, low]| *high == 0 && *low != 0)
}

/// Semicolons or tabs, where the heading has some, more of them than of the other, and no comma.
fn instead_of_commas(beginning: &[u8]) -> Option<u8> {
    let heading = beginning.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let count = |wanted: u8| heading.iter().filter(|byte| **byte == wanted).count();
    match (count(b','), count(b';'), count(b'\t')) {
        (1.., ..) | (0, 0, 0) => None,
        (_, semicolons, tabs) => Some(if semicolons >= tabs { b';' } else { b'\t' }),
    }
}

fn failed(name: &str, error: &csv::Error) -> RecipeError {
    RecipeError::mismatch(shown(name), shown(error.to_string()))
}

/// As [`failed`], of the heading, without which nothing can be read.
fn heading_failed(name: &str, error: &csv::Error) -> RecipeError {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => {
            let message = "its heading is no UTF-8, in which tables are read: save it as `CSV UTF-8`, or write it anew by \
                           `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`, if that is what it is";
            RecipeError::mismatch(shown(name), message)
        }
        _ => failed(name, error),
    }
}

/// What is wrong with one record, if the next may be read.
fn bad(error: &csv::Error) -> Option<String> {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => Some("it is no UTF-8".to_owned()),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Some(format!("it has {len} fields under {expected_len} headings"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Each record as its line and its cells or what is wrong.
    fn read(records: &mut TableRecords<Cursor<Vec<u8>>>) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            found.push(match record {
                Ok(TableRecord { place, cells: RecordCells::Texts(cells) }) => {
                    (place.line, cells.iter().collect::<Vec<_>>().join("|"))
                }
                Ok(TableRecord { place, cells: RecordCells::Object(cells) }) => {
                    (place.line, Value::Object(cells).to_string())
                }
                Err(bad) => (bad.line, format!("bad: {}", bad.reason)),
            });
        }
        found
    }

    fn open(format: TableFormat, text: &[u8]) -> TableRecords<Cursor<Vec<u8>>> {
        TableRecords::open("t", format, Cursor::new(text.to_vec())).unwrap()
    }

    #[test]
    fn a_bad_record_is_told_and_the_next_is_read() {
        let comma = TableFormat::Delimited(b',');
        let mut records = open(comma, b"\xef\xbb\xbfa,b\n1,\"x\ny\"\n2\n3,\xff\n4,z\n5,\"open\n6,w\n");
        assert_eq!(records.headings().unwrap(), ["a", "b"]);
        let found = read(&mut records);
        let wanted = [
            (2, "1|x\ny"),
            (4, "bad: it has 1 fields under 2 headings"),
            (5, "bad: it is no UTF-8"),
            (6, "4|z"),
            (7, "5|open\n6,w\n"),
        ];
        assert_eq!(found, wanted.map(|(line, text)| (line, text.to_owned())));
        let mut records = open(TableFormat::JsonLines, b"{\"a\": 1}\n\n[2]\n\xff\n{\"a\": null}");
        let found = read(&mut records);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert!(found[1].1.starts_with("bad: the line is no JSON object"), "{found:?}");
        assert_eq!((found[2].1.as_str(), found[3].1.as_str()), ("bad: the line is no UTF-8", "{\"a\":null}"));
    }

    #[test]
    fn tables_of_utf_16_are_told_what_they_are_and_what_to_do() {
        let written = |mark: bool, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let text = format!("{}weight,label\n1.5,a\n", if mark { "\u{feff}" } else { "" });
            text.encode_utf16().flat_map(order).collect()
        };
        for bytes in
            [written(true, u16::to_le_bytes), written(true, u16::to_be_bytes), written(false, u16::to_le_bytes)]
        {
            for format in [TableFormat::Delimited(b','), TableFormat::JsonLines] {
                let error = TableRecords::open("t.csv", format, Cursor::new(bytes.clone())).err().unwrap().to_string();
                assert!(error.contains("t.csv") && error.contains("UTF-16") && error.contains("CSV UTF-8"), "{error}");
            }
        }
        assert!(!is_utf_16(b"a,b\n1,\0") && !is_utf_16(b"") && !is_utf_16(b"a\0"));
    }

    #[test]
    fn a_heading_that_is_no_utf_8_is_told_with_what_to_do() {
        let read =
            TableRecords::open("t.csv", TableFormat::Delimited(b','), Cursor::new(b"na\xefve,b\n1,2\n".to_vec()));
        let error = read.err().unwrap().to_string();
        assert!(error.contains("t.csv: its heading is no UTF-8") && error.contains("iconv"), "{error}");
    }

    #[test]
    fn an_array_of_objects_is_told_as_that_and_none_of_its_lines_is_read() {
        for text in
            ["[{\"a\": 1}, {\"a\": 2}]", "\u{feff}\n[\n{\"a\": 1},\n{\"a\": 2}\n]\n", "[1, 2]\n{\"a\": 3}\n", "[]"]
        {
            let mut records = open(TableFormat::JsonLines, text.as_bytes());
            assert!(records.note_of_array().is_some(), "{text:?}");
            let found = read(&mut records);
            assert!(found.len() == 1 && found[0].0 == 1, "{text:?}: {found:?}");
            assert!(found[0].1.contains("a JSON array") && found[0].1.contains("jq -c '.[]'"), "{found:?}");
        }
        let mut records = open(TableFormat::JsonLines, b"{\"a\":\n1}\n");
        assert!(records.note_of_array().is_none());
        assert!(read(&mut records)[0].1.contains("`jq -c . OLD.json"));
    }

    #[test]
    fn a_file_that_is_cut_off_is_not_told_as_objects_over_several_lines() {
        for text in ["{\"a\": 1}\n{\"a\": 1, \"b\": \"x", "{\"a\": 1}\n{\"a\": 1,\n"] {
            let found = read(&mut open(TableFormat::JsonLines, text.as_bytes()));
            assert!(found.len() == 2 && found[1].0 == 2, "{text:?}: {found:?}");
            assert!(found[1].1.contains("is it cut off?") && !found[1].1.contains("jq"), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn a_table_without_a_name_is_told_by_its_first_letter() {
        for (text, wanted) in [
            ("\u{feff} \n{\"a\": 1}\n", TableFormat::JsonLines),
            ("[\n {\"a\": 1}]\n", TableFormat::JsonLines),
            ("[mm],b\n", TableFormat::Delimited(b',')),
            ("a,b\n", TableFormat::Delimited(b',')),
            ("", TableFormat::Delimited(b',')),
        ] {
            assert_eq!(TableFormat::of_content(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn fields_lie_between_semicolons_or_tabs_where_the_heading_has_no_comma() {
        for (text, headings, words) in [
            ("a;b\n1,5;x\n", &["a", "b"][..], Some("semicolons")),
            ("\u{feff}a\tb\r\n1\tx\r\n", &["a", "b"], Some("tabs")),
            ("a;b;c\td\n", &["a", "b", "c\td"], Some("semicolons")),
            ("a,b;c\n1,2\n", &["a", "b;c"], None),
            ("a\n1;2\n", &["a"], None),
            ("", &[], None),
        ] {
            let comma = TableFormat::Delimited(b',');
            let mut records = open(comma, text.as_bytes());
            assert_eq!(records.headings().unwrap(), headings, "{text:?}");
            assert_eq!(records.delimiter_in_words(comma), words, "{text:?}");
            assert!(read(&mut records).iter().all(|(line, cells)| *line == 2 && !cells.starts_with("bad")), "{text:?}");
        }
        let named = TableFormat::Delimited(b'\t');
        assert_eq!(open(named, b"a;b\n").headings().unwrap(), ["a;b"]);
    }

    #[test]
    fn records_are_found_again_by_their_places() {
        for (format, text) in [
            (TableFormat::Delimited(b'\t'), "a\tb\n1\t\"x\ny\"\n2\tz\r\n3\tw\n"),
            (TableFormat::JsonLines, "{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}\n"),
        ] {
            let mut records = open(format, text.as_bytes());
            let mut places = Vec::new();
            while let Some(record) = records.next_record().unwrap() {
                places.push(record.unwrap().place);
            }
            let all = read(&mut open(format, text.as_bytes()));
            for (place, wanted) in places.iter().zip(&all).rev() {
                records.go_to(*place).unwrap();
                let record = records.next_record().unwrap().unwrap().unwrap();
                assert_eq!(record.place.line, wanted.0);
                let again = match record.cells {
                    RecordCells::Texts(cells) => cells.iter().collect::<Vec<_>>().join("|"),
                    RecordCells::Object(cells) => Value::Object(cells).to_string(),
                };
                assert_eq!(again, wanted.1);
            }
        }
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_is_told_with_its_line() {
        let comma = TableFormat::Delimited(b',');
        for (text, line) in [
            ("a,b\n1,x\n2,\"open\n3,y\n", Some(3)),
            ("a,b\r\n\r\n1,\"open\"\"\r\n3,y", Some(3)),
            ("a,b\n1,\"x\n\n", Some(2)),
            // its fields do not fit either
            ("a,b\n\"1,x\n2,y\n", Some(2)),
            ("a,\"b\n1,x\n", Some(1)),
            ("a,b\n1,\"x\"\n2,\"y\"", None),
            ("a,b\n1,\"x\"\"y\"\n2,5\" wide\n", None),
            ("a,b\n1,\"x\"y\"\n", None),
            ("a,b\n", None),
            ("", None),
        ] {
            let mut records = open(comma, text.as_bytes());
            read(&mut records);
            let note = records.note_of_records();
            let wanted = line.map(|line| format!("begins in line {line} goes to the end of the file"));
            assert_eq!(note.is_some(), wanted.is_some(), "{text:?}: {note:?}");
            assert!(wanted.is_none_or(|wanted| note.as_ref().unwrap().contains(&wanted)), "{text:?}: {note:?}");
        }
    }

    #[test]
    fn a_key_that_is_written_twice_is_told_with_its_line() {
        let text = "{\"a\": 1}\n{\"a\": 1, \"b\": 2, \"a\": 3}\n{\"b\": 1, \"b\": 1}\n";
        let mut records = open(TableFormat::JsonLines, text.as_bytes());
        for _ in 0..2 {
            // as often as it is read
            let found = read(&mut records);
            assert_eq!(found[1], (2, "{\"a\":3,\"b\":2}".to_owned()));
            let note = records.note_of_records().unwrap();
            assert!(note.contains("line 2 has the key `a` more than once") && note.contains("2 lines"), "{note}");
            records.go_to(RecordPlace::FIRST).unwrap();
        }
        let mut records = open(TableFormat::JsonLines, b"{\"a\": {\"b\": 1}, \"b\": 2}\n");
        read(&mut records);
        assert_eq!(records.note_of_records(), None);
    }

    #[test]
    fn records_behind_empty_lines_are_told_by_their_own_lines() {
        let comma = TableFormat::Delimited(b',');
        for text in
            ["a,b\n\n\n1,x\n\n2,y\n3\n", "a,b\r\n\r\n\r\n1,x\r\n\r\n2,y\r\n3\r\n", "a,b\r\n\n\r\n1,x\n\r\n2,y\n3"]
        {
            let mut records = open(comma, text.as_bytes());
            let found = read(&mut records);
            let wanted = [(4, "1|x"), (6, "2|y"), (7, "bad: it has 1 fields under 2 headings")];
            assert_eq!(found, wanted.map(|(line, cells)| (line, cells.to_owned())), "{text:?}");
            let mut records = open(comma, text.as_bytes());
            let places = [(); 2].map(|()| records.next_record().unwrap().unwrap().unwrap().place);
            for place in [places[1], places[0], places[1]] {
                records.go_to(place).unwrap();
                assert_eq!(records.next_record().unwrap().unwrap().unwrap().place, place, "{text:?}");
            }
        }
    }
}
