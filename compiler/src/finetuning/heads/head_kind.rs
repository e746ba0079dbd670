use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{Catalog, ChoiceError, Options, Row, read, schema_of, whole};
use serde_json::Value;

use super::head_function::HeadFunction;
use crate::initializers::{self, InitializerKind};

/// A row: a head that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct HeadKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: what it reads and makes.
    pub documentation: &'static str,
    /// Options in JSON that make sense.
    pub samples: &'static [&'static str],
    /// Its options, and the head that is made of them.
    pub build: HeadBuild,
}

impl Row for HeadKind {
    const KIND: &'static str = "head";

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
        (self.build.make)(options, "", initializers::standard()).is_ok()
    }
}

/// Options of a head, which may name initializers among them.
pub trait HeadOptions: Options + HeadFunction + 'static {
    /// Finds the initializers that the options name, and fills in theirs; `place` is where the options stand in a recipe.
    ///
    /// # Errors
    /// An unknown initializer or option of one.
    fn find_initializers(&mut self, place: &str, catalog: &Catalog<InitializerKind>) -> Result<(), ChoiceError> {
        let _ = (place, catalog);
        Ok(())
    }
}

/// A head that was made, and its options with every default filled in.
pub type MadeHead = Result<(Arc<dyn HeadFunction>, Value), ChoiceError>;

/// The options of a row, and how its head is made of them.
#[derive(Clone, Copy)]
pub struct HeadBuild {
    schema: fn() -> Value,
    make: fn(&Value, &str, &Catalog<InitializerKind>) -> MadeHead,
}

impl HeadBuild {
    /// Of the options `T`, a mapping.
    pub const fn of<T: HeadOptions>() -> Self {
        Self {
            schema: schema_of::<T>,
            make: |options, place, initializers| {
                let mut head = read::<T>(options, place)?;
                head.find_initializers(place, initializers)?;
                let all = whole(&head);
                Ok((Arc::new(head), all))
            },
        }
    }

    /// Of options that are no mapping. `make` is given them, their place in the recipe and the initializers there are.
    pub const fn new(schema: fn() -> Value, make: fn(&Value, &str, &Catalog<InitializerKind>) -> MadeHead) -> Self {
        Self { schema, make }
    }

    pub(super) fn make(&self, options: &Value, place: &str, initializers: &Catalog<InitializerKind>) -> MadeHead {
        (self.make)(options, place, initializers)
    }
}

impl fmt::Debug for HeadBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadBuild").finish_non_exhaustive()
    }
}
