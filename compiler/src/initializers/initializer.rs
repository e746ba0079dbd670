use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError, Options, Row, read, schema_of, whole};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Fans, WeightRandom};
use crate::graph::Constant;

/// How new weights are drawn.
pub trait InitializerFunction: fmt::Debug + Send + Sync {
    /// The numbers of a weight of this shape, row-major.
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32>;
}

/// A row: an initializer that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct InitializerKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Options in JSON that make sense, each with the standard deviation of a weight `[256, 32, 3, 3]`.
    pub samples: &'static [(&'static str, f64)],
    /// Its options, and the initializer that is made of them.
    pub build: Build,
}

impl Row for InitializerKind {
    const KIND: &'static str = "initializer";

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

/// The options of an initializer, and how it is made of them.
#[derive(Clone, Copy)]
pub struct Build {
    schema: fn() -> Value,
    make: fn(&Value, &str) -> Made,
}

/// The initializer, and its options with every default filled in.
type Made = Result<(Arc<dyn InitializerFunction>, Value), ChoiceError>;

impl Build {
    /// An initializer with the options `T`.
    pub const fn of<T: Options + InitializerFunction + 'static>() -> Self {
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

/// An initializer that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Initializer {
    choice: Choice,
    function: Arc<dyn InitializerFunction>,
}

impl Initializer {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<InitializerKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let row = catalog.find(choice, place)?;
        let (function, options) = (row.build.make)(&choice.options, &format!("{place}.{}", row.name))?;
        Ok(Self { choice: Choice::new(row.name, options), function })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Draws a weight of this shape: a pure function of the seed and the parameter's name.
    pub fn draw(&self, shape: &[usize], fans: Fans, seed: u64, name: &str) -> Constant {
        Constant::f32(shape, &self.function.values(shape, fans, &mut WeightRandom::new(seed, name)))
    }
}

impl Serialize for Initializer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
