use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::ensemble_function::EnsembleFunction;

/// A row: a way to make one model of several.
#[derive(Clone, Copy, Debug)]
pub struct EnsembleKind {
    /// As `millstream ensemble fit --method` names it.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Cases that were worked by hand; they cover the options.
    pub samples: &'static [Worked],
    /// Its options, and the function that is made of them.
    pub build: Build,
}

/// Members of classes and what is fitted to them.
#[derive(Clone, Copy, Debug)]
pub struct Worked {
    /// Options in JSON.
    pub options: &'static str,
    /// Classes.
    pub columns: usize,
    /// Scores of each member, row-major.
    pub members: &'static [&'static [f32]],
    /// The class of each row.
    pub classes: &'static [u32],
    /// What is fitted, in JSON.
    pub wanted: &'static str,
}

impl Row for EnsembleKind {
    const KIND: &'static str = "ensemble method";

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

/// The options of a row, and how its function is made of them.
pub type Build = choice::Build<dyn EnsembleFunction>;

impl<T: EnsembleFunction + 'static> FromOptions<T> for dyn EnsembleFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
