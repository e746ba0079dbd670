use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{ChoiceError, Options, Row, read, schema_of, whole};
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
        (self.build.schema)()
    }

    fn accepts(&self, options: &Value) -> bool {
        (self.build.make)(options, "").is_ok()
    }
}

/// The options of a method, and how it is made of them.
#[derive(Clone, Copy)]
pub struct Build {
    schema: fn() -> Value,
    pub(super) make: fn(&Value, &str) -> Made,
}

/// The method, and its options with every default filled in.
type Made = Result<(Arc<dyn MethodFunction>, Value), ChoiceError>;

impl Build {
    /// A method with the options `T`.
    pub const fn of<T: Options + MethodFunction + 'static>() -> Self {
        Self {
            schema: schema_of::<T>,
            make: |options, place| {
                let function = read::<T>(options, place)?;
                let options = whole(&function);
                Ok((Arc::new(function), options))
            },
        }
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").finish_non_exhaustive()
    }
}
