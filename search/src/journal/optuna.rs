use serde_json::{Map, Value, json};

use crate::spaces::{Distribution, Space};
use crate::{Direction, Study, Trial, TrialState};

/// A study as the lines of a file that Optuna's `JournalStorage` opens, and with it Optuna's dashboard.
///
/// A paused trial is a pruned one there; values that Optuna does not choose among (lists, mappings) are texts.
///
/// ```text
/// optuna.load_study(study_name=…, storage=JournalStorage(JournalFileBackend("trials.log")))
/// ```
pub fn optuna(study: &Study) -> String {
    let settings = study.settings();
    let direction = |direction: Direction| match direction {
        Direction::Minimize => 1,
        Direction::Maximize => 2,
    };
    let directions: Vec<i32> = settings.objectives.iter().map(|objective| direction(objective.direction)).collect();
    let mut lines =
        vec![json!({"op_code": 0, "worker_id": WORKER, "study_name": settings.name, "directions": directions})];
    let names: Vec<&str> = settings.objectives.iter().map(|objective| objective.figure.as_str()).collect();
    lines.push(json!({
        "op_code": 3, "worker_id": WORKER, "study_id": 0, "system_attr": {"study:metric_names": names},
    }));
    lines.extend(study.trials().iter().map(|trial| line(trial, &settings.space)));
    lines
        .iter()
        .map(|line| NOT_FINITE.iter().fold(format!("{line}\n"), |line, (mark, name)| line.replace(mark, name)))
        .collect()
}

/// What stands for numbers that JSON does not have, as it is written, and what Python writes for them.
const NOT_FINITE: [(&str, &str); 3] =
    [("\"\\u0000nan\"", "NaN"), ("\"\\u0000+\"", "Infinity"), ("\"\\u0000-\"", "-Infinity")];

const WORKER: &str = "millstream";

fn line(trial: &Trial, space: &Space) -> Value {
    let there =
        space.parameters().iter().filter_map(|parameter| Some((parameter, trial.assignment.get(&parameter.name)?)));
    let distributions: Map<String, Value> = there
        .clone()
        .map(|(parameter, _)| (parameter.name.clone(), json!(distribution(&parameter.distribution).to_string())))
        .collect();
    let parameters: Map<String, Value> =
        there.map(|(parameter, setting)| (parameter.name.clone(), json!(setting))).collect();
    let mut line = json!({
        "op_code": 4,
        "worker_id": WORKER,
        "study_id": 0,
        "datetime_start": trial.began.map(date_time),
        "state": state(trial.state),
        "params": parameters,
        "distributions": distributions,
        "intermediate_values": trial.reports.iter().map(|(step, value)| (step.to_string(), number(*value))).collect::<Map<_, _>>(),
        "user_attrs": trial.reason.as_ref().map_or_else(|| json!({}), |reason| json!({"reason": reason})),
        "system_attrs": if trial.constraints.is_empty() { json!({}) } else { json!({"constraints": trial.constraints}) },
    });
    if trial.state == TrialState::Complete {
        line["values"] = trial.values.iter().map(|value| number(*value)).collect();
    }
    // Optuna wants an end of what is over.
    if !matches!(trial.state, TrialState::Running | TrialState::Waiting) {
        line["datetime_complete"] = json!(date_time(trial.ended.or(trial.began).unwrap_or(0.0)));
    }
    line
}

fn state(state: TrialState) -> u32 {
    match state {
        TrialState::Running => 0,
        TrialState::Complete => 1,
        TrialState::Stopped | TrialState::Paused => 2,
        TrialState::Failed => 3,
        TrialState::Waiting => 4,
    }
}

fn distribution(distribution: &Distribution) -> Value {
    let (name, attributes) = match distribution {
        Distribution::Choose(values) => {
            let choice = |value: &Value| match value {
                Value::Array(_) | Value::Object(_) => json!(value.to_string()),
                value => value.clone(),
            };
            ("CategoricalDistribution", json!({"choices": values.iter().map(choice).collect::<Vec<_>>()}))
        }
        Distribution::Uniform { low, high, step } => {
            ("FloatDistribution", json!({"step": step, "low": low, "high": high, "log": false}))
        }
        Distribution::LogUniform { low, high } => {
            ("FloatDistribution", json!({"step": null, "low": low, "high": high, "log": true}))
        }
        Distribution::Integer { low, high, step, log } => {
            ("IntDistribution", json!({"log": log, "step": step, "low": low, "high": high}))
        }
    };
    json!({"name": name, "attributes": attributes})
}

fn number(value: f64) -> Value {
    match value {
        value if value.is_finite() => json!(value),
        value if value.is_nan() => json!("\u{0}nan"),
        value => json!(if value > 0.0 { "\u{0}+" } else { "\u{0}-" }),
    }
}

/// Seconds since 1970 as a date and a time of day, in UTC (the days by Hinnant's algorithm).
fn date_time(seconds: f64) -> String {
    let milliseconds = (seconds.clamp(0.0, 2.5e11) * 1000.0).round() as i64;
    let (days, rest) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}+00:00", rest % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, wanted) in [
            (0.0, "1970-01-01T00:00:00.000+00:00"),
            (951_827_696.5, "2000-02-29T12:34:56.500+00:00"),
            (1_795_651_199.999, "2026-11-25T23:59:59.999+00:00"),
            (4_102_444_800.0, "2100-01-01T00:00:00.000+00:00"),
            (f64::NAN, "1970-01-01T00:00:00.000+00:00"),
        ] {
            assert_eq!(date_time(seconds), wanted);
        }
    }
}
