//! The learning rate over time: pure functions of the step, and one that follows the evaluations too.

mod constant;
mod cosine;
mod cosine_restarts;
#[cfg(test)]
mod course_tests;
mod exponential;
mod inverse_square_root;
mod linear;
mod multi_step;
mod one_cycle;
mod plateau;
mod polynomial;
mod reduce_on_plateau;
mod run_length;
mod schedule;
mod schedule_kind;
mod span;
mod step;
mod warmup;
mod warmup_stable_decay;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice};

pub use plateau::{Plateau, PlateauState};
pub use run_length::RunLength;
pub use schedule::Schedule;
pub use schedule_kind::{Build, Course, ScheduleKind};
pub use span::Span;

/// The schedules of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<ScheduleKind> {
    static CATALOG: OnceLock<Catalog<ScheduleKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            constant::SCHEDULE,
            cosine::SCHEDULE,
            cosine_restarts::SCHEDULE,
            exponential::SCHEDULE,
            inverse_square_root::SCHEDULE,
            linear::SCHEDULE,
            multi_step::SCHEDULE,
            one_cycle::SCHEDULE,
            polynomial::SCHEDULE,
            reduce_on_plateau::SCHEDULE,
            step::SCHEDULE,
            warmup_stable_decay::SCHEDULE,
        ])
    })
}

impl Default for Schedule {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("constant"), "training.schedule")
            .expect("all of its options have defaults")
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::ChoiceError;
    use serde_json::{Value, json};

    use super::*;

    fn chosen(name: &str, options: Value) -> Result<Schedule, ChoiceError> {
        Schedule::choose(standard(), &Choice::new(name, options), "training.schedule")
    }

    #[test]
    fn rows_are_whole_and_every_factor_is_a_share() {
        for row in standard().rows() {
            assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
            for sample in row.samples {
                let schedule = chosen(row.name, serde_json::from_str(sample).unwrap()).unwrap();
                for (steps, steps_per_epoch) in [(1, 1), (2, 1), (7, 7), (100, 10), (0, 0)] {
                    let run = RunLength { steps, steps_per_epoch };
                    for step in 0..steps + 3 {
                        let factor = schedule.factor(step, run);
                        assert!((0.0..=1.0).contains(&factor), "{schedule:?}, step {step} of {run:?}: {factor}");
                    }
                }
                let again = chosen(row.name, schedule.choice().options.clone()).unwrap();
                assert_eq!(again.choice(), schedule.choice());
            }
        }
    }

    #[test]
    fn a_warmup_is_a_part_of_the_run_in_every_schedule() {
        for row in standard().rows() {
            for warmup in [json!(0.0), json!(1), json!("500 steps"), json!("0.5 epochs")] {
                chosen(row.name, json!({"warmup": warmup})).unwrap();
            }
            let forms = "a share of all steps from 0 to 1, `500 steps` or `2 epochs`";
            for (warmup, message) in [
                (json!(-0.1), "warmup is between 0 and 1, got -0.1".to_owned()),
                (json!(500), "warmup is between 0 and 1, got 500".to_owned()),
                (json!("500"), format!("warmup: wanted {forms}, got the text `500`")),
                (json!(true), format!("warmup: wanted {forms}, got true")),
            ] {
                let error = chosen(row.name, json!({"warmup": warmup})).unwrap_err().to_string();
                assert!(error.starts_with(&format!("training.schedule.{}: {message}", row.name)), "{error}");
            }
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        for (name, options, message) in [
            ("cosine_restarts", json!({"period": 0}), "period is longer than nothing, got 0"),
            ("cosine_restarts", json!({"growth": 0}), "growth is 1 or more, got 0"),
            ("polynomial", json!({"power": 0}), "power is a finite number above 0, got 0"),
            ("exponential", json!({"gamma": 1.1}), "gamma is between 0 and 1, got 1.1"),
            ("reduce_on_plateau", json!({"factor": 1}), "factor is below 1, got 1"),
            ("reduce_on_plateau", json!({"threshold": -1}), "threshold is a finite number of 0 or more, got -1"),
            ("step", json!({"every": "0 steps"}), "every is longer than nothing, got 0 steps"),
            ("multi_step", json!({"milestones": []}), "milestones has one or more, got none"),
            ("multi_step", json!({"milestones": [2]}), "milestones is between 0 and 1, got 2"),
            ("one_cycle", json!({"start": 2}), "start is between 0 and 1, got 2"),
            ("inverse_square_root", json!({"timescale": "0 epochs"}), "timescale is longer than nothing, got 0 epochs"),
        ] {
            let wanted = format!("training.schedule.{name}: {message}");
            assert_eq!(chosen(name, options).unwrap_err().to_string(), wanted);
        }
    }
}
