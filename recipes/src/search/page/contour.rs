//! The first figure over two parameters at a time, smoothed between trials.

use millstream_search::TrialState;

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
/// Further from all trials with a figure, as a share of an axis, nothing is said.
const REACH: f64 = 0.25;
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
    let failed: Vec<&TrialReport> = study.trials.iter().filter(|trial| trial.state == TrialState::Failed).collect();
    let place = |trial: &TrialReport| Some(((*trial.places.get(first)?)?, (*trial.places.get(second)?)?));
    let of_failed: Vec<(f64, f64)> = failed.iter().copied().filter_map(place).collect();
    let axes = [first, second].map(|at| Axis::of_parameter(&study.parameters[at]));
    let names = axes.each_ref().map(|axis| millstream_schemas::shown(&axis.name));
    let [x, y] = axes;
    let mut plot = Plot::new(x, y);
    let side = 1.0 / CELLS as f64;
    let goodness = Goodness::among(study, &all);
    for row in 0..CELLS {
        for column in 0..CELLS {
            let from = (column as f64 * side, row as f64 * side);
            let middle = (from.0 + side / 2.0, from.1 + side / 2.0);
            if !is_known(&points, &of_failed, middle) {
                continue;
            }
            let value = smoothed(&points, middle);
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
    for trial in failed {
        if let Some(at) = place(trial) {
            plot.dot("failed", at, &told(study, trial));
        }
    }
    let title = format!("{} over {} and {}", kind.label(), names[0], names[1]);
    Some(panel(
        &title,
        &plot.render(&title),
        &format!(
            "upwards: {}; the mean of trials near by, the nearer the more; where none with a figure is near, or one that failed is nearer, there \
             is no colour; dashed marks are trials that failed",
            names[1]
        ),
    ))
}

/// Whether a trial with a figure is near a place, and none that failed nearer.
fn is_known(points: &[(f64, f64, f64)], failed: &[(f64, f64)], (x, y): (f64, f64)) -> bool {
    let nearest = |places: &mut dyn Iterator<Item = (f64, f64)>| {
        places.map(|(one, other)| (one - x).hypot(other - y)).fold(f64::INFINITY, f64::min)
    };
    let known = nearest(&mut points.iter().map(|(one, other, _)| (*one, *other)));
    known <= REACH && known <= nearest(&mut failed.iter().copied())
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
    fn what_no_trial_with_a_figure_is_near_has_no_colour() {
        let points = [(0.1, 0.1, 0.5)];
        for (failed, place, wanted) in [
            (&[][..], (0.2, 0.2), true),
            (&[][..], (0.9, 0.9), false),
            (&[(0.3, 0.1)][..], (0.25, 0.1), false),
            (&[(0.3, 0.1)][..], (0.15, 0.1), true),
        ] {
            assert_eq!(is_known(&points, failed, place), wanted, "{failed:?} {place:?}");
        }
    }

    #[test]
    fn what_lies_between_is_a_mean_and_what_lies_at_a_trial_is_near_it() {
        let points = [(0.0, 0.0, 1.0), (1.0, 1.0, 3.0)];
        assert!((smoothed(&points, (0.5, 0.5)) - 2.0).abs() < 1e-9);
        assert!((smoothed(&points, (0.0, 0.0)) - 1.0).abs() < 1e-6);
        assert!(smoothed(&points, (40.0, 40.0)).is_finite());
    }
}
