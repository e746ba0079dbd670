//! What came of trials one after the other, and what was told of each on the way.

use super::axis::Axis;
use super::marks::{class, complete, told, value};
use super::plot::{Plot, panel};
use crate::search::{StudyReport, shown_figure};

/// Values on the way that have a mark of their own; of more one in several has.
const MOST_MARKS: usize = 5_000;

/// The first figure of each trial, and the best so far.
pub(super) fn history(study: &StudyReport) -> Option<String> {
    let kind = study.figures.first()?;
    let on_the_way = |trial: &crate::search::TrialReport| trial.reports.last().map(|(_, value)| *value);
    let values = || study.trials.iter().filter_map(|trial| value(trial).or_else(|| on_the_way(trial)));
    let y = Axis::of_figure(kind, values())?;
    let x = Axis::of_counts("trial", study.trials.iter().map(|trial| trial.number))?;
    let mut plot = Plot::new(x.clone(), y.clone());
    let (mut best, mut steps): (Option<f64>, Vec<(f64, f64)>) = (None, Vec::new());
    for (trial, value) in complete(study).into_iter().filter(|(trial, _)| trial.violation == 0.0) {
        let (Some(at), before) = (x.place(trial.number as f64), best) else { continue };
        if kind.is_better(Some(value), best) {
            best = Some(value);
        }
        let height = |value: Option<f64>| value.and_then(|value| y.place(value));
        steps.extend(height(before).map(|height| (at, height)));
        steps.extend(height(best).map(|height| (at, height)));
    }
    if let (Some((_, height)), Some(end)) =
        (steps.last().copied(), study.trials.last().and_then(|trial| x.place(trial.number as f64)))
    {
        steps.push((end, height));
        plot.line("line", "", &steps, &format!("best so far: {}", shown_figure(kind, best)));
    }
    for trial in &study.trials {
        let place = value(trial).or_else(|| on_the_way(trial)).and_then(|value| y.place(value));
        if let (Some(height), Some(at)) = (place, x.place(trial.number as f64)) {
            plot.dot(class(study, trial), (at, height), &told(study, trial));
        }
    }
    let title = format!("History of {}", kind.label());
    let hollow = match study.constraints.is_empty() {
        true => "not complete, the last that was told",
        false => "out of bounds, or not complete, the last that was told",
    };
    Some(panel(&title, &plot.render(&title), &format!("line: the best so far; hollow: {hollow}")))
}

/// What was told of the first figure on the way.
pub(super) fn intermediate(study: &StudyReport) -> Option<String> {
    let kind = study.figures.first()?;
    let reports = || study.trials.iter().flat_map(|trial| &trial.reports);
    let y = Axis::of_figure(kind, reports().map(|(_, value)| *value))?;
    let step = match study.about.evaluated_every_steps {
        _ if study.runs > 1 => "runs".to_owned(),
        Some(steps) => format!("evaluation, of {steps} steps each"),
        None => "epoch".to_owned(),
    };
    let x = Axis::of_counts(&step, reports().map(|(step, _)| *step))?;
    let mut plot = Plot::new(x.clone(), y.clone());
    let mut trials: Vec<_> = study.trials.iter().collect();
    // The best lies above the others.
    trials.sort_by_key(|trial| study.best == Some(trial.number));
    let every = reports().count().div_ceil(MOST_MARKS).max(1);
    for trial in &trials {
        let places: Vec<(f64, f64)> =
            trial.reports.iter().filter_map(|(step, value)| place(&x, &y, *step, *value)).collect();
        let is_best = study.best == Some(trial.number);
        let colour = if is_best { "stroke: var(--best); stroke-width: 2.5" } else { "stroke: var(--faint)" };
        if places.len() > 1 {
            plot.line("thin", colour, &places, &told(study, trial));
        }
    }
    for trial in trials {
        // The last one always has a mark.
        for (step, value) in trial.reports.iter().rev().step_by(every) {
            if let Some(place) = place(&x, &y, *step, *value) {
                let figure = shown_figure(kind, Some(*value));
                // its values are told by the line and in the table: a page has thousands of marks
                let words = format!("trial {} after {step}: {} {figure}", trial.number, kind.label());
                plot.point(class(study, trial), place, &words);
            }
        }
    }
    let title = format!("On the way: {} by {step}", kind.label());
    let note = if every > 1 { format!("one in {every} values has a mark") } else { String::new() };
    Some(panel(&title, &plot.render(&title), &note))
}

fn place(x: &Axis, y: &Axis, step: u64, value: f64) -> Option<(f64, f64)> {
    Some((x.place(step as f64)?, y.place(value)?))
}
