//! The first figure over two parameters at a time, smoothed between trials.

use super::axis::Axis;
use super::marks::{Goodness, class, colour, complete, told};
use super::plot::{Plot, panel};
use crate::search::{StudyReport, TrialReport, shown_figure};

/// Fewer trials say nothing of what lies between them.
const FEWEST: usize = 4;
/// Cells along each axis.
const CELLS: usize = 20;
/// How far a trial is felt, as a share of an axis.
const WIDTH: f64 = 0.12;
/// Of the parameters that matter most, so many are paired.
const PAIRED: usize = 3;

pub(super) fn render(study: &StudyReport) -> Vec<String> {
    let place = |name: &String| study.parameters.iter().position(|parameter| parameter.name == *name);
    let mut matter: Vec<usize> = study.importance.iter().filter_map(|(name, _)| place(name)).collect();
    if matter.is_empty() {
        matter = (0..study.parameters.len()).collect();
    }
    matter.truncate(PAIRED);
    let pairs =
        matter.iter().enumerate().flat_map(|(at, one)| matter[at + 1..].iter().map(move |other| (*one, *other)));
    pairs.filter_map(|(one, other)| contour(study, one, other)).collect()
}

fn contour(study: &StudyReport, first: usize, second: usize) -> Option<String> {
    let kind = study.figures.first()?;
    let all = complete(study);
    let placed = |(trial, value): &(&'_ TrialReport, f64)| {
        Some(((*trial.places.get(first)?)?, (*trial.places.get(second)?)?, *value))
    };
    let points: Vec<(f64, f64, f64)> = all.iter().filter_map(placed).collect();
    if points.len() < FEWEST {
        return None;
    }
    let axes = [first, second].map(|at| Axis::of_parameter(&study.parameters[at]));
    let names = axes.each_ref().map(|axis| millstream_schemas::shown(&axis.name));
    let [x, y] = axes;
    let mut plot = Plot::new(x, y);
    let side = 1.0 / CELLS as f64;
    let goodness = Goodness::among(study, &all);
    for row in 0..CELLS {
        for column in 0..CELLS {
            let from = (column as f64 * side, row as f64 * side);
            let value = smoothed(&points, (from.0 + side / 2.0, from.1 + side / 2.0));
            let to = (from.0 + side, from.1 + side);
            let told = format!("about {} here", shown_figure(kind, Some(value)));
            plot.cell(&colour(goodness.of(value), "low"), from, to, &told);
        }
    }
    for (trial, _) in &all {
        if let (Some(Some(x)), Some(Some(y))) = (trial.places.get(first), trial.places.get(second)) {
            let class = if class(study, trial) == "best" { "best" } else { "early" };
            plot.dot(class, (*x, *y), &told(study, trial));
        }
    }
    let title = format!("{} over {} and {}", kind.label(), names[0], names[1]);
    Some(panel(
        &title,
        &plot.render(&title),
        &format!("upwards: {}; the mean of trials near by, the nearer the more", names[1]),
    ))
}

/// The mean of the values, the nearer the more (Nadaraya and Watson, 1964).
fn smoothed(points: &[(f64, f64, f64)], (x, y): (f64, f64)) -> f64 {
    let distance = |point: &(f64, f64, f64)| ((point.0 - x).powi(2) + (point.1 - y).powi(2)) / (2.0 * WIDTH * WIDTH);
    // Of the nearest, so that far from all of them some weight is left.
    let nearest = points.iter().map(distance).fold(f64::INFINITY, f64::min);
    let weight = |point: &(f64, f64, f64)| (nearest - distance(point)).exp();
    let (sum, total) = points.iter().fold((0.0, 0.0), |(sum, total), point| {
        let weight = weight(point);
        (sum + weight * point.2, total + weight)
    });
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_is_a_mean_and_what_lies_at_a_trial_is_near_it() {
        let points = [(0.0, 0.0, 1.0), (1.0, 1.0, 3.0)];
        assert!((smoothed(&points, (0.5, 0.5)) - 2.0).abs() < 1e-9);
        assert!((smoothed(&points, (0.0, 0.0)) - 1.0).abs() < 1e-6);
        assert!(smoothed(&points, (40.0, 40.0)).is_finite());
    }
}
