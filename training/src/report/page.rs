use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;

use super::chart::{Chart, Series};
use crate::metrics::Evaluation;
use crate::record::{EpochEvaluation, RunRecord};

const TEMPLATE: &str = include_str!("page.html");
/// A larger confusion matrix would not be readable.
const LARGEST_MATRIX: usize = 30;

pub(super) fn render(title: &str, runs: &[RunRecord]) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The name ends in .html, so that everything put into the page is escaped.
    environment.add_template("page.html", TEMPLATE)?;
    let shown: Vec<Run<'_>> = runs.iter().enumerate().map(|(index, run)| Run::new(index, run)).collect();
    let (runs, charts) = (Value::from(Serde(shown)), Value::from(Serde(charts(runs))));
    environment.get_template("page.html")?.render(context! { title, runs, charts })
}

fn charts(runs: &[RunRecord]) -> Vec<Chart> {
    let series = |points: &dyn Fn(&RunRecord) -> Vec<(f64, f64)>| -> Vec<Series> {
        let one = |(index, run): (usize, &RunRecord)| Series {
            name: run.title.clone(),
            colour: index % COLOURS,
            points: points(run),
        };
        runs.iter().enumerate().map(one).collect()
    };
    let by_step = |value: fn(&crate::record::Point) -> f64| {
        series(&move |run| run.history.curve.points.iter().map(|point| (point.step as f64, value(point))).collect())
    };
    let by_epoch = |value: fn(&EpochEvaluation) -> f64| {
        series(&move |run| {
            let epochs = run.history.epochs.iter();
            epochs.filter_map(|epoch| Some(((epoch.epoch + 1) as f64, value(epoch.evaluation.as_ref()?)))).collect()
        })
    };
    [
        Chart::new("Training loss", "step", by_step(|point| point.loss)),
        Chart::new("Accuracy on the evaluation rows", "epoch", by_epoch(|evaluation| evaluation.accuracy)),
        Chart::new("Loss on the evaluation rows", "epoch", by_epoch(|evaluation| evaluation.loss)),
        Chart::new("Learning rate", "step", by_step(|point| point.learning_rate)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Colours that the page's style sheet has.
const COLOURS: usize = 6;

#[derive(Serialize)]
struct Run<'a> {
    title: &'a str,
    colour: usize,
    figures: Vec<(&'static str, String)>,
    settings: &'a [(String, String)],
    notes: &'a [String],
    classes: Vec<Class<'a>>,
    matrix: Option<Vec<MatrixRow<'a>>>,
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    rows: u64,
    precision: String,
    recall: String,
}

#[derive(Serialize)]
struct MatrixRow<'a> {
    name: &'a str,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    count: u64,
    /// Share of the row, 0 to 1.
    share: f64,
    right: bool,
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

impl<'a> Run<'a> {
    fn new(index: usize, run: &'a RunRecord) -> Self {
        let evaluation = run.evaluation.as_ref().or_else(|| run.history.best_evaluation());
        Self {
            title: &run.title,
            colour: index % COLOURS,
            figures: figures(run, evaluation),
            settings: &run.settings,
            notes: &run.notes,
            classes: evaluation.map_or_else(Vec::new, |evaluation| {
                let class = |score: &'a crate::metrics::ClassScore| Class {
                    name: &score.name,
                    rows: score.rows,
                    precision: percent(score.precision),
                    recall: percent(score.recall),
                };
                evaluation.per_class.iter().map(class).collect()
            }),
            matrix: evaluation.and_then(matrix),
        }
    }
}

/// None when it is too large, or when a record counts other classes than it names.
fn matrix(evaluation: &Evaluation) -> Option<Vec<MatrixRow<'_>>> {
    let (counts, classes) = (evaluation.confusion_matrix.rows(), &evaluation.per_class);
    if !(1..=LARGEST_MATRIX).contains(&counts.len()) || counts.len() != classes.len() {
        return None;
    }
    let row = |(truth, counts): (usize, &Vec<u64>)| {
        let whole = counts.iter().sum::<u64>().max(1) as f64;
        let cell = |(predicted, count): (usize, &u64)| Cell {
            count: *count,
            share: (*count as f64 / whole * 100.0).round() / 100.0,
            right: predicted == truth,
        };
        MatrixRow { name: &classes[truth].name, cells: counts.iter().enumerate().map(cell).collect() }
    };
    Some(counts.iter().enumerate().map(row).collect())
}

fn figures(run: &RunRecord, evaluation: Option<&Evaluation>) -> Vec<(&'static str, String)> {
    let history = &run.history;
    let timing = &history.timing;
    let mut figures = Vec::new();
    if let Some(found) = evaluation {
        figures.push(("accuracy", percent(Some(found.accuracy))));
        if found.top_5.is_some() {
            figures.push(("among the first five", percent(found.top_5)));
        }
        figures.push(("loss on the evaluation rows", format!("{:.4}", found.loss)));
        figures.push(("evaluation rows", found.rows.to_string()));
        if found.not_finite > 0 {
            figures.push(("of these, with scores that are no numbers", found.not_finite.to_string()));
        }
    }
    if let Some(best) = history.best {
        figures.push(("best epoch", (best.epoch + 1).to_string()));
    }
    if let Some(last) = history.epochs.last() {
        figures.push(("training loss of the last epoch", format!("{:.4}", last.training_loss)));
    }
    figures.push(("epochs, steps", format!("{}, {}", history.epochs.len(), history.steps)));
    figures.push(("numbers trained, frozen", format!("{}, {}", run.trained, run.frozen)));
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
    figures.push(("device", run.device.clone()));
    figures.push(("ONNX Runtime", run.onnx_runtime.clone()));
    figures.push(("ending", run.ending.clone()));
    figures
}
