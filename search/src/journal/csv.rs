use std::borrow::Cow;

use serde_json::Value;

use crate::{Study, TrialState};

/// All trials of a study as CSV (RFC 4180): one a row, by number, with its state, what it was for how long, its figures, how
/// far it breaks constraints, and the value of each parameter. What there is not is empty; of a trial that a rule ended or set aside, the first
/// figure is the last that it reported, at `last_step`.
pub fn csv(study: &Study) -> String {
    let settings = study.settings();
    let figures = settings.objectives.iter().map(|objective| objective.figure.as_str());
    let parameters = settings.space.parameters().iter().map(|parameter| parameter.name.as_str());
    let head = ["number", "state", "began", "ended", "last_step", "violation", "reason"];
    let mut text = row(head.into_iter().chain(figures).chain(parameters));
    for trial in study.trials() {
        let seconds = |time: Option<f64>| time.map_or_else(String::new, |time| time.to_string());
        let mut cells = vec![
            trial.number.to_string(),
            serde_json::to_value(trial.state).ok().as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            seconds(trial.began),
            seconds(trial.ended),
            trial.last_step().map_or_else(String::new, |step| step.to_string()),
            if trial.constraints.is_empty() { String::new() } else { trial.violation().to_string() },
            trial.reason.clone().unwrap_or_default(),
        ];
        let is_early = matches!(trial.state, TrialState::Paused | TrialState::Stopped);
        let last = trial.reports.last_key_value().map(|(_, value)| value).filter(|_| is_early);
        let value = |place: usize| {
            let value = trial.values.get(place).or(if place == 0 { last } else { None });
            value.map_or_else(String::new, ToString::to_string)
        };
        cells.extend((0..settings.objectives.len()).map(value));
        let values = settings.space.values(&trial.assignment);
        cells.extend(settings.space.parameters().iter().map(|parameter| {
            let value = values.iter().find(|(name, _)| *name == parameter.name);
            value.map_or_else(String::new, |(_, value)| told(parameter.distribution.alternatives(), value))
        }));
        text.push_str(&row(cells.iter().map(String::as_str)));
    }
    text
}

/// A text as it is, an alternative with options by its name where no other has that name: what is open in it has columns of its own.
fn told(alternatives: Option<&[Value]>, value: &Value) -> String {
    let name = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) if map.len() == 1 => map.keys().next().cloned(),
        _ => None,
    };
    let own = name(value);
    let others = alternatives.unwrap_or_default().iter().filter(|other| *other != value);
    match own {
        Some(own) if value.is_string() || !others.into_iter().any(|other| name(other).as_ref() == Some(&own)) => own,
        _ => value.to_string(),
    }
}

fn row<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<Cow<'_, str>> = cells.map(cell).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> Cow<'_, str> {
    let needs_quotes = text.contains(['"', ',', '\n', '\r']) || text.trim() != text;
    if needs_quotes { Cow::Owned(format!("\"{}\"", text.replace('"', "\"\""))) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Assignment, Catalogs, Objective, Outcome, Space, StudySettings};

    #[test]
    fn rows_have_a_cell_for_each_head_and_quotes_where_they_are_needed() {
        let (space, _) = Space::extract(&json!({"a": {"choose": ["x, \"y\"", {"b": {"integer": [1, 3]}}]}})).unwrap();
        let settings = StudySettings::new("s", space, vec![Objective::minimize("loss")]);
        let mut study = Study::new(settings, &Catalogs::default()).unwrap();
        let assignment = |settings: &[(&str, f64)]| -> Assignment {
            settings.iter().map(|(name, setting)| ((*name).to_owned(), *setting)).collect()
        };
        study.enqueue(assignment(&[("a", 0.0)])).unwrap();
        study.enqueue(assignment(&[("a", 1.0), ("a.b", 2.0)])).unwrap();
        study.ask().unwrap();
        study.report(0, 4, 1.0).unwrap();
        study.tell(0, Outcome::with(vec![0.5], vec![2.0, -1.0])).unwrap();
        let wanted = "number,state,began,ended,last_step,violation,reason,loss,a,a.b\r\n\
                      0,complete,0,0,4,2,,0.5,\"x, \"\"y\"\"\",\r\n\
                      1,waiting,,,,,,,b,2\r\n";
        assert_eq!(csv(&study), wanted);
    }
}
