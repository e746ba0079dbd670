use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::loss_function::LossFunction;

/// A row: a loss that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct LossKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the loss.
    pub samples: &'static [&'static str],
    /// Its options, and the loss that is made of them.
    pub build: Build,
}

impl Row for LossKind {
    const KIND: &'static str = "loss";

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

/// The options of a row, and how its loss is made of them.
pub type Build = choice::Build<dyn LossFunction>;

impl<T: LossFunction + 'static> FromOptions<T> for dyn LossFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
