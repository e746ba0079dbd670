use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use millstream_schemas::cells::long_numbers_as_texts;
use millstream_schemas::shown;
use serde_json::{Map, Value};

use crate::RecipeError;
use crate::folder_files::extension;

/// Bytes of a record at most: more are those of a quotation mark that nothing closes.
const LONGEST_RECORD: u64 = 256 << 20;

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
        reader: Box<csv::Reader<Bounded<R>>>,
        headings: Vec<String>,
        delimiter: u8,
        /// Lines that the reader is behind at the beginning of a record: 1 where lines end in `\r\n`, of which it has read the first.
        behind: u64,
    },
    JsonLines {
        reader: BufReader<R>,
        next: RecordPlace,
        /// Whether it begins with an array; then no line of it is read.
        is_array: bool,
    },
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
                let mut ends = beginning.iter().skip_while(|byte| !matches!(byte, b'\n' | b'\r'));
                let behind = u64::from(ends.next() == Some(&b'\r') && ends.next() == Some(&b'\n'));
                let source = Bounded { source, left: LONGEST_RECORD };
                let mut reader =
                    csv::ReaderBuilder::new().delimiter(delimiter).buffer_capacity(1 << 16).from_reader(source);
                let headings = reader.headers().map_err(|error| heading_failed(name, &error))?.iter();
                // a mark of the byte order is no part of a name
                let headings = headings.map(|heading| heading.trim_start_matches('\u{feff}').to_owned()).collect();
                Rows::Delimited { reader: Box::new(reader), headings, delimiter, behind }
            }
            TableFormat::JsonLines => Rows::JsonLines {
                reader: BufReader::with_capacity(1 << 16, source),
                next: RecordPlace::FIRST,
                is_array: letters(&beginning).next() == Some(b'['),
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
            Rows::Delimited { reader, behind, .. } => {
                reader.get_mut().left = LONGEST_RECORD;
                let mut record = csv::StringRecord::new();
                match reader.read_record(&mut record) {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        let place = record.position();
                        let place = place.map(|at| RecordPlace { byte: at.byte(), line: at.line() + *behind });
                        let place = place.unwrap_or_default();
                        Ok(Some(Ok(TableRecord { place, cells: RecordCells::Texts(record) })))
                    }
                    Err(error) => match bad(&error) {
                        Some(bad) => Ok(Some(Err(BadRecord { line: bad.line + *behind, ..bad }))),
                        None => Err(failed(&self.name, &error)),
                    },
                }
            }
            // its lines may look like objects, and the last be one
            Rows::JsonLines { next, is_array: true, .. } => {
                let is_told = std::mem::replace(&mut next.byte, 1) > 0;
                Ok((!is_told).then(|| Err(BadRecord { line: 1, reason: ARRAY.to_owned() })))
            }
            Rows::JsonLines { reader, next, is_array: false } => loop {
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
                    Ok(object) => Ok(Some(Ok(TableRecord { place, cells: RecordCells::Object(object) }))),
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

    /// Goes to where a record begins.
    ///
    /// # Errors
    /// The file cannot be read there.
    pub(crate) fn go_to(&mut self, place: RecordPlace) -> Result<(), RecipeError> {
        match &mut self.rows {
            Rows::Delimited { reader, behind, .. } => {
                let mut position = csv::Position::new();
                position.set_byte(place.byte).set_line(place.line.saturating_sub(*behind));
                reader.get_mut().left = LONGEST_RECORD;
                reader.seek(position).map_err(|error| failed(&self.name, &error))
            }
            Rows::JsonLines { reader, next, .. } => {
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
fn bad(error: &csv::Error) -> Option<BadRecord> {
    let line = error.position().map_or(0, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is no UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields under {expected_len} headings")
        }
        _ => return None,
    };
    Some(BadRecord { line, reason })
}

/// Reads no more than so many bytes until that is set anew.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!(
                "a record of more than {LONGEST_RECORD} bytes; is a quotation mark not closed?"
            )));
        }
        let read = self.source.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
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
}
