use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{self, Catalog, Choice, ChoiceError, FromOptions, Row};
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
        self.build.schema()
    }

    fn accepts(&self, options: &Value) -> bool {
        self.build.accepts(options)
    }
}

/// The options of a row, and how its initializer is made of them.
pub type Build = choice::Build<dyn InitializerFunction>;

impl<T: InitializerFunction + 'static> FromOptions<T> for dyn InitializerFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
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
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function })
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
