use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::stopping_function::StoppingFunction;

/// A row: a stopping rule that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct StoppingKind {
    /// As in a recipe.
    pub name: &'static str,
    /// When it stops a trial, in one line.
    pub summary: &'static str,
    /// Markdown: the rule, and where it comes from.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the rule.
    pub samples: &'static [&'static str],
    /// Its options, and the rule that is made of them.
    pub build: Build,
}

impl Row for StoppingKind {
    const KIND: &'static str = "stopping rule";

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

/// The options of a row, and how its rule is made of them.
pub type Build = choice::Build<dyn StoppingFunction>;

impl<T: StoppingFunction + 'static> FromOptions<T> for dyn StoppingFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
