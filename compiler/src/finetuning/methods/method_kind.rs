use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::method_function::MethodFunction;

/// A row: a method that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct MethodKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the method.
    pub samples: &'static [&'static str],
    /// Its options, and the method that is made of them.
    pub build: Build,
}

impl Row for MethodKind {
    const KIND: &'static str = "method";

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

/// The options of a row, and how its method is made of them.
pub type Build = choice::Build<dyn MethodFunction>;

impl<T: MethodFunction + 'static> FromOptions<T> for dyn MethodFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
