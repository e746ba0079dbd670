use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::proposer_function::ProposerFunction;

/// A row: a proposer that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct ProposerKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it proposes, in one line.
    pub summary: &'static str,
    /// Markdown: how, where it comes from, what it is good for.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the proposer.
    pub samples: &'static [&'static str],
    /// Its options, and the proposer that is made of them.
    pub build: Build,
}

impl Row for ProposerKind {
    const KIND: &'static str = "proposer";

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

/// The options of a row, and how its proposer is made of them.
pub type Build = choice::Build<dyn ProposerFunction>;

impl<T: ProposerFunction + 'static> FromOptions<T> for dyn ProposerFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
