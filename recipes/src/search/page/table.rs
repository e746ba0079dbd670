//! The best trial, and all of them, in words and numbers.

use millstream_schemas::{shown, shown_sentences};
use millstream_search::TrialState;
use millstream_training::metrics::confidence_in_words;

use super::axis::setting;
use super::marks::told_in_full;
use super::plot::escaped;
use crate::search::{LONGEST_SETTING, StudyReport, TrialReport};

/// What the best trial is, or that there is none.
pub(super) fn best(study: &StudyReport) -> String {
    match study.best_trial() {
        Some(best) => format!("<p><b>Best: {}</b></p>\n", escaped(&told_in_full(study, best))),
        None => format!("<p>{}.</p>\n", none_in_words(study)),
    }
}

/// Why there is no best trial.
fn none_in_words(study: &StudyReport) -> &'static str {
    let is_any_complete = study.trials.iter().any(|trial| trial.state == TrialState::Complete);
    match (is_any_complete, study.is_over) {
        (true, _) => "No complete trial is within the constraints",
        (false, true) => "No trial is complete",
        (false, false) => "No trial is complete yet",
    }
}

/// Of which model and rows it is, and when it began.
pub(super) fn about(study: &StudyReport) -> String {
    let bounds = (!study.constraints.is_empty()).then(|| ("Constraints", study.constraints.join("; ")));
    let rows = study.about.entries().into_iter().chain(bounds);
    let rows: String =
        rows.map(|(name, said)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(&said))).collect();
    format!("<section class=\"panel about\"><h2>About</h2>\n<table>\n{rows}</table></section>\n")
}

/// How to tell whether the lead of the best is chance.
pub(super) fn lead(study: &StudyReport) -> String {
    let intervals = study.trials.iter().any(|trial| trial.interval.is_some());
    let of = confidence_in_words(study.confidence);
    let said = match (study.comparing_command(), intervals) {
        (Some(command), true) => format!(
            "Intervals are of each trial by itself, {of}; whether the best one's lead is chance is not told by whether they overlap, but by a \
             test on the same rows: {command}"
        ),
        (Some(command), false) => {
            format!("Whether the best one's lead is chance is told by a test on the same rows: {command}")
        }
        (None, true) => {
            let untested = study.untested_in_words().map_or_else(String::new, |said| format!(" {said}"));
            format!("Intervals are of each trial by itself, {of}.{untested}")
        }
        (None, false) => match study.untested_in_words() {
            Some(said) => said,
            None => return String::new(),
        },
    };
    format!("<p class=\"soft\">{}</p>\n", escaped(&said))
}

/// The trials that no other beats, where there are several figures.
pub(super) fn front(study: &StudyReport) -> String {
    let said = study.front_in_words().map(|front| format!("No other trial beats in all figures: {front}"));
    said.map_or_else(String::new, |said| format!("<p>{}</p>\n", escaped(&said)))
}

/// What is to be known of trials that are of other rows or another model.
pub(super) fn differences(study: &StudyReport) -> String {
    let said = study.about.differences_in_words();
    said.map_or_else(String::new, |said| format!("<p><b>{}</b></p>\n", escaped(&said)))
}

/// What is to be known of trials that were given up.
pub(super) fn given_up(study: &StudyReport) -> String {
    study.given_up_in_words().map_or_else(String::new, |said| format!("<p>{}</p>\n", escaped(&said)))
}

/// All trials.
pub(super) fn trials(study: &StudyReport) -> String {
    let head = ["trial".to_owned(), "state".to_owned()].into_iter();
    let figures = study.figures.iter().map(|kind| kind.label());
    let parameters = study.parameters.iter().map(|parameter| shown(&parameter.name));
    let head: String = head
        .chain(figures)
        .chain(parameters)
        .chain(["seconds of work".to_owned()])
        .map(|name| format!("<th>{}</th>", escaped(&name)))
        .collect();
    let rows: String = study.trials.iter().map(|trial| row(study, trial)).collect();
    let seconds =
        study.seconds_in_words().map_or_else(String::new, |said| format!("<p class=\"soft\">{}</p>\n", escaped(said)));
    format!(
        "<section class=\"panel\"><h2>Trials</h2>\n<div class=\"wide\"><table>\n<tr>{head}</tr>\n{rows}</table></div>\n{seconds}</section>\n"
    )
}

fn row(study: &StudyReport, trial: &TrialReport) -> String {
    let number = |text: String| format!("<td class=\"number\">{}</td>", escaped(&text));
    let text = |text: String| format!("<td>{}</td>", escaped(&text));
    let mut cells = number(trial.number.to_string());
    let state = trial.state_in_words();
    cells.push_str(&match &trial.reason {
        Some(reason) => format!("<td class=\"reason\">{state}: {}</td>", escaped(&shown_sentences(reason))),
        None => text(state),
    });
    for at in 0..study.figures.len() {
        cells.push_str(&number(study.figure_in_words(trial, at)));
    }
    for parameter in &study.parameters {
        let value = trial.settings.iter().find(|(name, _)| *name == parameter.name);
        let setting = |value| setting(study.alternatives(&parameter.name), value, LONGEST_SETTING);
        cells.push_str(&text(value.map_or_else(String::new, |(_, value)| setting(value))));
    }
    cells.push_str(&number(trial.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"))));
    let class = if study.best == Some(trial.number) { " class=\"winner\"" } else { "" };
    format!("<tr{class}>{cells}</tr>\n")
}
