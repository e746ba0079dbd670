//! The learning rate over time: pure functions of the step.

mod constant;
mod cosine;
mod linear;

use std::fmt;
use std::sync::{Arc, OnceLock};

use millstream_schemas::choice::{Catalog, Choice, ChoiceError, Options, Row, read, schema_of, whole};
use serde::{Serialize, Serializer};
use serde_json::Value;

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

/// A row: a course of the learning rate that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the schedule.
    pub samples: &'static [&'static str],
    /// Its options, and the course that is made of them.
    pub build: Build,
}

impl Row for ScheduleKind {
    const KIND: &'static str = "schedule";

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn schema(&self) -> Value {
        (self.build.schema)()
    }

    fn accepts(&self, options: &Value) -> bool {
        (self.build.make)(options, "").is_ok()
    }
}

/// The options of a schedule, and how it is made of them.
#[derive(Clone, Copy)]
pub struct Build {
    schema: fn() -> Value,
    make: fn(&Value, &str) -> Result<(Arc<dyn Course>, Value), ChoiceError>,
}

impl Build {
    /// A course with the options `T`.
    pub const fn of<T: Options + Course + 'static>() -> Self {
        Self {
            schema: schema_of::<T>,
            make: |options, place| {
                let course = read::<T>(options, place)?;
                let options = whole(&course);
                Ok((Arc::new(course), options))
            },
        }
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").finish_non_exhaustive()
    }
}

/// The course of the learning rate.
pub trait Course: fmt::Debug + Send + Sync {
    /// The factor on the base learning rate, 0 to 1, at `step` (from 0, below `total`) of `total` (at least 1).
    fn factor(&self, step: u64, total: u64) -> f64;
}

/// A schedule that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Schedule {
    choice: Choice,
    course: Arc<dyn Course>,
}

impl Schedule {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<ScheduleKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let row = catalog.find(choice, place)?;
        let (course, options) = (row.build.make)(&choice.options, &format!("{place}.{}", row.name))?;
        Ok(Self { choice: Choice::new(row.name, options), course })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The factor on the base learning rate at `step` (from 0) of `total`; the last value after the end.
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        self.course.factor(step.min(total.saturating_sub(1)), total.max(1))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("constant"), "training.schedule").expect("it has no options")
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}

/// How far a warm-up has come at a step, and the step and number of steps after it. The first step is one part above
/// zero, so that no step is wasted, and the last one has the full rate. However short, a warm-up has a step.
fn after_warmup(warmup: f64, step: u64, total: u64) -> Result<(u64, u64), f64> {
    // A tenth as `f32` is a little more than a tenth, which is not to cost a step.
    let share = warmup.clamp(0.0, 1.0) * (1.0 - f64::from(f32::EPSILON));
    let steps = (share * total as f64).ceil() as u64;
    if step < steps { Err((step + 1) as f64 / steps as f64) } else { Ok((step - steps, (total - steps).max(1))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
