use millstream_schemas::cells::{bool_of, float_of, int_of, is_long_number, is_missing_word, long_numbers_as_texts};
use millstream_schemas::shown;
use serde_json::Value as Json;

use super::boxes_in_json::BoxesSeen;
use super::cell_number::{CellNumber, are_thousands, is_parted};
use super::column::Kind;
use super::decimals_seen::{Decimals, DecimalsSeen};

/// What the cells of a column are, counted; decides what it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether numbers may have a comma in front of their decimals.
    decimal_comma: bool,
    /// What stands there in those of `floats`.
    decimals: DecimalsSeen,
    bools: u64,
    ints: u64,
    floats: u64,
    texts: u64,
    /// Whole numbers that 64 bits do not hold; in JSON these are texts when they come here.
    long_numbers: u64,
    int_lists: u64,
    float_lists: u64,
    text_lists: u64,
    /// Lists of points, all of two numbers, and all of three: with what is visible.
    points: [u64; 2],
    /// Lists of nothing, which are of any kind.
    empty_lists: u64,
    /// Objects with boxes and their classes.
    boxes: BoxesSeen,
    /// Other objects, and lists of other things.
    others: u64,
    missing: u64,
    /// Of the texts those that are numbers as people write them, and the first of these.
    written_numbers: u64,
    written_number: Option<String>,
    /// Of these the ones that are numbers with a comma in front of their decimals, and of those the ones that may be thousands: `1,234`.
    written_commas: u64,
    written_thousands: u64,
}

impl Seen {
    /// Nothing yet.
    pub(super) fn with_decimal_comma(decimal_comma: bool) -> Self {
        Self { decimal_comma, ..Self::default() }
    }

    /// Counts a cell of a text table.
    pub(crate) fn text(&mut self, text: &str) {
        let trimmed = text.trim();
        let counted = match trimmed {
            "" => &mut self.missing,
            word if is_missing_word(word) => &mut self.missing,
            word if bool_of(word).is_some() => &mut self.bools,
            word if int_of(word).is_some() => &mut self.ints,
            word if float_of(word).is_some() || CellNumber::of(word, self.decimal_comma).has_comma() => {
                self.decimals.count(word, self.decimal_comma);
                &mut self.floats
            }
            word if is_long_number(word) => &mut self.long_numbers,
            list if list.starts_with('[') => match serde_json::from_str::<Json>(&long_numbers_as_texts(list)) {
                Ok(value) => return self.json(&value),
                Err(_) => &mut self.texts,
            },
            word => {
                self.written(word);
                &mut self.texts
            }
        };
        *counted += 1;
    }

    pub(super) fn json(&mut self, value: &Json) {
        let counted = match value {
            Json::Null => &mut self.missing,
            Json::Bool(_) => &mut self.bools,
            Json::Number(number) if number.is_i64() => &mut self.ints,
            Json::Number(_) => &mut self.floats,
            Json::String(text) if is_long_number(text) => &mut self.long_numbers,
            Json::String(text) if CellNumber::of(text.trim(), self.decimal_comma).has_comma() => {
                self.decimals.count(text.trim(), self.decimal_comma);
                &mut self.floats
            }
            Json::String(text) => {
                self.written(text.trim());
                &mut self.texts
            }
            Json::Array(values) if values.is_empty() => &mut self.empty_lists,
            Json::Array(values) if values.iter().all(Json::is_i64) => &mut self.int_lists,
            Json::Array(values) if values.iter().all(Json::is_number) => &mut self.float_lists,
            Json::Array(values) if values.iter().all(Json::is_string) => &mut self.text_lists,
            Json::Array(values) if are_points(values, 2) => &mut self.points[0],
            Json::Array(values) if are_points(values, 3) => &mut self.points[1],
            Json::Object(cell) if self.boxes.see(cell) => return,
            Json::Array(_) | Json::Object(_) => &mut self.others,
        };
        *counted += 1;
    }

    /// Counts a text that may be a number as people write it.
    fn written(&mut self, text: &str) {
        if is_written_number(text) {
            self.written_numbers += 1;
            self.written_number.get_or_insert_with(|| text.to_owned());
            let has_decimals = CellNumber::of(text, true).has_comma();
            self.written_commas += u64::from(has_decimals);
            self.written_thousands += u64::from(has_decimals && are_thousands(text, ',', '.'));
        }
    }

    /// What the column holds: a text where cells are of several kinds. Said with why, where that may surprise.
    pub(super) fn kind(&self) -> (Kind, Option<&'static str>) {
        let numbers = self.ints + self.floats;
        let number_lists = self.int_lists + self.float_lists;
        let points = self.points[0] + self.points[1];
        let lists = number_lists + self.text_lists + points + self.empty_lists;
        let texts = self.texts + self.long_numbers;
        let kinds = [self.bools, numbers, texts, lists, self.boxes.cells, self.others];
        let of_lists = [number_lists, self.text_lists, self.points[0], self.points[1]];
        let are_several = |counts: &[u64]| counts.iter().filter(|count| **count > 0).count() > 1;
        let several = are_several(&kinds) || are_several(&of_lists);
        let are_numbers = self.texts + self.bools + lists + self.boxes.cells + self.others == 0;
        match self {
            Self { long_numbers: 1.., .. } if are_numbers => (
                Kind::Text,
                Some(
                    "it has whole numbers beyond 64 bits, and its values are written as texts so that no digit is lost",
                ),
            ),
            // `1.234` may be a thousand and more
            _ if self.decimals.decimals() == Decimals::Both => (
                Kind::Text,
                Some(
                    "some of its numbers have a comma and others a point, which may stand between thousands; all are written as texts",
                ),
            ),
            _ if self.decimals.decimals() == Decimals::Thousands && !several => (
                Kind::Text,
                Some(
                    "all of its points may stand between thousands where a comma stands in front of decimals (`1.234`), and its values are \
                     written as texts; write such numbers without a point, or with a comma behind it (`1.234,0`)",
                ),
            ),
            _ if several => (Kind::Text, Some("its values are of several kinds, and are written as texts")),
            Self { others: 1.., .. } => {
                (Kind::Text, Some("its values are objects or lists in lists, and are written as texts of JSON"))
            }
            _ if self.boxes.cells > 0 => (
                Kind::Objects(self.boxes.kind()),
                Some("its boxes are taken for left, top, width and height in pixels, as the Hub's layout has them"),
            ),
            Self { bools: 1.., .. } => (Kind::Bool, None),
            Self { floats: 1.., .. } => (Kind::Float, None),
            Self { ints: 1.., .. } => (Kind::Int, None),
            _ if points > 0 => (
                Kind::Floats,
                Some(
                    "its points are written as one list of all their numbers, as the encoding `key_points` takes them",
                ),
            ),
            Self { text_lists: 1.., .. } => (Kind::Texts, None),
            Self { int_lists: 1.., float_lists: 0, .. } => (Kind::Ints, None),
            _ if lists > 0 => (Kind::Floats, None),
            Self { texts: 1.., .. } => (Kind::Text, None),
            _ => (Kind::Text, Some("it is empty in every row")),
        }
    }

    /// What is said of a column all of whose texts are numbers as people write them.
    pub(super) fn note_of_written_numbers(&self) -> Option<String> {
        self.written_for_people().map(|are| format!("its values {are}"))
    }

    /// The same, behind the values: what they look like, why they are none, and what makes numbers of them.
    pub(crate) fn written_for_people(&self) -> Option<String> {
        let first = self.written_number.as_ref().filter(|_| self.written_numbers == self.texts)?;
        let have_decimals =
            self.written_commas == self.written_numbers && !self.decimals.has_points() && !self.decimal_comma;
        let remedy = match have_decimals {
            true if self.written_thousands < self.written_numbers => {
                "; `millstream import TABLE --decimal-comma -o FOLDER` reads a comma as the decimal point"
            }
            true => {
                "; if its commas stand between thousands, write the numbers without them; if they stand in front of decimals, \
                 `millstream import TABLE --decimal-comma -o FOLDER` reads them so"
            }
            false => "",
        };
        Some(format!(
            "look like numbers written for people (`{}`), and are texts: a number has a point, no other sign between its digits and none \
             behind them (`0.5`){remedy}",
            shown(first)
        ))
    }

    /// Whether a cell was read as a number with a comma in front of its decimals.
    pub(super) fn has_decimal_commas(&self) -> bool {
        self.decimals.has_commas()
    }

    /// Whether a cell is a list or an object.
    pub(super) fn has_lists(&self) -> bool {
        let lists = self.int_lists + self.float_lists + self.text_lists + self.points[0] + self.points[1];
        lists + self.empty_lists + self.boxes.cells + self.others > 0
    }
}

/// Whether all values of a list are lists of so many numbers.
fn are_points(values: &[Json], numbers: usize) -> bool {
    let is_point = |value: &Json| {
        value.as_array().is_some_and(|point| point.len() == numbers && point.iter().all(Json::is_number))
    };
    values.iter().all(is_point)
}

/// Whether a text is a number with commas in it, or in percent: `0,1`, `1.234,5`, `1,234.5`, `1,234,567` or `9 %`. Thousands have three
/// digits: `1,2,3` is a list, and `52.5,13.4` a place.
fn is_written_number(text: &str) -> bool {
    let bare = text.strip_suffix('%').map_or(text, str::trim_end);
    match bare.contains(',') {
        true => is_parted(bare, ',', '.') || is_parted(bare, '.', ','),
        false => bare.len() < text.len() && is_parted(bare, ',', '.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_decimal_commas_and_percent_signs_are_texts_that_are_told() {
        for (cells, example) in [
            (&["0,1", "2,75", ""][..], Some("`0,1`")),
            (&["9%", "12.5 %"], Some("`9%`")),
            (&["1.234,5", "7"], Some("`1.234,5`")),
            (&["1,234,567"], Some("`1,234,567`")),
            (&["-1,234.5", "12345,5"], Some("`-1,234.5`")),
            (&["1,2,3"], None),
            (&["52.5,13.4", "48.1,11.6"], None),
            (&["0,1", "x"], None),
            (&["0.1", "2"], None),
            (&["a,b", "%", ",", "5,"], None),
            (&[""], None),
        ] {
            let mut seen = Seen::default();
            cells.iter().for_each(|cell| seen.text(cell));
            let note = seen.note_of_written_numbers();
            assert_eq!(note.is_some(), example.is_some(), "{cells:?} {note:?}");
            assert!(example.is_none_or(|example| note.unwrap().contains(example)), "{cells:?}");
            assert!(example.is_none() || seen.kind().0 == Kind::Text, "{cells:?}");
        }
    }

    #[test]
    fn decimal_commas_are_read_where_that_is_asked_for_and_no_point_beside_them_is_guessed_at() {
        for (cells, wanted, note) in [
            (&["1,634", "2", "NA", "1.234,5"][..], Kind::Float, None),
            (&["1,634", "1.234"], Kind::Text, Some("may stand between thousands")),
            (&["1,634", "x"], Kind::Text, Some("several kinds")),
            (&["1.5", "2"], Kind::Float, None),
            (&["0.234", "1.234"], Kind::Float, None),
            (&["1.234", "12.5"], Kind::Float, None),
        ] {
            let mut seen = Seen::with_decimal_comma(true);
            cells.iter().for_each(|cell| seen.text(cell));
            let (kind, said) = seen.kind();
            assert_eq!(kind, wanted, "{cells:?}");
            assert!(said.unwrap_or_default().contains(note.unwrap_or_default()), "{cells:?}: {said:?}");
            assert_eq!(said.is_some(), note.is_some(), "{cells:?}: {said:?}");
        }
    }

    #[test]
    fn thousands_with_points_do_not_become_decimals_beside_decimal_commas() {
        for cells in [&["1.234", "12.500", "980"][..], &["-1.234", "NA"], &["100.000"]] {
            let mut seen = Seen::with_decimal_comma(true);
            cells.iter().for_each(|cell| seen.text(cell));
            let (kind, note) = seen.kind();
            assert_eq!(kind, Kind::Text, "{cells:?}");
            assert!(note.unwrap().contains("between thousands"), "{cells:?}: {note:?}");
            // where nobody says that decimals have a comma, a point is one of decimals
            let mut seen = Seen::default();
            cells.iter().for_each(|cell| seen.text(cell));
            assert_eq!(seen.kind(), (Kind::Float, None), "{cells:?}");
        }
    }

    #[test]
    fn thousands_with_commas_are_not_advised_to_be_read_as_decimals() {
        const ONE: &str = "reads a comma as the decimal point";
        const BOTH: &str = "if its commas stand between thousands, write the numbers without them; if they";
        for (cells, wanted) in [
            (&["1,634", "2,5"][..], Some(ONE)),
            (&["0,250", "1,250"], Some(ONE)),
            (&["1.234,500"], Some(ONE)),
            (&["1,234", "12,500"], Some(BOTH)),
            (&["1,234", "980"], Some(BOTH)),
            (&["1,234,567"], None),
            (&["1,234", "1,234,567"], None),
            (&["0,5", "1,234.5"], None),
            // with that, these are texts as well
            (&["0,5", "1.5"], None),
            (&["10 %"], None),
        ] {
            let mut seen = Seen::default();
            cells.iter().for_each(|cell| seen.text(cell));
            let note = seen.note_of_written_numbers().unwrap();
            assert_eq!(note.contains("--decimal-comma"), wanted.is_some(), "{cells:?}: {note}");
            assert!(note.contains(wanted.unwrap_or_default()), "{cells:?}: {note}");
        }
    }

    #[test]
    fn columns_hold_what_all_their_cells_are() {
        for (cells, wanted) in [
            (&["1", "-2", "", "NA"][..], Kind::Int),
            (&["1", "2.5", "1e3", "-inf"], Kind::Float),
            (&["True", "false", ""], Kind::Bool),
            (&["007", "1"], Kind::Text),
            (&["12345678901234567890", "1"], Kind::Text),
            (&["9223372036854775807", "1"], Kind::Int),
            (&["9223372036854775808", "1.5"], Kind::Text),
            (&["[12345678901234567890, 1]"], Kind::Text),
            (&["1", "x"], Kind::Text),
            (&["NA", "yes"], Kind::Text),
            (&["[1, 2]", "[]"], Kind::Ints),
            (&["[1, 2.5]", "[3]", ""], Kind::Floats),
            (&["[\"a\"]", "[]"], Kind::Texts),
            (&["[1", "[2]"], Kind::Text),
            (&["[[1]]"], Kind::Text),
            (&["[[1, 2], [3, 4]]", "[[5.5, 6]]", "[]"], Kind::Floats),
            (&["[[1, 2, 0], [3, 4, 2]]"], Kind::Floats),
            // which of them are points cannot be told
            (&["[[1, 2]]", "[[1, 2, 0]]"], Kind::Text),
            (&["[[1, 2]]", "[1, 2]"], Kind::Text),
            (&["[[1, 2], [1]]"], Kind::Text),
            (&["", ""], Kind::Text),
            (&["1_000"], Kind::Text),
            (&["+5"], Kind::Float),
        ] {
            let mut seen = Seen::default();
            cells.iter().for_each(|cell| seen.text(cell));
            assert_eq!(seen.kind().0, wanted, "{cells:?}");
        }
        let mut seen = Seen::default();
        seen.json(&serde_json::json!({"bbox": [[1, 2, 3, 4]], "categories": [0]}));
        assert!(matches!(seen.kind().0, Kind::Objects(_)));
        for cells in [&["1", "12345678901234567890"][..], &["12345678901234567890"], &["0.5", "-9223372036854775809"]] {
            let (mut of_json, mut of_text) = (Seen::default(), Seen::default());
            for cell in cells {
                of_json.json(&serde_json::from_str(&long_numbers_as_texts(cell)).unwrap());
                of_text.text(cell);
            }
            for seen in [of_json, of_text] {
                let (kind, note) = seen.kind();
                assert!(kind == Kind::Text && note.unwrap().contains("no digit is lost"), "{cells:?}: {note:?}");
            }
        }
        let mut seen = Seen::default();
        [r#"{"a": 1}"#, "null"].iter().for_each(|text| seen.json(&serde_json::from_str(text).unwrap()));
        assert!(seen.kind().1.unwrap().contains("JSON"));
        seen.json(&Json::from(3));
        assert!(seen.kind().1.unwrap().contains("several kinds"));
    }
}
