use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::plateau::Plateau;
use super::run_length::RunLength;

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
        self.build.schema()
    }

    fn accepts(&self, options: &Value) -> bool {
        self.build.accepts(options)
    }
}

/// The options of a row, and how its course is made of them.
pub type Build = choice::Build<dyn Course>;

impl<T: Course + 'static> FromOptions<T> for dyn Course {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}

/// The course of the learning rate.
pub trait Course: fmt::Debug + Send + Sync {
    /// The factor on the base learning rate, 0 to 1, at `step` (from 0, below `run.steps`) of a run of at least one step.
    fn factor(&self, step: u64, run: RunLength) -> f64;

    /// When the rate is reduced beside that, because evaluations get no better. Most courses are functions of the step alone.
    fn plateau(&self) -> Option<Plateau> {
        None
    }
}
