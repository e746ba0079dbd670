//! What is told of a trial where it is drawn.

use millstream_schemas::{shown, shown_sentences};
use millstream_search::TrialState;
use millstream_training::metrics::{Better, FigureKind};
use serde_json::Value;

use super::axis::setting;
use crate::search::{
    LONGEST_SETTING, StudyReport, TrialReport, shown_figure, shown_figure_with_interval, whole_setting,
};

/// `trial 3: accuracy 91.2 % (86.0 % to 94.7 %), rate 0.01, optimizer sgd`, values in a few letters.
pub(super) fn told(study: &StudyReport, trial: &TrialReport) -> String {
    told_with(study, trial, |name, value| setting(study.alternatives(name), value, LONGEST_SETTING))
}

/// As [`told`], values to their end.
pub(super) fn told_in_full(study: &StudyReport, trial: &TrialReport) -> String {
    told_with(study, trial, |_, value| match value.is_number() {
        true => setting(&[], value, LONGEST_SETTING),
        false => shown_sentences(whole_setting(value)),
    })
}

fn told_with(study: &StudyReport, trial: &TrialReport, setting: impl Fn(&str, &Value) -> String) -> String {
    let figure = |(at, (kind, value)): (usize, (&FigureKind, &f64))| {
        let interval = trial.interval.filter(|_| at == 0);
        format!("{} {}", kind.label(), shown_figure_with_interval(kind, Some(*value), interval))
    };
    let mut parts: Vec<String> = study.figures.iter().zip(&trial.values).enumerate().map(figure).collect();
    if trial.state != TrialState::Complete || trial.violation > 0.0 {
        parts.push(trial.state_in_words());
    }
    if let (true, Some((step, value)), Some(kind)) =
        (trial.values.is_empty(), trial.reports.last(), study.figures.first())
    {
        let value = Some(*value).filter(|value| value.is_finite());
        parts.push(format!("{} {} after {step}", kind.label(), shown_figure(kind, value)));
    }
    parts.extend(trial.settings.iter().map(|(name, value)| format!("{} {}", shown(name), setting(name, value))));
    format!("trial {}: {}", trial.number, parts.join(", "))
}

/// What a trial is drawn as.
pub(super) fn class(study: &StudyReport, trial: &TrialReport) -> &'static str {
    match trial.state {
        _ if study.best == Some(trial.number) => "best",
        TrialState::Complete if trial.violation == 0.0 => "dot",
        _ => "early",
    }
}

/// The first figure of a trial that is complete.
pub(super) fn value(trial: &TrialReport) -> Option<f64> {
    trial.values.first().copied().filter(|value| trial.state == TrialState::Complete && value.is_finite())
}

/// Complete trials with their first figure.
pub(super) fn complete(study: &StudyReport) -> Vec<(&TrialReport, f64)> {
    study.trials.iter().filter_map(|trial| Some((trial, value(trial)?))).collect()
}

/// A colour between that of the worst (0), which is named, and that of the best (1).
pub(super) fn colour(share: f64, worst: &str) -> String {
    let percent = (share.clamp(0.0, 1.0) * 100.0).round();
    format!("color-mix(in oklab, var(--good) {percent}%, var(--{worst}))")
}

/// How good values are among those of complete trials.
pub(super) struct Goodness {
    low: f64,
    high: f64,
    is_lower_better: bool,
}

impl Goodness {
    /// Among these, of the first figure.
    pub(super) fn among(study: &StudyReport, values: &[(&TrialReport, f64)]) -> Self {
        let wide = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = values.iter().fold(wide, |(low, high), (_, one)| (low.min(*one), high.max(*one)));
        let better = study.figures.first().map(|kind| kind.better);
        Self { low, high, is_lower_better: better == Some(Better::Lower) }
    }

    /// 0 for the worst, 1 for the best; 1 where all are alike.
    pub(super) fn of(&self, value: f64) -> f64 {
        let Self { low, high, is_lower_better } = *self;
        let share = if high > low { (value - low) / (high - low) } else { 1.0 };
        if is_lower_better && high > low { 1.0 - share } else { share }
    }
}
