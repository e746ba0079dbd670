//! A confusion matrix for people: a table, of many classes a picture with names on both axes, and what is confused most.

use std::collections::HashSet;

use millstream_schemas::{grouped, percent, shown, shown_up_to};
use serde::Serialize;

use super::letters::{in_the_middle, width_of};
use crate::metrics::Evaluation;

/// A larger matrix is drawn without its numbers, which are told where a pointer rests.
const LARGEST_TABLE: usize = 30;
/// A larger one would be a page of its own.
const LARGEST_PICTURE: usize = 400;
/// More names than that are not read beside a picture: numbers stand there, and a list says whose they are.
const MOST_NAMES: usize = 60;
/// Letters of a name beside a picture.
const LONGEST_NAME: usize = 26;
/// Pairs of classes that are listed.
const MOST_CONFUSIONS: usize = 15;
/// A matrix of fewer classes is read at a glance.
const LISTED_FROM: usize = 6;

/// Side of a square, in units of the picture.
const SIDE: f64 = 20.0;
/// Size of the letters of names.
const LETTERS: f64 = 15.0;
/// Pixels of a square on a screen, at least: the names beside it are legible then.
const LEAST: f64 = 12.4;
/// Pixels of a panel in a wide window of two columns.
const HALF_A_WINDOW: f64 = 606.0;
/// Each so many classes have a number, where names have no room.
const NUMBERED: usize = 10;

#[derive(Debug, Serialize)]
pub(super) struct MatrixRow {
    name: String,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    count: String,
    /// Percent of the row's class, for the colour.
    percent: f64,
    about: String,
    right: bool,
}

/// A matrix of many classes: a square for each cell that is not empty. Lengths in units of its own.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    /// Of the squares together; names stand to their left and above them.
    size: f64,
    side: f64,
    margin: f64,
    whole: f64,
    letters: f64,
    /// Pixels that it is wide on a screen at least.
    least: f64,
    marks: Vec<Mark>,
    squares: Vec<Square>,
    /// Whose the numbers are.
    names: Vec<String>,
}

/// What stands beside a row, and above the column of the same class.
#[derive(Debug, Serialize)]
struct Mark {
    /// The middle of its row.
    at: f64,
    text: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct Square {
    x: f64,
    y: f64,
    opacity: f64,
    about: String,
    right: bool,
}

/// One class that was taken for another.
#[derive(Debug, PartialEq)]
pub(super) struct Confusion {
    pub(super) truth: String,
    pub(super) predicted: String,
    pub(super) count: u64,
    /// Of the rows of the true class.
    pub(super) share: f64,
}

/// How a matrix is shown.
#[derive(Debug)]
pub(super) enum Drawn {
    Table(Vec<MatrixRow>),
    Picture(Picture),
    /// Words in its place: there are too many classes.
    Words(String),
}

/// None when a record counts other classes than it names.
pub(super) fn drawn(name: &str, counts: &[Vec<u64>], classes: &[String], evaluation: &Evaluation) -> Option<Drawn> {
    let is_whole = !counts.is_empty() && counts.len() == classes.len();
    if classes.len() > LARGEST_PICTURE || (classes.len() > LARGEST_TABLE && !is_whole) {
        let whole = if counts.is_empty() { "" } else { "; metrics.json has it" };
        let (count, what) = (grouped(classes.len() as u64), name.replace('_', " "));
        return Some(Drawn::Words(shown(format!("{count} classes are too many to draw a {what} of{whole}"))));
    }
    if !is_whole {
        return None;
    }
    let rows = counts.iter().enumerate().map(|(truth, counts)| row(truth, counts, classes, evaluation)).collect();
    Some(if classes.len() > LARGEST_TABLE { Drawn::Picture(picture(rows, classes)) } else { Drawn::Table(rows) })
}

/// Rows of the class, those included whose scores are no numbers and which are in no column.
fn rows_of(truth: usize, counts: &[u64], evaluation: &Evaluation) -> u64 {
    evaluation.rows_of_class(truth).unwrap_or(0).max(counts.iter().sum()).max(1)
}

fn row(truth: usize, counts: &[u64], classes: &[String], evaluation: &Evaluation) -> MatrixRow {
    let whole = rows_of(truth, counts, evaluation);
    let cell = |(predicted, count): (usize, &u64)| {
        let part = *count as f64 / whole as f64;
        let (truth_name, predicted_name) = (shown(&classes[truth]), shown(&classes[predicted]));
        let (count_text, whole, percent) = (grouped(*count), grouped(whole), percent(part));
        Cell {
            about: format!("{count_text} of {whole} ({percent}) of {truth_name} taken for {predicted_name}"),
            count: count_text,
            percent: (part * 1000.0).round() / 10.0,
            right: predicted == truth,
        }
    };
    let cells = counts.iter().take(classes.len()).enumerate().map(cell).collect();
    MatrixRow { name: shown(&classes[truth]), cells }
}

fn picture(rows: Vec<MatrixRow>, classes: &[String]) -> Picture {
    let count = classes.len();
    let named = if count <= MOST_NAMES { short_names(classes) } else { None };
    let has_names = named.is_some();
    let place = |index: usize| index as f64 * SIDE;
    let mark = |index: usize| {
        let text = named.as_ref().map_or_else(|| grouped(index as u64 + 1), |names| names[index].clone());
        Mark { at: place(index) + SIDE / 2.0, text, name: shown(&classes[index]) }
    };
    let marked = |index: &usize| has_names || (index + 1).is_multiple_of(NUMBERED) || *index == 0;
    let marks: Vec<Mark> = (0..count).filter(marked).map(mark).collect();
    // numbers are as large on the screen as names would be
    let letters = if has_names { LETTERS } else { LETTERS * (count as f64 / MOST_NAMES as f64).max(1.0) };
    let widest = marks.iter().map(|mark| width_of(&mark.text)).fold(0.0, f64::max);
    let margin = (widest * letters + SIDE / 2.0).ceil();
    let square = |(y, row): (usize, MatrixRow)| {
        let occupied = row.cells.into_iter().enumerate().filter(|(_, cell)| cell.count != "0");
        let square = move |(x, Cell { percent, about, right, .. })| {
            let opacity = (20.0 + percent * 0.8).round() / 100.0;
            Square { x: place(x), y: place(y), opacity, about, right }
        };
        occupied.map(square).collect::<Vec<_>>()
    };
    let size = place(count);
    Picture {
        size,
        side: SIDE,
        margin,
        whole: margin + size,
        letters,
        least: ((margin + size) * LEAST / letters * LETTERS / SIDE).round(),
        marks,
        squares: rows.into_iter().enumerate().flat_map(square).collect(),
        names: if has_names { Vec::new() } else { classes.iter().map(shown).collect() },
    }
}

impl Picture {
    /// Whether half a wide window has too little room for it.
    pub(super) fn is_broad(&self) -> bool {
        self.least > HALF_A_WINDOW
    }
}

/// Letters of a line of a table, about.
pub(super) fn letters(rows: &[MatrixRow]) -> f64 {
    let name = rows.iter().map(|row| width_of(&row.name)).fold(0.0, f64::max) / 0.6;
    let count = rows.iter().flat_map(|row| &row.cells).map(|cell| cell.count.len()).max();
    count.map_or(0.0, |count| name + 2.0 + rows.len() as f64 * (count as f64 + 1.6).max(3.4))
}

/// Names that fit beside a picture, and are still of one class each; none where no cut leaves them so.
fn short_names(classes: &[String]) -> Option<Vec<String>> {
    let cuts: [fn(&String) -> String; 2] =
        [|name| in_the_middle(&shown(name), LONGEST_NAME), |name| shown_up_to(name, LONGEST_NAME - 1)];
    let cut = |cut: fn(&String) -> String| classes.iter().map(cut).collect::<Vec<String>>();
    let differ = |names: &Vec<String>| names.iter().collect::<HashSet<_>>().len() == classes.len();
    cuts.into_iter().map(cut).find(differ)
}

/// What was confused most often, the most frequent first; nothing of few classes.
pub(super) fn confusions(counts: &[Vec<u64>], classes: &[String], evaluation: &Evaluation) -> Vec<Confusion> {
    if classes.len() < LISTED_FROM || counts.len() != classes.len() {
        return Vec::new();
    }
    let of_row = |(truth, counts): (usize, &Vec<u64>)| {
        let whole = rows_of(truth, counts, evaluation);
        let wrong = counts.iter().take(classes.len()).enumerate().filter(|(at, count)| *at != truth && **count > 0);
        let confusion = |(predicted, count): (usize, &u64)| Confusion {
            truth: shown(&classes[truth]),
            predicted: shown(&classes[predicted]),
            count: *count,
            share: *count as f64 / whole as f64,
        };
        wrong.map(confusion).collect::<Vec<_>>()
    };
    let mut all: Vec<Confusion> = counts.iter().enumerate().flat_map(of_row).collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then(b.share.total_cmp(&a.share)));
    all.truncate(MOST_CONFUSIONS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("class number {index:03} with a long name")).collect()
    }

    fn evaluation() -> Evaluation {
        serde_json::from_str(r#"{"rows": 5, "not_finite": 0, "loss": 0.25, "accuracy": 0.8}"#).unwrap()
    }

    /// Class `n` is taken for the next one `n` times, and is right once.
    fn counts(count: usize) -> Vec<Vec<u64>> {
        let cell = |truth: usize, predicted: usize| match predicted {
            _ if predicted == truth => 1,
            _ if predicted == truth + 1 => truth as u64,
            _ => 0,
        };
        (0..count).map(|truth| (0..count).map(|predicted| cell(truth, predicted)).collect()).collect()
    }

    #[test]
    fn a_picture_of_many_classes_names_all_of_them_within_its_edges() {
        let evaluation = evaluation();
        let Some(Drawn::Picture(picture)) = drawn("confusion_matrix", &counts(36), &classes(36), &evaluation) else {
            panic!("36 classes are a picture")
        };
        let texts: std::collections::BTreeSet<&str> = picture.marks.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!((texts.len(), picture.names.len()), (36, 0));
        assert!(picture.marks.iter().all(|mark| width_of(&mark.text) * picture.letters < picture.margin));
        assert_eq!((picture.whole, picture.marks[35].at), (picture.margin + 720.0, 710.0));
        // each is right once, and all but the first and the last are wrong in one square
        assert_eq!(picture.squares.len(), 36 + 34);
    }

    #[test]
    fn long_names_are_cut_where_they_still_differ_or_numbered() {
        let names = |name: fn(usize) -> String| short_names(&(0..36).map(name).collect::<Vec<_>>());
        let first = names(|at| format!("class number {at:02} with a long name")).unwrap();
        assert_eq!(first[7], "class number 07 with a lo…");
        let last = names(|at| format!("a plane of the series number {at:02}")).unwrap();
        assert_eq!(last[7], "a plane of th…es number 07");
        assert_eq!(names(|at| format!("{0}{at:02}{0}", "x".repeat(30))), None);
    }

    #[test]
    fn where_names_have_no_room_numbers_stand_and_a_list_says_whose_they_are() {
        let evaluation = evaluation();
        let Some(Drawn::Picture(picture)) = drawn("confusion_matrix", &counts(120), &classes(120), &evaluation) else {
            panic!("120 classes are a picture")
        };
        let texts: Vec<&str> = picture.marks.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(texts, ["1", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100", "110", "120"]);
        assert_eq!((picture.names.len(), picture.names[119].as_str()), (120, "class number 119 with a long name"));
    }

    #[test]
    fn the_largest_confusions_are_listed_and_of_few_classes_none() {
        let evaluation = evaluation();
        let found = confusions(&counts(36), &classes(36), &evaluation);
        assert_eq!((found.len(), found[0].count, found[14].count), (15, 34, 20));
        assert_eq!(found[0].truth, "class number 034 with a long name");
        assert_eq!(found[0].predicted, "class number 035 with a long name");
        assert!((found[0].share - 34.0 / 35.0).abs() < 1e-12);
        assert_eq!(confusions(&counts(3), &classes(3), &evaluation), []);
        assert_eq!(confusions(&counts(8), &classes(9), &evaluation), []);
    }
}
