use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{ChoiceError, Options, Row, read, schema_of, whole};
use serde_json::Value;

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
    pub(super) make: fn(&Value, &str) -> Made,
}

/// The course, and its options with every default filled in.
type Made = Result<(Arc<dyn Course>, Value), ChoiceError>;

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
