use millstream_schemas::{decimal, grouped, percent, shown, shown_up_to};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;

use super::axis::Scale;
use super::chart::{Chart, Series, Subject};
use crate::epoch_evaluation::EpochEvaluation;
use crate::metrics::{ClassScore, Evaluation};
use crate::record::{Point, RunRecord};

const TEMPLATE: &str = include_str!("page.html");
/// A larger confusion matrix would not be readable.
const LARGEST_MATRIX: usize = 30;

pub(super) fn render(title: &str, runs: &[RunRecord]) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The name ends in .html, so that everything put into the page is escaped.
    environment.add_template("page.html", TEMPLATE)?;
    let drawn: Vec<Run> = runs.iter().enumerate().map(|(index, run)| Run::new(index, run)).collect();
    let (runs, charts) = (Value::from(Serde(drawn)), Value::from(Serde(charts(runs))));
    environment.get_template("page.html")?.render(context! { title => shown(title), runs, charts })
}

fn charts(runs: &[RunRecord]) -> Vec<Chart> {
    let series = |points: &dyn Fn(&RunRecord) -> Vec<(f64, f64)>, best: bool| -> Vec<Series> {
        let one = |(index, run): (usize, &RunRecord)| Series {
            name: shown(&run.title),
            colour: index % COLOURS,
            dash: index / COLOURS % DASHES,
            points: points(run),
            steps_per_point: run.history.curve.steps_per_point,
            best: run.history.best.filter(|_| best).map(|best| (best.epoch + 1) as f64),
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
    let by_epoch = |value: fn(&EpochEvaluation) -> f64| {
        let points = move |run: &RunRecord| {
            let start = run.history.start.as_ref().map(|start| (0.0, value(start)));
            let epochs = run.history.epochs.iter();
            let epochs = epochs.filter_map(|epoch| Some(((epoch.epoch + 1) as f64, value(epoch.evaluation.as_ref()?))));
            start.into_iter().chain(epochs).collect()
        };
        series(&points, true)
    };
    let subject = |title, x_name, scale, smooth| Subject { title, x_name, scale, smooth };
    use Scale::{Numbers, Shares};
    [
        Chart::new(subject("Training loss", "step", Numbers, true), &by_step(|point| point.loss)),
        Chart::new(
            subject("Accuracy on the evaluation rows", "epoch", Shares, false),
            &by_epoch(|evaluation| evaluation.accuracy),
        ),
        Chart::new(
            subject("Loss on the evaluation rows", "epoch", Numbers, false),
            &by_epoch(|evaluation| evaluation.loss),
        ),
        Chart::new(subject("Learning rate", "step", Numbers, false), &by_step(|point| point.learning_rate)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Colours that the page's style sheet has.
const COLOURS: usize = 6;

/// With more runs than colours, lines are dashed; style sheet as well.
const DASHES: usize = 3;
/// Letters that a setting or a note is cut to.
const LONGEST: usize = 2000;

/// Foreign text is escaped here, and a last time by the template, which makes it text of a page.
#[derive(Serialize)]
struct Run {
    title: String,
    colour: usize,
    dash: usize,
    figures: Vec<(&'static str, String)>,
    settings: Vec<(String, String)>,
    notes: Vec<String>,
    classes: Vec<Class>,
    matrix: Option<Vec<MatrixRow>>,
    /// Why there is no matrix.
    no_matrix: Option<String>,
}

#[derive(Serialize)]
struct Class {
    name: String,
    rows: String,
    precision: String,
    recall: String,
}

#[derive(Serialize)]
struct MatrixRow {
    name: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    count: String,
    /// Percent of the row's class, for the colour.
    percent: f64,
    about: String,
    right: bool,
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), percent)
}

impl Run {
    fn new(index: usize, run: &RunRecord) -> Self {
        let evaluation = run.evaluation.as_ref().or_else(|| run.history.best_evaluation());
        let class = |score: &ClassScore| Class {
            name: shown(&score.name),
            rows: grouped(score.rows),
            precision: share(score.precision),
            recall: share(score.recall),
        };
        let long = |text: &String| shown_up_to(text, LONGEST);
        Self {
            title: shown(&run.title),
            colour: index % COLOURS,
            dash: index / COLOURS % DASHES,
            figures: figures(run, evaluation),
            settings: run.settings.iter().map(|(name, value)| (shown(name), long(value))).collect(),
            notes: run.notes.iter().map(long).collect(),
            classes: evaluation.map_or_else(Vec::new, |found| found.per_class.iter().map(class).collect()),
            matrix: evaluation.and_then(matrix),
            no_matrix: evaluation.and_then(no_matrix),
        }
    }
}

/// None when it is too large, or when a record counts other classes than it names.
fn matrix(evaluation: &Evaluation) -> Option<Vec<MatrixRow>> {
    let (counts, classes) = (evaluation.confusion_matrix.rows(), &evaluation.per_class);
    if !(1..=LARGEST_MATRIX).contains(&counts.len()) || counts.len() != classes.len() {
        return None;
    }
    let row = |(truth, counts): (usize, &Vec<u64>)| {
        // Rows whose scores are no numbers are in no column, and yet of the class.
        let whole = classes[truth].rows.max(counts.iter().sum());
        let cell = |(predicted, count): (usize, &u64)| {
            let part = *count as f64 / whole.max(1) as f64;
            let (truth_name, predicted_name) = (shown(&classes[truth].name), shown(&classes[predicted].name));
            let (count_text, whole, percent) = (grouped(*count), grouped(whole), percent(part));
            Cell {
                about: format!("{count_text} of {whole} ({percent}) of {truth_name} taken for {predicted_name}"),
                count: count_text,
                percent: (part * 1000.0).round() / 10.0,
                right: predicted == truth,
            }
        };
        MatrixRow { name: shown(&classes[truth].name), cells: counts.iter().enumerate().map(cell).collect() }
    };
    Some(counts.iter().enumerate().map(row).collect())
}

/// Why there is none although rows were evaluated.
fn no_matrix(evaluation: &Evaluation) -> Option<String> {
    let classes = evaluation.per_class.len();
    (classes > LARGEST_MATRIX).then(|| {
        let whole = if evaluation.confusion_matrix.rows().is_empty() { "" } else { "; metrics.json has it" };
        format!("{} classes are too many to draw a confusion matrix of{whole}", grouped(classes as u64))
    })
}

fn figures(run: &RunRecord, evaluation: Option<&Evaluation>) -> Vec<(&'static str, String)> {
    let history = &run.history;
    let timing = &history.timing;
    let mut figures = Vec::new();
    if let Some(found) = evaluation {
        figures.push(("accuracy", percent(found.accuracy)));
        if found.top_5.is_some() {
            figures.push(("among the first five", share(found.top_5)));
        }
        figures.push(("loss on the evaluation rows", decimal(found.loss)));
        figures.push(("evaluation rows", grouped(found.rows)));
        if found.not_finite > 0 {
            figures.push(("of these, with scores that are no numbers", grouped(found.not_finite)));
        }
    }
    if let Some(best) = history.best {
        figures.push(("best epoch", grouped(best.epoch + 1)));
    }
    if let Some(last) = history.epochs.last() {
        figures.push(("training loss of the last epoch", decimal(last.training_loss)));
    }
    figures.push(("epochs, steps", format!("{}, {}", history.epochs.len(), grouped(history.steps))));
    figures.push(("numbers trained, frozen", format!("{}, {}", grouped(run.trained), grouped(run.frozen))));
    let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
    let rows: u64 = history.epochs.iter().map(|epoch| epoch.rows).sum();
    if seconds > 0.0 {
        figures.push(("rows a second in training", format!("{:.1}", rows as f64 / seconds)));
    }
    figures.push((
        "seconds waiting for data, in the graph, in the update",
        format!("{:.1}, {:.1}, {:.1}", timing.waiting, timing.graph, timing.update),
    ));
    figures.push((
        "seconds in evaluation, writing checkpoints",
        format!("{:.1}, {:.1}", timing.evaluation, timing.checkpoints),
    ));
    figures.push(("device", shown_up_to(&run.device, LONGEST)));
    figures.push(("ONNX Runtime", shown(&run.onnx_runtime)));
    figures.push(("ending", shown(&run.ending)));
    figures
}
