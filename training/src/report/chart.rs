//! Line charts as data for the template: all coordinates are computed here.

use serde::Serialize;

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
}

#[derive(Debug, Serialize)]
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

#[derive(Debug, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    colour: usize,
    path: String,
    /// The values before smoothing, drawn faintly.
    faint: Option<String>,
    /// Drawn where points are few.
    dots: Vec<(f64, f64)>,
}

/// What a chart shows of one run.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// Which colour; runs have the same one in every chart.
    pub(super) colour: usize,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const PLOT: Plot = Plot { left: 56.0, right: 628.0, top: 12.0, bottom: 240.0 };
/// Lines with more points than this are smoothed.
const SMOOTHED_FROM: usize = 60;

impl Chart {
    /// None when there is nothing to show.
    pub(super) fn new(title: &str, x_name: &'static str, mut series: Vec<Series>) -> Option<Self> {
        for one in &mut series {
            one.points.retain(|(x, y)| x.is_finite() && y.is_finite());
        }
        series.retain(|one| !one.points.is_empty());
        let all = || series.iter().flat_map(|one| &one.points);
        let x = Axis::new(all().map(|point| point.0), PLOT.left, PLOT.right)?;
        let y = Axis::new(all().map(|point| point.1), PLOT.bottom, PLOT.top)?;
        let line = |one: &Series| {
            let smooth = one.points.len() > SMOOTHED_FROM;
            let shown = if smooth { smoothed(&one.points) } else { one.points.clone() };
            let place = |(px, py): &(f64, f64)| (tenth(x.place(*px)), tenth(y.place(*py)));
            Line {
                name: one.name.clone(),
                colour: one.colour,
                path: path(shown.iter().map(place)),
                faint: smooth.then(|| path(one.points.iter().map(place))),
                dots: if one.points.len() <= 30 { one.points.iter().map(place).collect() } else { Vec::new() },
            }
        };
        Some(Self {
            title: title.to_owned(),
            x_name,
            width: WIDTH,
            height: HEIGHT,
            lines: series.iter().map(line).collect(),
            x_ticks: x.ticks(),
            y_ticks: y.ticks(),
            plot: PLOT,
        })
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let step = |(index, (x, y)): (usize, (f64, f64))| format!("{}{x} {y}", if index == 0 { "M" } else { "L" });
    points.enumerate().map(step).collect()
}

/// Exponential mean over about a thirtieth of the points.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let share = (30.0 / points.len() as f64).clamp(0.01, 0.5);
    let mut mean = points[0].1;
    let smooth = |(x, y): &(f64, f64)| {
        mean += share * (y - mean);
        (*x, mean)
    };
    points.iter().map(smooth).collect()
}

struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let (low, high) = values.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })?;
        let padding = if high > low { 0.0 } else { low.abs().max(1e-6) * 0.5 };
        let (low, high) = (low - padding, high + padding);
        let rough = (high - low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        Some(Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, from, to })
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<Tick> {
        let count = ((self.high - self.low) / self.step).round() as i64;
        let decimals = (-self.step.log10().floor()).clamp(0.0, 4.0) as usize;
        (0..=count)
            .map(|index| {
                let value = self.low + index as f64 * self.step;
                let label = if self.step < 1e-4 { format!("{value:.1e}") } else { format!("{value:.decimals$}") };
                Tick { at: tenth(self.place(value)), label }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        for (values, labels) in [
            (vec![0.0, 1.0], vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (vec![3.0, 97.0], vec!["0", "20", "40", "60", "80", "100"]),
            (vec![2.0], vec!["1.0", "1.5", "2.0", "2.5", "3.0"]),
        ] {
            let axis = Axis::new(values.into_iter(), 0.0, 100.0).unwrap();
            let got: Vec<String> = axis.ticks().into_iter().map(|tick| tick.label).collect();
            assert_eq!(got, labels);
        }
    }

    #[test]
    fn a_chart_without_values_is_none() {
        let points = vec![(f64::NAN, 1.0), (0.0, f64::INFINITY)];
        assert!(Chart::new("loss", "step", vec![Series { name: "a".into(), colour: 0, points }]).is_none());
    }
}
