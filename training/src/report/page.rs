use std::path::Path;

use millstream_schemas::{decimal, files, grouped, shown, shown_up_to};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, HtmlEscape, context};
use serde::Serialize;

use super::about::{About, ShownAbout};
use super::axis::Scale;
use super::chart::{Chart, Series, Subject};
use super::setting::{in_yaml, multiples_in_words, name_of_choice};
use super::tables::{Shown, capitalized, tables, tables_on};
use crate::TrainingError;
use crate::evaluation_record::EvaluationRecord;
use crate::metrics::{Evaluation, FigureKind, Unit, confidence_in_words};
use crate::pace::PacePoint;
use crate::record::{EpochRecord, Point, RunRecord};

const TEMPLATE: &str = include_str!("page.html");
/// A word of so many letters is a path or a hash, which may be broken anywhere.
const LONG_WORD: usize = 28;

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
        environment.add_filter("unbroken", unbroken);
        environment.add_filter("whole_powers", whole_powers);
        environment.add_test("loose", is_loose);
        let about = |index: usize| about.get(index).map_or_else(ShownAbout::default, ShownAbout::new);
        let drawn: Vec<Run> = runs.iter().enumerate().map(|(index, run)| Run::new(index, run, about(index))).collect();
        let (runs, charts) = (Value::from(Serde(drawn)), Value::from(Serde(charts(runs))));
        let (version, beside) = (env!("CARGO_PKG_VERSION"), Value::from(Serde(beside.to_vec())));
        environment
            .get_template("page.html")?
            .render(context! { title => shown(title), runs, charts, version, beside, is_live })
    }
}

/// With numbers that stay in one line with their unit.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// As markup, in which numbers such as 1e-8 are not broken at the sign of their exponent.
fn whole_powers(text: &str) -> Value {
    let escaped = HtmlEscape(text).to_string();
    let (mut markup, mut rest) = (String::new(), escaped.as_str());
    while let Some(at) = rest.find("e-") {
        let number = rest[..at].trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.').len();
        let power = rest[at + 2..].trim_start_matches(|letter: char| letter.is_ascii_digit());
        let end = rest.len() - power.len();
        markup += &match number < at && end > at + 2 {
            true => format!("{}<span class=\"whole\">{}</span>", &rest[..number], &rest[number..end]),
            false => rest[..end].to_owned(),
        };
        rest = &rest[end..];
    }
    Value::from_safe_string(markup + rest)
}

/// Whether a text has a path, a hash or the like.
fn is_loose(text: &str) -> bool {
    text.split_whitespace().any(|word| word.chars().count() > LONG_WORD)
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
    let losses = by_losses(runs);
    let of_evaluations = |kind: &FigureKind| -> Vec<Option<Chart>> {
        let title = format!("{} on the evaluation rows", capitalized(&kind.label()));
        let scale = if kind.unit == Unit::Share { Shares } else { Numbers };
        match kind.name == FigureKind::LOSS {
            true => {
                let chart =
                    |own: &SameLoss| Chart::new(of_epochs(&own.titled(&title), scale), &own.among(by_epoch(kind)));
                losses.iter().map(chart).collect()
            }
            false => vec![Chart::new(of_epochs(&title, scale), &by_epoch(kind))],
        }
    };
    use Scale::{Amounts, Numbers, Shares};
    let of_loss = |own: &SameLoss| {
        let title = own.titled("Training loss");
        let subject = Subject { title: &title, x_name: "step", scale: Numbers, smooth: true };
        Chart::new(subject, &own.among(by_step(|point| point.loss)))
    };
    let mut charts: Vec<Option<Chart>> = losses.iter().map(of_loss).collect();
    charts.extend(figure_kinds(runs).iter().flat_map(of_evaluations));
    let subject = Subject { title: "Learning rate", x_name: "step", scale: Amounts, smooth: false };
    let rate = Chart::new(subject, &by_step(|point| point.learning_rate));
    charts.push(rate.map(|chart| chart.noting(multiples(runs))));
    let by_pace = |value: fn(&PacePoint) -> f64| {
        let points = move |run: &RunRecord| {
            run.history.pace.so_far().iter().map(|point| (point.step as f64, value(point))).collect()
        };
        series(&points, false)
    };
    let of_pace = |title, scale, value: fn(&PacePoint) -> f64| {
        Chart::new(Subject { title, x_name: "step", scale, smooth: false }, &by_pace(value))
    };
    charts.push(of_pace("Rows a second", Amounts, |point| point.rows as f64 / point.seconds));
    charts.push(of_pace("Share of the time spent waiting for rows", Shares, |point| point.waiting / point.seconds));
    charts.into_iter().flatten().collect()
}

/// The setting of a run that says its loss.
const LOSS_SETTING: &str = "loss";
/// The setting of a run that says which layers have a multiple of the learning rate.
const MULTIPLES_SETTING: &str = "learning rate multipliers";

fn setting<'a>(run: &'a RunRecord, name: &str) -> Option<&'a str> {
    run.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn of_epochs(title: &str, scale: Scale) -> Subject<'_> {
    Subject { title, x_name: "epoch", scale, smooth: false }
}

/// Runs whose values of the loss compare.
struct SameLoss {
    /// Their loss; none where all runs have one loss, which is not told then.
    loss: Option<String>,
    /// Their places among the runs.
    runs: Vec<usize>,
}

impl SameLoss {
    /// The title of their chart.
    fn titled(&self, title: &str) -> String {
        self.loss.as_ref().map_or_else(|| title.to_owned(), |loss| format!("{title}, {loss}"))
    }

    /// Theirs of the lines of all runs.
    fn among(&self, all: Vec<Series>) -> Vec<Series> {
        all.into_iter().enumerate().filter(|(at, _)| self.runs.contains(at)).map(|(_, series)| series).collect()
    }
}

/// Runs by their loss: values of different losses have no axis in common.
fn by_losses(runs: &[RunRecord]) -> Vec<SameLoss> {
    let mut found: Vec<(Option<&str>, Vec<usize>)> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let loss = setting(run, LOSS_SETTING);
        match found.iter_mut().find(|(known, _)| *known == loss) {
            Some((_, own)) => own.push(at),
            None => found.push((loss, vec![at])),
        }
    }
    let are_several = found.len() > 1;
    let names: Vec<Option<String>> = found.iter().map(|(loss, _)| loss.and_then(name_of_choice)).collect();
    // options are told where a name does not tell losses apart
    let in_words = |loss: &str| {
        let name =
            name_of_choice(loss).filter(|name| names.iter().flatten().filter(|other| *other == name).count() == 1);
        shown(name.unwrap_or_else(|| in_yaml(loss)))
    };
    let of_one = |(loss, runs): (Option<&str>, Vec<usize>)| {
        let said = loss.map_or_else(|| "of runs that do not say which".to_owned(), in_words);
        SameLoss { loss: are_several.then_some(said), runs }
    };
    found.into_iter().map(of_one).collect()
}

/// Which layers have a multiple of the rate that is drawn.
fn multiples(runs: &[RunRecord]) -> Option<String> {
    let known = runs.iter().filter_map(|run| Some((run, setting(run, MULTIPLES_SETTING)?)));
    let each = known.map(|(run, multiples)| match runs {
        [_] => shown(multiples_in_words(multiples)),
        _ => format!("{}: {}", shown(&run.title), shown(multiples_in_words(multiples))),
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("the base rate; layers with a multiple of it: {}", each.join("; ")))
}

/// The figures that have a chart: what decides, the loss, and then all others that evaluations of these runs have.
fn figure_kinds(runs: &[RunRecord]) -> Vec<FigureKind> {
    let deciding = runs.iter().map(|run| &run.history.decides).filter(|kind| kind.name != FigureKind::LOSS);
    let others = runs.iter().flat_map(|run| &run.history.figures);
    let mut kinds: Vec<FigureKind> = Vec::new();
    for kind in deciding.cloned().chain([FigureKind::loss()]).chain(others.cloned()) {
        if kinds.iter().all(|known| known.name != kind.name) {
            kinds.push(kind);
        }
    }
    kinds
}

/// In passes over the rows.
fn place_of_best(run: &RunRecord) -> Option<f64> {
    let best = run.history.best.as_ref()?;
    Some(run.history.best_record().map_or((best.epoch + 1) as f64, |record| record.passes))
}

/// Colours that the page's style sheet has.
const COLOURS: usize = 8;

/// Dashes beside the colours, which not everybody tells apart; style sheet as well.
const DASHES: usize = 8;

/// Of a run: each of the first eight has its own, and no two of the first sixty-four have colour and dashes alike.
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

impl Run {
    fn new(index: usize, run: &RunRecord, about: ShownAbout) -> Self {
        let evaluation = run.evaluation.as_ref().or_else(|| run.history.exported_evaluation());
        let long = |text: &String| shown_up_to(text, LONGEST);
        Self {
            title: shown(&run.title),
            colour: index % COLOURS,
            dash: dash(index),
            figures: figures(run, evaluation),
            settings: run.settings.iter().map(|(name, value)| (shown(name), in_yaml(value))).collect(),
            notes: run.notes.iter().map(long).collect(),
            about,
            tables: evaluation
                .map_or_else(Vec::new, |found| tables(found, &run.classes, &run.history.figures))
                .into_iter()
                .chain(run.other_evaluations.iter().flat_map(|set| tables_on(set, &run.history.figures)))
                .collect(),
        }
    }
}

/// `88.6 % (95 % interval 82.3 % to 92.9 %)`.
fn with_interval(found: &Evaluation, kind: &FigureKind) -> Option<String> {
    let value = kind.shown(Some(found.figure(&kind.name)?));
    let interval = found.interval(&kind.name).map_or_else(String::new, |interval| {
        format!(" ({} interval {})", confidence_in_words(found.confidence), kind.shown_interval(interval))
    });
    Some(value + &interval)
}

fn figures(run: &RunRecord, evaluation: Option<&Evaluation>) -> Vec<(String, String)> {
    let history = &run.history;
    let timing = &history.timing;
    let mut figures = Vec::new();
    if let Some(found) = evaluation {
        // beside other sets that one is named which decides
        let (on, rows) = match run.other_deciding_set() {
            Some(set) => (format!(" on {set}"), format!("rows of {set}")),
            None => (String::new(), "evaluation rows".to_owned()),
        };
        for kind in &history.figures {
            figures.extend(with_interval(found, kind).map(|value| (shown(kind.label() + &on), value)));
        }
        let of_loss = if on.is_empty() { " on the evaluation rows" } else { on.as_str() };
        let loss = with_interval(found, &FigureKind::loss());
        figures.extend(loss.map(|value| (shown(format!("loss{of_loss}")), value)));
        figures.push((shown(rows), grouped(found.rows)));
        if found.not_finite > 0 {
            figures.push(("of these, with scores that are no numbers".into(), grouped(found.not_finite)));
        }
    }
    for set in &run.other_evaluations {
        for kind in &history.figures {
            let value = with_interval(&set.evaluation, kind);
            figures.extend(value.map(|value| (shown(format!("{} on {}", kind.label(), set.name)), value)));
        }
        let value = with_interval(&set.evaluation, &FigureKind::loss());
        figures.extend(value.map(|value| (shown(format!("loss on {}", set.name)), value)));
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
    figures.push(("epochs".into(), grouped(history.epochs.len() as u64)));
    figures.push(("steps".into(), grouped(history.steps)));
    // the log of a run that goes on does not say it
    if run.trained + run.frozen > 0 {
        figures.push(("numbers trained".into(), grouped(run.trained)));
        figures.push(("numbers frozen".into(), grouped(run.frozen)));
    }
    let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
    let rows: u64 = history.epochs.iter().map(|epoch| epoch.rows).sum();
    if seconds > 0.0 {
        figures.push(("rows a second in training".into(), format!("{:.1}", rows as f64 / seconds)));
    }
    for (what, seconds) in [
        ("seconds waiting for data", timing.waiting),
        ("seconds in the graph", timing.graph),
        ("seconds in the update", timing.update),
        ("seconds in evaluation", timing.evaluation),
        ("seconds writing checkpoints", timing.checkpoints),
    ] {
        figures.push((what.into(), format!("{seconds:.1}")));
    }
    figures.push(("device".into(), shown_up_to(&run.device, LONGEST)));
    figures.push(("ONNX Runtime".into(), shown(&run.onnx_runtime)));
    figures.push(("ending".into(), shown(&run.ending)));
    figures
}
