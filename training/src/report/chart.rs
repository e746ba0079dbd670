//! Line charts as data for the template: all coordinates are computed here.
//!
//! What is drawn is what was measured. Only the training loss has a mean beside it, and the chart says so.

use millstream_schemas::{count, decimal, grouped, percent, plural};
use serde::Serialize;

use super::axis::{Axis, Scale, Tick};

/// A chart, ready to be drawn in a box of [`WIDTH`] × [`HEIGHT`].
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    title: String,
    x_name: &'static str,
    width: f64,
    height: f64,
    plot: Plot,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    lines: Vec<Line>,
    /// What a reader must know of the lines: means, values that could not be drawn.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    colour: usize,
    dash: usize,
    path: String,
    /// The values themselves, where the line is a mean of them.
    faint: Option<String>,
    /// Drawn where points are few, and where one stands alone.
    dots: Vec<(f64, f64)>,
    /// The best point.
    ring: Option<(f64, f64)>,
    /// What is told where a pointer is near, as JSON: of each measured point where it is drawn, and its values in words.
    told: String,
}

/// What a chart is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) title: &'a str,
    pub(super) x_name: &'static str,
    pub(super) scale: Scale,
    /// Whether a mean is drawn over values that jump.
    pub(super) smooth: bool,
}

/// What a chart shows of one run.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) name: String,
    /// Which colour and which dashes; runs have the same ones in every chart.
    pub(super) colour: usize,
    pub(super) dash: usize,
    pub(super) points: Vec<(f64, f64)>,
    /// Steps of which each point is a mean.
    pub(super) steps_per_point: u64,
    /// The best point, by its x.
    pub(super) best: Option<f64>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const PLOT: Plot = Plot { left: 72.0, right: 622.0, top: 12.0, bottom: 240.0 };
/// Lines with more points than this have a mean, where they may have one.
const SMOOTHED_FROM: usize = 60;
/// Lines with more points than this have no dots.
const MOST_DOTS: usize = 30;

impl Chart {
    /// None when there is nothing to show.
    pub(super) fn new(subject: Subject<'_>, series: &[Series]) -> Option<Self> {
        let finite = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let all = || series.iter().flat_map(|one| one.points.iter().filter(finite));
        let x = Axis::new(Scale::Counts, all().map(|point| point.0), PLOT.left, PLOT.right)?;
        let y = Axis::new(subject.scale, all().map(|point| point.1), PLOT.bottom, PLOT.top)?;
        let place = |(px, py): (f64, f64)| (x.place(px), y.place(py));
        let cut_off = y.cut_off().map(|lowest| format!("the axis begins at {lowest}, not at 0"));
        let mut notes = Vec::from_iter(cut_off);
        let mut lines = Vec::new();
        for one in series.iter().filter(|one| !one.points.is_empty()) {
            let of = if series.len() > 1 { format!("{}: ", one.name) } else { String::new() };
            let missing = one.points.len() - one.points.iter().filter(finite).count();
            if missing > 0 {
                let (all, points) = (grouped(one.points.len() as u64), plural(one.points.len(), "value"));
                let are = if missing == 1 { "is not a finite number and is" } else { "are not finite numbers and are" };
                notes.push(format!("{of}{} of {all} {points} {are} not drawn", grouped(missing as u64)));
            }
            let window = window(one.points.len()).filter(|_| subject.smooth);
            let merged = if subject.smooth { one.steps_per_point.max(1) } else { 1 };
            let faint =
                if merged == 1 { "each step".into() } else { format!("mean of each {}", count(merged, "step")) };
            if let Some(window) = window {
                let steps = grouped(window as u64 * merged);
                notes.push(format!(
                    "{of}mean over the last {steps} steps (at the start: over those made); faint: {faint}"
                ));
            } else if merged > 1 {
                notes.push(format!("{of}{faint}"));
            }
            let measured = segments(&one.points);
            let drawn = window.map_or_else(|| measured.clone(), |window| segments(&means(&one.points, window)));
            let alone = measured.iter().filter(|segment| segment.len() == 1).flatten();
            let few = one.points.len() <= MOST_DOTS;
            let dots = if few { measured.iter().flatten().collect::<Vec<_>>() } else { alone.collect() };
            let best = one.best.and_then(|best| measured.iter().flatten().find(|point| point.0 == best));
            lines.push(Line {
                name: one.name.clone(),
                colour: one.colour,
                dash: one.dash,
                path: path(&drawn, place),
                faint: window.map(|_| path(&measured, place)),
                dots: dots.into_iter().map(|point| place(*point)).collect(),
                ring: best.map(|point| place(*point)),
                told: told(measured.iter().flatten().map(|point| (place(*point), in_words(&subject, *point)))),
            });
        }
        if lines.iter().any(|line| line.ring.is_some()) {
            notes.push("ring: the best epoch".into());
        }
        Some(Self {
            title: subject.title.to_owned(),
            x_name: subject.x_name,
            width: WIDTH,
            height: HEIGHT,
            plot: PLOT,
            x_ticks: x.ticks(),
            y_ticks: y.ticks(),
            lines,
            notes,
        })
    }
}

impl Chart {
    /// With a note before those that it has.
    pub(super) fn noting(mut self, note: Option<String>) -> Self {
        self.notes.splice(0..0, note);
        self
    }
}

fn told(points: impl Iterator<Item = ((f64, f64), String)>) -> String {
    let points: Vec<(f64, f64, String)> = points.map(|((x, y), words)| (x, y, words)).collect();
    serde_json::to_string(&points).expect("numbers and texts always serialize")
}

/// `step 1,200: 0.4312`, `epoch 2: 81.2 %`.
fn in_words(subject: &Subject<'_>, (x, y): (f64, f64)) -> String {
    // epochs may end in between, steps do not
    let place = if x.fract() == 0.0 { grouped(x as u64) } else { decimal(x) };
    let value = if subject.scale == Scale::Shares { percent(y) } else { decimal(y) };
    format!("{} {place}: {value}", subject.x_name)
}

/// Points over which a mean is taken; none where there are few.
fn window(points: usize) -> Option<usize> {
    (points > SMOOTHED_FROM).then(|| (points / 30).max(2))
}

/// The mean of each value and those before it, as many as the window has. What is no number is in no mean.
fn means(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let mean = |(index, point): (usize, &(f64, f64))| {
        let last = points[(index + 1).saturating_sub(window)..=index].iter().map(|point| point.1);
        let (sum, count) = last.filter(|y| y.is_finite()).fold((0.0, 0.0), |(sum, count), y| (sum + y, count + 1.0));
        (point.0, if point.1.is_finite() { sum / count } else { f64::NAN })
    };
    points.iter().enumerate().map(mean).collect()
}

/// Runs of points that can be drawn: a line does not bridge what is missing.
fn segments(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let parts = points.split(|(x, y)| !x.is_finite() || !y.is_finite());
    parts.filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

fn path(segments: &[Vec<(f64, f64)>], place: impl Fn((f64, f64)) -> (f64, f64)) -> String {
    let mut path = String::new();
    for segment in segments {
        for (index, point) in segment.iter().enumerate() {
            let (x, y) = place(*point);
            path.push_str(&format!("{}{x} {y}", if index == 0 { "M" } else { "L" }));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Subject<'static> = Subject { title: "loss", x_name: "step", scale: Scale::Numbers, smooth: true };
    const SHARE: Subject<'static> = Subject { title: "accuracy", x_name: "epoch", scale: Scale::Shares, smooth: false };

    fn series(points: Vec<(f64, f64)>) -> Series {
        Series { name: "a".into(), points, steps_per_point: 1, ..Series::default() }
    }

    /// The values that a path is drawn through, read back through the ticks of the axes.
    fn read_back(chart: &Chart, path: &str, factor: f64) -> Vec<(f64, f64)> {
        let value = |ticks: &[Tick], at: f64| {
            let number = |tick: &Tick| tick.label.replace([',', '%', ' '], "").parse::<f64>().unwrap() * factor;
            let (first, last) = (&ticks[0], &ticks[ticks.len() - 1]);
            number(first) + (at - first.at) / (last.at - first.at) * (number(last) - number(first))
        };
        let numbers = path.split(['M', 'L', ' ']).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
        let numbers: Vec<f64> = numbers.collect();
        let pair = |pair: &[f64]| (value(&chart.x_ticks, pair[0]) / factor, value(&chart.y_ticks, pair[1]));
        numbers.chunks(2).map(pair).collect()
    }

    #[track_caller]
    fn assert_close(got: &[(f64, f64)], wanted: &[(f64, f64)], y: f64) {
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got.0 - wanted.0).abs() <= 0.5 && (got.1 - wanted.1).abs() < y, "{got:?}, wanted {wanted:?}");
        }
    }

    #[test]
    fn the_bold_line_of_an_evaluation_is_the_measured_one_however_many_epochs_there_are() {
        for epochs in [2, 30, 61, 100, 400] {
            let points: Vec<(f64, f64)> = (1..=epochs)
                .map(|epoch| (f64::from(epoch), 0.3 + 0.548 * f64::from(epoch) / f64::from(epochs)))
                .collect();
            let last = points[points.len() - 1].0;
            let chart = Chart::new(SHARE, &[Series { best: Some(last), ..series(points.clone()) }]).unwrap();
            let line = &chart.lines[0];
            assert_eq!(line.faint, None);
            assert_close(&read_back(&chart, &line.path, 0.01), &points, 0.002);
            let (x, y) = line.ring.unwrap();
            assert!(line.path.ends_with(&format!("{x} {y}")), "the last epoch was the best");
        }
    }

    #[test]
    fn the_training_loss_has_a_mean_that_is_named_and_a_faint_line_that_is_the_measured_one() {
        let points: Vec<(f64, f64)> =
            (1..=90).map(|step| (f64::from(step), if step % 2 == 0 { 1.0 } else { 3.0 })).collect();
        let chart = Chart::new(LOSS, &[series(points.clone())]).unwrap();
        let line = &chart.lines[0];
        assert_close(&read_back(&chart, line.faint.as_ref().unwrap(), 1.0), &points, 0.01);
        assert_eq!(chart.notes, ["mean over the last 3 steps (at the start: over those made); faint: each step"]);
        let mean = |at: usize| points[at - 2..=at].iter().map(|point| point.1).sum::<f64>() / 3.0;
        let wanted: Vec<_> = (2..90).map(|at| (points[at].0, mean(at))).collect();
        assert_close(&read_back(&chart, &line.path, 1.0)[2..], &wanted, 0.01);
        // Of merged steps it says that.
        let chart = Chart::new(LOSS, &[Series { steps_per_point: 4, ..series(points.clone()) }]).unwrap();
        let wanted = "mean over the last 12 steps (at the start: over those made); faint: mean of each 4 steps";
        assert_eq!(chart.notes, [wanted]);
        // Few steps have no mean.
        let chart = Chart::new(LOSS, &[series(points[..40].to_vec())]).unwrap();
        assert!(chart.notes.is_empty() && chart.lines[0].faint.is_none());
    }

    #[test]
    fn values_that_cannot_be_drawn_are_counted_and_not_bridged() {
        let points = vec![(1.0, 1.0), (2.0, 2.0), (3.0, f64::NAN), (4.0, 1.0), (5.0, f64::INFINITY)];
        let chart = Chart::new(LOSS, &[series(points)]).unwrap();
        assert_eq!(chart.notes, ["2 of 5 values are not finite numbers and are not drawn"]);
        assert_eq!(chart.lines[0].path.matches('M').count(), 2);
        assert_eq!(chart.lines[0].dots.len(), 3);
    }

    #[test]
    fn one_point_and_runs_of_different_lengths_are_drawn() {
        let chart = Chart::new(SHARE, &[series(vec![(1.0, 1.0)])]).unwrap();
        assert_eq!(chart.lines[0].dots.len(), 1);
        assert!(chart.y_ticks.iter().all(|tick| !tick.label.starts_with("101")), "{:?}", chart.y_ticks);
        let long: Vec<_> = (1..=100).map(|step| (f64::from(step), f64::from(step))).collect();
        let runs = [series(long.clone()), series(long[..10].to_vec())];
        let chart = Chart::new(LOSS, &runs).unwrap();
        assert_close(&read_back(&chart, &chart.lines[1].path, 1.0), &long[..10], 0.5);
        assert!(chart.notes.iter().all(|note| note.starts_with("a: ")), "{:?}", chart.notes);
    }

    #[test]
    fn a_chart_without_values_is_none() {
        let points = vec![(f64::NAN, 1.0), (0.0, f64::INFINITY)];
        assert!(Chart::new(LOSS, &[series(points)]).is_none());
    }

    #[test]
    fn each_measured_point_is_told_where_it_is_drawn_and_by_its_own_values() {
        let chart = Chart::new(SHARE, &[series(vec![(0.0, 0.5), (1.5, f64::NAN), (2.0, 0.8125)])]).unwrap();
        let read = |chart: &Chart| -> Vec<(f64, f64, String)> { serde_json::from_str(&chart.lines[0].told).unwrap() };
        let told = read(&chart);
        assert_eq!(told.iter().map(|told| told.2.as_str()).collect::<Vec<_>>(), ["epoch 0: 50.0 %", "epoch 2: 81.2 %"]);
        let drawn: Vec<(f64, f64)> = told.iter().map(|told| (told.0, told.1)).collect();
        assert_eq!(drawn, chart.lines[0].dots);
        let long = Chart::new(LOSS, &[series((1..200).map(|step| (f64::from(step), 1.0 / f64::from(step))).collect())]);
        let told = read(&long.unwrap());
        assert_eq!((told.len(), told[99].2.as_str()), (199, "step 100: 0.0100"));
    }
}
