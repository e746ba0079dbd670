use std::path::Path;

use millstream_schemas::{decimal, files, grouped, percent, shown, shown_up_to};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;
use serde_json::Value as Json;

use super::about::{About, ShownAbout};
use super::axis::Scale;
use super::chart::{Chart, Series, Subject};
use crate::TrainingError;
use crate::evaluation_record::EvaluationRecord;
use crate::metrics::{Cell as TableCell, Evaluation, FigureKind, Record, Slice, SlicedColumn, Table, Unit};
use crate::pace::PacePoint;
use crate::record::{EpochRecord, Point, RunRecord};

const TEMPLATE: &str = include_str!("page.html");
/// A larger confusion matrix is drawn without its numbers, which are told where a pointer rests.
const LARGEST_MATRIX: usize = 30;
/// A larger one would be a page of its own.
const LARGEST_PICTURE: usize = 400;

/// A file beside a page, by its name, and what it is.
pub type Beside = (String, String);

/// A page about runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Its heading.
    pub title: &'a str,
    /// The runs.
    pub runs: &'a [RunRecord],
    /// What is said of them beside their records, in the same order; of those that are missing, nothing.
    pub about: &'a [About],
    /// Files that lie beside the page, which it links to.
    pub beside: &'a [Beside],
    /// Whether the page asks the address `events` that it was served from when it has changed.
    pub is_live: bool,
}

impl Page<'_> {
    /// The page as text. It needs no other file and no address.
    ///
    /// # Errors
    /// The template fails, which no record should bring about.
    pub fn render(&self) -> Result<String, TrainingError> {
        self.fill_template().map_err(TrainingError::Report)
    }

    /// Writes the page.
    ///
    /// # Errors
    /// As [`render`](Self::render), or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TrainingError> {
        files::replace_file(path, self.render()?.as_bytes()).map_err(TrainingError::io("write", path))
    }

    fn fill_template(&self) -> Result<String, minijinja::Error> {
        let Page { title, runs, about, beside, is_live } = *self;
        let mut environment = Environment::new();
        // The name ends in .html, so that everything put into the page is escaped.
        environment.add_template("page.html", TEMPLATE)?;
        let about = |index: usize| about.get(index).map_or_else(ShownAbout::default, ShownAbout::new);
        let drawn: Vec<Run> = runs.iter().enumerate().map(|(index, run)| Run::new(index, run, about(index))).collect();
        let (runs, charts) = (Value::from(Serde(drawn)), Value::from(Serde(charts(runs))));
        let (version, beside) = (env!("CARGO_PKG_VERSION"), Value::from(Serde(beside.to_vec())));
        environment
            .get_template("page.html")?
            .render(context! { title => shown(title), runs, charts, version, beside, is_live })
    }
}

fn charts(runs: &[RunRecord]) -> Vec<Chart> {
    let series = |points: &dyn Fn(&RunRecord) -> Vec<(f64, f64)>, best: bool| -> Vec<Series> {
        let one = |(index, run): (usize, &RunRecord)| Series {
            name: shown(&run.title),
            colour: index % COLOURS,
            dash: dash(index),
            points: points(run),
            steps_per_point: run.history.curve.steps_per_point,
            best: best.then(|| place_of_best(run)).flatten(),
        };
        runs.iter().enumerate().map(one).collect()
    };
    let by_step = |value: fn(&Point) -> f64| {
        let points = move |run: &RunRecord| {
            let points = run.history.curve.up_to(run.history.steps);
            points.iter().map(|point| (point.step as f64, value(point))).collect()
        };
        series(&points, false)
    };
    let by_epoch = |kind: &FigureKind| {
        let name = kind.name.clone();
        let points = move |run: &RunRecord| {
            let start = run.history.start.as_ref().and_then(|start| Some((0.0, start.figure(&name)?)));
            let (evaluations, epochs) = (&run.history.evaluations, run.history.epochs.iter());
            let values: Vec<_> = if evaluations.is_empty() {
                // of an older build
                let value = |epoch: &EpochRecord| epoch.evaluation.as_ref()?.figure(&name);
                epochs.filter_map(|epoch| Some(((epoch.epoch + 1) as f64, value(epoch)?))).collect()
            } else {
                let value = |record: &EvaluationRecord| Some((record.passes, record.figures.figure(&name)?));
                evaluations.iter().filter_map(value).collect()
            };
            start.into_iter().chain(values).collect()
        };
        series(&points, true)
    };
    let of_evaluations = |kind: &FigureKind| {
        let title = format!("{} on the evaluation rows", capitalized(&kind.label()));
        let scale = if kind.unit == Unit::Share { Shares } else { Numbers };
        Chart::new(Subject { title: &title, x_name: "epoch", scale, smooth: false }, &by_epoch(kind))
    };
    use Scale::{Numbers, Shares};
    let of_steps = |title, smooth, value: fn(&Point) -> f64| {
        Chart::new(Subject { title, x_name: "step", scale: Numbers, smooth }, &by_step(value))
    };
    // What decides, and the loss.
    let mut kinds: Vec<&FigureKind> = Vec::new();
    for decides in runs.iter().map(|run| &run.history.decides).filter(|kind| kind.name != FigureKind::LOSS) {
        if !kinds.contains(&decides) {
            kinds.push(decides);
        }
    }
    let loss = FigureKind::loss();
    kinds.push(&loss);
    let mut charts = vec![of_steps("Training loss", true, |point| point.loss)];
    charts.extend(kinds.into_iter().map(of_evaluations));
    charts.push(of_steps("Learning rate", false, |point| point.learning_rate));
    let by_pace = |value: fn(&PacePoint) -> f64| {
        let points = move |run: &RunRecord| {
            run.history.pace.so_far().iter().map(|point| (point.step as f64, value(point))).collect()
        };
        series(&points, false)
    };
    let of_pace = |title, scale, value: fn(&PacePoint) -> f64| {
        Chart::new(Subject { title, x_name: "step", scale, smooth: false }, &by_pace(value))
    };
    charts.push(of_pace("Rows a second", Numbers, |point| point.rows as f64 / point.seconds));
    charts.push(of_pace("Share of the time spent waiting for rows", Shares, |point| point.waiting / point.seconds));
    charts.into_iter().flatten().collect()
}

/// In passes over the rows.
fn place_of_best(run: &RunRecord) -> Option<f64> {
    let best = run.history.best.as_ref()?;
    Some(run.history.best_record().map_or((best.epoch + 1) as f64, |record| record.passes))
}

/// `Accuracy`, `Confusion matrix`.
fn capitalized(name: &str) -> String {
    let name = name.replace('_', " ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Colours that the page's style sheet has.
const COLOURS: usize = 6;

/// Dashes beside the colours, which not everybody tells apart; style sheet as well.
const DASHES: usize = 3;

/// Of a run, so that neighbours differ and no two of the first eighteen are alike.
fn dash(index: usize) -> usize {
    (index + index / COLOURS) % DASHES
}

/// Letters that a setting or a note is cut to.
const LONGEST: usize = 2000;

/// Foreign text is escaped here, and a last time by the template, which makes it text of a page.
#[derive(Serialize)]
struct Run {
    title: String,
    colour: usize,
    dash: usize,
    figures: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    notes: Vec<String>,
    tables: Vec<Shown>,
    about: ShownAbout,
}

/// A table of one kind: lines of cells, a matrix, or words in its place.
#[derive(Default, Serialize)]
struct Shown {
    title: String,
    columns: Vec<Text>,
    lines: Vec<Vec<Text>>,
    matrix: Vec<MatrixRow>,
    picture: Option<Picture>,
    instead: Option<String>,
}

#[derive(Serialize)]
struct Text {
    text: String,
    is_number: bool,
}

#[derive(Serialize)]
struct MatrixRow {
    name: String,
    cells: Vec<Cell>,
}

/// A matrix of many classes: a square for each cell that is not empty.
#[derive(Serialize)]
struct Picture {
    side: usize,
    squares: Vec<Square>,
}

#[derive(Serialize)]
struct Square {
    x: usize,
    y: usize,
    percent: f64,
    about: String,
    right: bool,
}

#[derive(Serialize)]
struct Cell {
    count: String,
    /// Percent of the row's class, for the colour.
    percent: f64,
    about: String,
    right: bool,
}

impl Run {
    fn new(index: usize, run: &RunRecord, about: ShownAbout) -> Self {
        let evaluation = run.evaluation.as_ref().or_else(|| run.history.exported_evaluation());
        let long = |text: &String| shown_up_to(text, LONGEST);
        Self {
            title: shown(&run.title),
            colour: index % COLOURS,
            dash: dash(index),
            figures: figures(run, evaluation),
            settings: run.settings.iter().map(|(name, value)| (shown(name), long(&plain(value)))).collect(),
            notes: run.notes.iter().map(long).collect(),
            about,
            tables: evaluation.map_or_else(Vec::new, |found| tables(found, &run.classes, &run.history.figures)),
        }
    }
}

/// A setting as a recipe writes it: `adamw: {learning_rate: 0.001}` where the record has JSON.
fn plain(setting: &str) -> String {
    match serde_json::from_str::<Json>(setting) {
        Ok(Json::Object(fields)) if fields.len() == 1 => flow_fields(&fields),
        Ok(value @ (Json::Object(_) | Json::String(_))) => flow(&value),
        _ => setting.to_owned(),
    }
}

fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Object(fields) => format!("{{{}}}", flow_fields(fields)),
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn flow_fields(fields: &serde_json::Map<String, Json>) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
    fields.join(", ")
}

fn tables(evaluation: &Evaluation, classes: &[String], kinds: &[FigureKind]) -> Vec<Shown> {
    let table = |(name, table): &(String, Table)| match table {
        Table::Classes(records) => lines(name, records),
        Table::Matrix(counts) => matrix(name, counts, classes, evaluation),
    };
    let is_matrix = |(_, table): &&(String, Table)| matches!(table, Table::Matrix(_));
    let (matrices, lines): (Vec<_>, Vec<_>) = evaluation.tables.iter().partition(is_matrix);
    let tables = lines.into_iter().chain(matrices).filter_map(table);
    tables.chain(evaluation.slices.iter().map(|column| sliced(column, kinds))).collect()
}

/// The figures of each value of a column.
fn sliced(column: &SlicedColumn, kinds: &[FigureKind]) -> Shown {
    let number = |text: String| Text { text, is_number: true };
    let is_there = |kind: &&FigureKind| column.slices.iter().any(|slice| slice.figures.get(&kind.name).is_some());
    let kinds: Vec<&FigureKind> = kinds.iter().filter(is_there).collect();
    let columns = [Text { text: shown(&column.column), is_number: false }, number("rows".into())];
    let line = |slice: &Slice| {
        let figure = |kind: &&FigureKind| {
            let value = kind.shown(slice.figures.get(&kind.name));
            number(match slice.interval(&kind.name) {
                Some([low, high]) => format!("{value} ({} to {})", kind.shown(Some(low)), kind.shown(Some(high))),
                None => value,
            })
        };
        let name = Text { text: shown(slice.name.to_string()), is_number: false };
        [name, number(grouped(slice.rows))].into_iter().chain(kinds.iter().map(figure)).collect()
    };
    Shown {
        title: shown(format!("By {}", column.column)),
        columns: columns.into_iter().chain(kinds.iter().map(|kind| number(shown(kind.label())))).collect(),
        lines: column.slices.iter().map(line).collect(),
        ..Shown::default()
    }
}

fn lines(name: &str, records: &[Record]) -> Option<Shown> {
    let text = |cell: &TableCell| match cell {
        TableCell::Text(text) => Text { text: shown(text), is_number: false },
        TableCell::Count(count) => Text { text: grouped(*count), is_number: true },
        TableCell::Share(share) => Text { text: share.map_or_else(|| "–".to_owned(), percent), is_number: true },
    };
    let column = |(name, cell): &(String, TableCell)| {
        let name = if name == "name" { "class" } else { name };
        Text { text: shown(name), is_number: text(cell).is_number }
    };
    Some(Shown {
        title: shown(capitalized(name)),
        columns: records.first()?.0.iter().map(column).collect(),
        lines: records.iter().map(|record| record.0.iter().map(|(_, cell)| text(cell)).collect()).collect(),
        ..Shown::default()
    })
}

/// None when a record counts other classes than it names; words where there are too many.
fn matrix(name: &str, counts: &[Vec<u64>], classes: &[String], evaluation: &Evaluation) -> Option<Shown> {
    let title = capitalized(name);
    if classes.len() > LARGEST_PICTURE || (classes.len() > LARGEST_MATRIX && counts.len() != classes.len()) {
        let whole = if counts.is_empty() { "" } else { "; metrics.json has it" };
        let count = grouped(classes.len() as u64);
        let what = name.replace('_', " ");
        let instead = Some(shown(format!("{count} classes are too many to draw a {what} of{whole}")));
        return Some(Shown { title: shown(title), instead, ..Shown::default() });
    }
    if counts.is_empty() || counts.len() != classes.len() {
        return None;
    }
    let row = |(truth, counts): (usize, &Vec<u64>)| {
        // Rows whose scores are no numbers are in no column, and yet of the class.
        let whole = evaluation.rows_of_class(truth).unwrap_or(0).max(counts.iter().sum());
        let cell = |(predicted, count): (usize, &u64)| {
            let part = *count as f64 / whole.max(1) as f64;
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
    };
    let title = format!("{title}: true class down, predicted class across");
    if classes.len() > LARGEST_MATRIX {
        let square = |(y, row): (usize, MatrixRow)| {
            let occupied = row.cells.into_iter().enumerate().filter(|(_, cell)| cell.count != "0");
            occupied
                .map(move |(x, Cell { percent, about, right, .. })| Square { x, y, percent, about, right })
                .collect::<Vec<_>>()
        };
        let squares = counts.iter().enumerate().map(row).enumerate().flat_map(square).collect();
        let picture = Some(Picture { side: classes.len(), squares });
        return Some(Shown { title: shown(title), picture, ..Shown::default() });
    }
    Some(Shown { title: shown(title), matrix: counts.iter().enumerate().map(row).collect(), ..Shown::default() })
}

fn figures(run: &RunRecord, evaluation: Option<&Evaluation>) -> Vec<(String, String)> {
    let history = &run.history;
    let timing = &history.timing;
    let mut figures = Vec::new();
    if let Some(found) = evaluation {
        for kind in &history.figures {
            if let Some(value) = found.figure(&kind.name) {
                let interval = found.interval(&kind.name).map_or_else(String::new, |[low, high]| {
                    let (low, high) = (kind.shown(Some(low)), kind.shown(Some(high)));
                    format!(" ({} % interval {low} to {high})", (1e8 * found.confidence).round() / 1e6)
                });
                figures.push((shown(kind.label()), format!("{}{interval}", kind.shown(Some(value)))));
            }
        }
        figures.push(("loss on the evaluation rows".into(), decimal(found.loss)));
        figures.push(("evaluation rows".into(), grouped(found.rows)));
        if found.not_finite > 0 {
            figures.push(("of these, with scores that are no numbers".into(), grouped(found.not_finite)));
        }
    }
    for set in &run.other_evaluations {
        for kind in &history.figures {
            if let Some(value) = set.evaluation.figure(&kind.name) {
                figures.push((shown(format!("{} on {}", kind.label(), set.name)), kind.shown(Some(value))));
            }
        }
        figures.push((shown(format!("loss on {}", set.name)), decimal(set.evaluation.loss)));
    }
    match (&history.best, history.place_of_best()) {
        (Some(best), Some(place)) if place.starts_with("epoch") => {
            figures.push(("best epoch".into(), grouped(best.epoch + 1)));
        }
        (_, Some(place)) => figures.push(("best".into(), place)),
        (_, None) => {}
    }
    if history.skipped_updates.total > 0 {
        figures.push(("updates left out".into(), grouped(history.skipped_updates.total)));
    }
    if let Some(last) = history.epochs.last() {
        figures.push(("training loss of the last epoch".into(), decimal(last.training_loss)));
    }
    figures.push(("epochs, steps".into(), format!("{}, {}", history.epochs.len(), grouped(history.steps))));
    // the log of a run that goes on does not say it
    if run.trained + run.frozen > 0 {
        figures.push(("numbers trained, frozen".into(), format!("{}, {}", grouped(run.trained), grouped(run.frozen))));
    }
    let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
    let rows: u64 = history.epochs.iter().map(|epoch| epoch.rows).sum();
    if seconds > 0.0 {
        figures.push(("rows a second in training".into(), format!("{:.1}", rows as f64 / seconds)));
    }
    figures.push((
        "seconds waiting for data, in the graph, in the update".into(),
        format!("{:.1}, {:.1}, {:.1}", timing.waiting, timing.graph, timing.update),
    ));
    figures.push((
        "seconds in evaluation, writing checkpoints".into(),
        format!("{:.1}, {:.1}", timing.evaluation, timing.checkpoints),
    ));
    figures.push(("device".into(), shown_up_to(&run.device, LONGEST)));
    figures.push(("ONNX Runtime".into(), shown(&run.onnx_runtime)));
    figures.push(("ending".into(), shown(&run.ending)));
    figures
}
