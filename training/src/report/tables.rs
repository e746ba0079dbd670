//! What a page tells in tables: figures of classes and of columns' values, and confusion matrices.

use millstream_schemas::{grouped, percent, shown};
use serde::Serialize;

use super::letters::width_of;
use super::matrix::{self, Confusion, Drawn, MatrixRow, Picture};
use crate::evaluation_record::SetEvaluation;
use crate::metrics::{Cell, Evaluation, FigureKind, Record, Slice, SlicedColumn, Table, wilson, with_interval};

/// Letters of a line that have room in half the width of a wide window.
const BROAD: usize = 92;
/// The same of a sheet of paper.
const BROAD_IN_PRINT: usize = 48;

/// A table of one kind: lines of cells, a matrix, a picture, or words in its place.
#[derive(Default, Serialize)]
pub(super) struct Shown {
    title: String,
    columns: Vec<Text>,
    lines: Vec<Vec<Text>>,
    matrix: Vec<MatrixRow>,
    picture: Option<Picture>,
    instead: Option<String>,
    /// Letters of its longest line, about: by that it is made small enough for paper.
    letters: usize,
    is_broad: bool,
    is_broad_in_print: bool,
}

#[derive(Serialize)]
struct Text {
    text: String,
    is_number: bool,
}

impl Text {
    fn words(text: impl AsRef<str>) -> Self {
        Self { text: shown(text), is_number: false }
    }

    fn number(text: String) -> Self {
        Self { text, is_number: true }
    }
}

/// All of an evaluation: first tables of lines, then matrices.
pub(super) fn tables(evaluation: &Evaluation, classes: &[String], kinds: &[FigureKind]) -> Vec<Shown> {
    let table = |(name, table): &(String, Table)| match table {
        Table::Classes(records) => Vec::from_iter(lines(name, records, evaluation)),
        Table::Matrix(counts) => matrices(name, counts, classes, evaluation),
    };
    let is_matrix = |(_, table): &&(String, Table)| matches!(table, Table::Matrix(_));
    let (matrices, lines): (Vec<_>, Vec<_>) = evaluation.tables.iter().partition(is_matrix);
    let tables = lines.into_iter().chain(matrices).flat_map(table);
    tables.chain(evaluation.slices.iter().map(|column| sliced(column, kinds))).map(Shown::measured).collect()
}

/// The slices of another set of rows.
pub(super) fn tables_on(set: &SetEvaluation, kinds: &[FigureKind]) -> Vec<Shown> {
    let of_column = |column: &SlicedColumn| {
        let table = sliced(column, kinds);
        Shown { title: shown(format!("By {}, on {}", column.column, set.name)), ..table }.measured()
    };
    set.evaluation.slices.iter().map(of_column).collect()
}

impl Shown {
    fn measured(mut self) -> Self {
        let lines = || std::iter::once(&self.columns).chain(&self.lines);
        let widest = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column)).map(|cell| width_of(&cell.text));
            // in letters, with the room between columns
            cells.fold(0.0, f64::max) / 0.6 + 2.0
        };
        let of_lines: f64 = (0..self.columns.len()).map(widest).sum();
        let of_matrix = matrix::letters(&self.matrix);
        self.letters = of_lines.max(of_matrix).ceil() as usize;
        self.is_broad = self.letters > BROAD || self.picture.as_ref().is_some_and(Picture::is_broad);
        self.is_broad_in_print = self.letters > BROAD_IN_PRINT || self.picture.is_some();
        self
    }
}

/// The figures of each value of a column.
fn sliced(column: &SlicedColumn, kinds: &[FigureKind]) -> Shown {
    let is_there = |kind: &&FigureKind| column.slices.iter().any(|slice| slice.figures.get(&kind.name).is_some());
    let kinds: Vec<&FigureKind> = kinds.iter().filter(is_there).collect();
    let columns = [Text::words(&column.column), Text::number("rows".into())];
    let line = |slice: &Slice| {
        let figure = |kind: &&FigureKind| {
            Text::number(kind.shown_with_interval(slice.figures.get(&kind.name), slice.interval(&kind.name)))
        };
        let first = [Text::words(slice.name.to_string()), Text::number(grouped(slice.rows))];
        first.into_iter().chain(kinds.iter().map(figure)).collect()
    };
    Shown {
        title: shown(format!("By {}", column.column)),
        columns: columns
            .into_iter()
            .chain(kinds.iter().map(|kind| Text::number(shown(column.heading(kind)))))
            .collect(),
        lines: column.slices.iter().map(line).collect(),
        ..Shown::default()
    }
}

fn plain(cell: &Cell) -> Text {
    match cell {
        Cell::Text(text) => Text::words(text),
        Cell::Count(count) => Text::number(grouped(*count)),
        Cell::Share(share) => Text::number(share.map_or_else(|| "–".to_owned(), percent)),
        Cell::Intervals(_) => Text::words(""),
    }
}

/// What a share of a class is a share of, and how many of these: its counts. None of a share that is not one of counts, such as F1.
fn counts(record: &Record, column: &str, class: usize, matrix: Option<&[Vec<u64>]>) -> Option<(u64, u64)> {
    let share = |name: &str| match record.get(name) {
        Some(Cell::Share(share)) => *share,
        _ => None,
    };
    let Some(Cell::Count(rows)) = record.get("rows") else { return None };
    let right = (share("recall").unwrap_or(0.0) * *rows as f64).round();
    match column {
        "recall" => share("recall").map(|_| (right as u64, *rows)),
        "precision" => {
            let precision = share("precision")?;
            let taken = match right > 0.0 {
                true => (right / precision).round() as u64,
                false => matrix?.iter().filter_map(|row| row.get(class)).sum::<u64>(),
            };
            Some((right as u64, taken))
        }
        _ => None,
    }
}

fn lines(name: &str, records: &[Record], evaluation: &Evaluation) -> Option<Shown> {
    let matrix = evaluation.tables.iter().find_map(|(_, table)| match table {
        Table::Matrix(counts) if !counts.is_empty() => Some(counts.as_slice()),
        _ => None,
    });
    let rows = |record: &Record| match record.get("rows") {
        Some(Cell::Count(rows)) => *rows,
        _ => 0,
    };
    // places of rows are not independent of each other
    let are_of_rows = records.iter().map(rows).sum::<u64>() <= evaluation.rows;
    let cell = |class: usize, record: &Record, column: &str, cell: &Cell| match cell {
        Cell::Share(Some(share)) => {
            let counts = || counts(record, column, class, matrix).filter(|_| are_of_rows);
            let of_counts = || counts().and_then(|(part, whole)| wilson(part, whole, evaluation.confidence));
            let interval = record.interval(column).or_else(of_counts);
            Text::number(with_interval(percent(*share), interval, percent))
        }
        other => plain(other),
    };
    let line = |(class, record): (usize, &Record)| -> Vec<Text> {
        record.cells().map(|(column, found)| cell(class, record, column, found)).collect()
    };
    let column = |(name, cell): &(String, Cell)| {
        let name = if name == "name" { "class".to_owned() } else { name.replace('_', "-") };
        Text { text: shown(name), is_number: plain(cell).is_number }
    };
    Some(Shown {
        title: shown(capitalized(name)),
        columns: records.first()?.cells().map(column).collect(),
        lines: records.iter().enumerate().map(line).collect(),
        ..Shown::default()
    })
}

/// The matrix, and beside it what was confused most.
fn matrices(name: &str, counts: &[Vec<u64>], classes: &[String], evaluation: &Evaluation) -> Vec<Shown> {
    let title = capitalized(name);
    let title_of_axes = shown(format!("{title}: true class down, predicted class across"));
    let of_matrix = matrix::drawn(name, counts, classes, evaluation).map(|drawn| match drawn {
        Drawn::Table(matrix) => Shown { title: title_of_axes, matrix, ..Shown::default() },
        Drawn::Picture(picture) => Shown { title: title_of_axes, picture: Some(picture), ..Shown::default() },
        Drawn::Words(instead) => Shown { title: shown(title), instead: Some(instead), ..Shown::default() },
    });
    let found = matrix::confusions(counts, classes, evaluation);
    let line = |Confusion { truth, predicted, count, share }: Confusion| {
        vec![Text::words(truth), Text::words(predicted), Text::number(grouped(count)), Text::number(percent(share))]
    };
    let of_confusions = (!found.is_empty()).then(|| Shown {
        title: "Largest confusions".into(),
        columns: vec![
            Text::words("class"),
            Text::words("taken for"),
            Text::number("rows".into()),
            Text::number("of its class".into()),
        ],
        lines: found.into_iter().map(line).collect(),
        ..Shown::default()
    });
    of_matrix.into_iter().chain(of_confusions).collect()
}

/// `Accuracy`, `Confusion matrix`.
pub(super) fn capitalized(name: &str) -> String {
    let name = name.replace('_', " ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_of_figures_of_classes_are_called_as_figures_are_elsewhere_on_the_page() {
        let record = Record(vec![
            ("name".into(), Cell::Text("cat_a".into())),
            ("boxes".into(), Cell::Count(3)),
            ("average_precision_50".into(), Cell::Share(Some(0.5))),
        ]);
        let written = json!({"rows": 3, "loss": 0.25, "average_precision_by_class": [record]});
        let evaluation: Evaluation = serde_json::from_value(written).unwrap();
        let shown = tables(&evaluation, &[], &[]);
        let [table] = shown.as_slice() else { panic!("one table") };
        let columns: Vec<&str> = table.columns.iter().map(|column| column.text.as_str()).collect();
        assert_eq!(
            (table.title.as_str(), columns),
            ("Average precision by class", vec!["class", "boxes", "average-precision-50"])
        );
        assert_eq!(table.lines[0][0].text, "cat_a", "names of classes stay as they are");
    }

    #[test]
    fn recall_and_precision_of_a_class_are_shares_of_counts_that_have_an_interval() {
        let record = |rows: u64, precision: Option<f64>, recall: Option<f64>| {
            Record(vec![
                ("name".into(), Cell::Text("a".into())),
                ("rows".into(), Cell::Count(rows)),
                ("precision".into(), Cell::Share(precision)),
                ("recall".into(), Cell::Share(recall)),
                ("f1".into(), Cell::Share(Some(0.5))),
            ])
        };
        let matrix = [vec![9, 1], vec![3, 0]];
        let of = |record: &Record, column: &str, class: usize| counts(record, column, class, Some(&matrix[..]));
        let first = record(10, Some(0.75), Some(0.9));
        assert_eq!((of(&first, "recall", 0), of(&first, "precision", 0)), (Some((9, 10)), Some((9, 12))));
        assert_eq!((of(&first, "f1", 0), of(&first, "rows", 0)), (None, None));
        // of a class of which no row is right, the matrix says how many were taken for it
        let second = record(3, Some(0.0), Some(0.0));
        assert_eq!((of(&second, "recall", 1), of(&second, "precision", 1)), (Some((0, 3)), Some((0, 1))));
        assert_eq!(counts(&second, "precision", 1, None), None);
        assert_eq!(of(&record(0, None, None), "recall", 1), None);
    }
}
