//! A study as a table of trials.

use millstream::recipes::search::{
    StudyReport, TrialReport, TrialRun, setting_in_words, short_names, shown_figure, shown_figure_interval,
    shown_figure_with_interval, whole_setting,
};
use millstream::schemas::{count, shown, shown_path, shown_sentences};
use millstream::search::TrialState;
use millstream::search::spaces::Parameter;
use serde_json::Value;

use crate::colour::Meaning;
use crate::output;
use crate::table::Table;

/// Trials that are listed; of more the best ones and the last.
const MOST: usize = 60;
/// Letters of a value at most.
const LONGEST: usize = 60;
/// Trials whose failures are told.
const MOST_REASONS: usize = 5;

/// What was left open.
pub(crate) fn space(parameters: &[Parameter]) -> String {
    let mut table = Table::new(&["left open", "what it may be", "only where"]);
    for parameter in parameters {
        let written = match parameter.distribution.alternatives() {
            // What is open in one of them has a row of its own.
            Some(values) => {
                format!("one of {}", values.iter().map(|value| setting(values, value)).collect::<Vec<_>>().join(", "))
            }
            None => as_written(&serde_json::to_value(&parameter.distribution).unwrap_or_default()),
        };
        let when = parameter.when.as_ref().map_or_else(String::new, |when| {
            let above = parameters.iter().find(|other| other.name == when.parameter);
            let values = above.and_then(|above| above.distribution.alternatives()).unwrap_or_default();
            let chosen = values.get(when.alternative as usize);
            format!("{} is {}", when.parameter, chosen.map(|value| setting(values, value)).unwrap_or_default())
        });
        table.row([parameter.name.clone(), written, when]);
    }
    table.render()
}

fn as_written(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let parts = map.iter().map(|(key, value)| format!("{key}: {}", as_written(value)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(as_written).collect::<Vec<_>>().join(", "))
        }
        value => setting(&[], value),
    }
}

/// A value as a cell shows it, among these alternatives where there are any: short, and what is text without quotes.
pub(crate) fn setting(alternatives: &[Value], value: &Value) -> String {
    setting_in_words(alternatives, value, LONGEST)
}

/// What a parameter may be, where it is a choice.
fn alternatives<'a>(study: &'a StudyReport, name: &str) -> &'a [Value] {
    let parameter = study.parameters.iter().find(|parameter| parameter.name == name);
    parameter.and_then(|parameter| parameter.distribution.alternatives()).unwrap_or_default()
}

/// All of a study.
pub(crate) fn describe(study: &StudyReport) -> String {
    let mut text = format!("study `{}`: {}\n", shown(&study.name), tally(study));
    if study.trials.is_empty() {
        return text;
    }
    let best: Vec<u64> =
        study.best.iter().chain(study.front.iter().filter(|_| study.figures.len() > 1)).copied().collect();
    let left_out = study.trials.len().saturating_sub(MOST);
    let listed = study.trials.iter().filter(|trial| {
        trial.number as usize >= left_out || best.contains(&trial.number) || !trial.state.is_finished()
    });
    text.push('\n');
    text.push_str(&trials(study, listed));
    let failed = study.trials.iter().filter_map(|trial| Some((trial.number, trial.reason.as_ref()?)));
    let failed: Vec<_> = failed.collect();
    for (number, reason) in failed.iter().take(MOST_REASONS) {
        text.push_str(&output::prose(&format!("trial {number} has failed: {}", shown_sentences(reason))));
    }
    if failed.len() > MOST_REASONS {
        text.push_str(&format!("and {} more; `--json` has why\n", failed.len() - MOST_REASONS));
    }
    text.push_str(&study.about.differences_in_words().map_or_else(String::new, |said| output::prose(&said)));
    text.push_str(&study.given_up_in_words().map_or_else(String::new, |said| output::prose(&said)));
    if left_out > 0 {
        text.push_str(&format!("  … the last {MOST} and the best ones; `--json` has all\n"));
    }
    text.push('\n');
    if study.figures.len() > 1 {
        text.push_str(&output::prose(&match study.front_in_words() {
            None => "no trial is complete and within the constraints".to_owned(),
            Some(front) => format!("no other trial beats in all figures: {front}"),
        }));
    }
    if let Some(best) = study.best_trial() {
        text.push_str(&trial(study, best));
    } else if study.figures.len() == 1 {
        let is_any_complete = study.trials.iter().any(|trial| trial.state == TrialState::Complete);
        text.push_str(match (is_any_complete, study.is_over) {
            (true, _) => "no complete trial is within the constraints\n",
            (false, true) => "no trial is complete\n",
            (false, false) => "no trial is complete yet\n",
        });
    }
    if !study.constraints.is_empty() {
        text.push_str(&output::prose(&format!("constraints: {}", study.constraints.join("; "))));
    }
    if !study.importance.is_empty() && study.parameters.len() > 1 {
        let shares = study.importance.iter().filter(|(_, share)| *share >= 0.005);
        let shares: Vec<String> = shares.map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect();
        let caveat = study.importance_in_words().unwrap_or_default();
        text.push_str(&output::prose(&format!("matters most: {}; shares are {caveat}", shares.join(", "))));
    }
    text
}

/// `12 of 50 trials are finished: 9 complete, 2 stopped early, 1 failed; 1 runs`.
fn tally(study: &StudyReport) -> String {
    let of = |state: TrialState| study.trials.iter().filter(|trial| trial.state == state).count();
    let finished =
        [(TrialState::Complete, "complete"), (TrialState::Stopped, "stopped early"), (TrialState::Failed, "failed")];
    let paused = if study.is_over { "set aside" } else { "paused" };
    let others = [(TrialState::Running, "running"), (TrialState::Paused, paused), (TrialState::Waiting, "waiting")];
    let said = |rows: &[(TrialState, &str)]| {
        let rows = rows.iter().map(|(state, what)| (of(*state), *what)).filter(|(count, _)| *count > 0);
        rows.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    let wanted = study.wanted.max(study.trials.len() as u64);
    let (ended, open) = (said(&finished), said(&others));
    let ended = if ended.is_empty() { String::new() } else { format!(" ({ended})") };
    let open = if open.is_empty() { String::new() } else { format!("; {open}") };
    let over = if study.is_over && !open.is_empty() { "done; " } else { "" };
    format!("{over}{} of {} finished{ended}{open}", study.finished(), count(wanted, "trial"))
}

/// The best trial in words.
pub(crate) fn trial(study: &StudyReport, trial: &TrialReport) -> String {
    let mut text =
        format!("{}\n", Meaning::Good.output(&format!("best: trial {}, {}", trial.number, figures(study, trial))));
    for (name, value) in &trial.settings {
        let value = if value.is_number() { setting(&[], value) } else { whole_setting(value) };
        text.push_str(&output::prose(&format!("  {}: {}", shown(name), shown_sentences(value))));
    }
    if !study.trial_runs.is_empty() {
        text.push_str(&format!("  {}\n", TrialRun::in_words(&study.trial_runs)));
    }
    text.push_str(&format!(
        "  {}: {}\n",
        if study.runs > 1 { "runs" } else { "run" },
        shown_path(study.folder.join("trials").join(format!("{:04}", trial.number)))
    ));
    text
}

/// The figures of a complete trial, the first with its interval: `accuracy 77.9 % (70.3 % to 83.9 %), seconds 4.00 s`.
fn figures(study: &StudyReport, trial: &TrialReport) -> String {
    let runs = (study.runs > 1).then(|| count(study.runs as u64, "run"));
    if let ([kind], [value], Some(runs)) = (study.figures.as_slice(), trial.values.as_slice(), &runs) {
        let interval =
            trial.interval.map_or_else(|| "no interval".to_owned(), |ends| shown_figure_interval(kind, ends));
        return format!("{} {} (mean of {runs}; {interval})", kind.label(), shown_figure(kind, Some(*value)));
    }
    let figures = study.figures.iter().zip(&trial.values).enumerate().map(|(at, (kind, value))| {
        let interval = trial.interval.filter(|_| at == 0);
        format!("{} {}", kind.label(), shown_figure_with_interval(kind, Some(*value), interval))
    });
    let figures = figures.collect::<Vec<_>>().join(", ");
    figures + &runs.map_or_else(String::new, |runs| format!(" (means of {runs})"))
}

/// A row for each trial.
pub(crate) fn trials<'a>(study: &StudyReport, listed: impl Iterator<Item = &'a TrialReport>) -> String {
    let mut headings = vec![">trial".to_owned(), "state".to_owned()];
    headings.extend(study.figures.iter().map(|kind| format!(">{}", kind.label())));
    // the last two parts of a place tell it apart well enough in most headings
    let places: Vec<&str> = study.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    headings.extend(short_names(&places, 2).into_iter().map(str::to_owned));
    headings.push(">seconds of work".to_owned());
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for trial in listed {
        let mut cells = vec![trial.number.to_string(), state(study, trial)];
        for (at, kind) in study.figures.iter().enumerate() {
            let on_the_way = trial.reports.last().filter(|_| at == 0).map(|(_, value)| *value);
            let value = trial.values.get(at).copied().or(on_the_way);
            cells.push(value.map_or_else(String::new, |value| shown_figure(kind, Some(value))));
        }
        for parameter in &study.parameters {
            let value = trial.settings.iter().find(|(name, _)| *name == parameter.name);
            let setting = |value| setting(alternatives(study, &parameter.name), value);
            cells.push(value.map_or_else(String::new, |(_, value)| setting(value)));
        }
        cells.push(trial.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}")));
        table.row(cells);
    }
    table.render()
}

/// How far it is; of what is complete also whether it is the best by the first figure, or one that no other beats in all of several.
fn state(study: &StudyReport, trial: &TrialReport) -> String {
    let is_in_bounds = trial.state == TrialState::Complete && trial.violation == 0.0;
    let is_front = study.figures.len() > 1 && study.front.contains(&trial.number);
    match (study.best == Some(trial.number), is_front) {
        _ if !is_in_bounds => trial.state_in_words(),
        (true, _) => "best".into(),
        (false, true) => "front".into(),
        (false, false) => trial.state_in_words(),
    }
}
