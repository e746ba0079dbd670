//! The learning rate over time: pure functions of the step.

mod constant;
mod cosine;
mod linear;
mod schedule;
mod schedule_kind;
mod warmup;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice};

pub use schedule::Schedule;
pub use schedule_kind::{Build, Course, ScheduleKind};

/// The schedules of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<ScheduleKind> {
    static CATALOG: OnceLock<Catalog<ScheduleKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            constant::SCHEDULE, //
            cosine::SCHEDULE,
            linear::SCHEDULE,
        ])
    })
}

impl Default for Schedule {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("constant"), "training.schedule").expect("it has no options")
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
                for total in [1, 2, 7, 100] {
                    for step in 0..total + 3 {
                        let factor = schedule.factor(step, total);
                        assert!((0.0..=1.0).contains(&factor), "{schedule:?} {step}/{total}: {factor}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_warmup_that_is_no_share_is_refused() {
        for name in ["cosine", "linear"] {
            for (warmup, good) in [(0.0, true), (1.0, true), (-0.1, false), (1.5, false)] {
                let checked = chosen(name, json!({"warmup": warmup}));
                assert_eq!(checked.is_ok(), good, "{warmup}");
                if let Err(error) = checked {
                    let wanted = format!("training.schedule.{name}: warmup is between 0 and 1, got {warmup}");
                    assert_eq!(error.to_string(), wanted);
                }
            }
        }
    }
}
