use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{ChoiceError, Options, Row, Shared, above, read_shared, schema_of_shared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rule::UpdateRule;

/// A row: an update rule that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Options in JSON that make sense and cover the rule.
    pub samples: &'static [&'static str],
    /// The learning rate unless the option `learning_rate` says otherwise.
    pub learning_rate: f64,
    /// Its options, and the rule that is made of them.
    pub build: Build,
}

impl OptimizerKind {
    pub(super) fn defaults(&self) -> Value {
        json!({ "learning_rate": self.learning_rate })
    }
}

impl Row for OptimizerKind {
    const KIND: &'static str = "optimizer";

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn schema(&self) -> Value {
        (self.build.schema)(&self.defaults())
    }

    fn accepts(&self, options: &Value) -> bool {
        (self.build.make)(options, "", &self.defaults()).is_ok()
    }
}

/// The options of an optimizer, and how it is made of them.
#[derive(Clone, Copy)]
pub struct Build {
    schema: fn(&Value) -> Value,
    pub(super) make: fn(&Value, &str, &Value) -> Result<Made, ChoiceError>,
}

pub(super) type Made = Shared<Rate, Arc<dyn UpdateRule>>;

impl Build {
    /// A rule with the options `T`.
    pub const fn of<T: Options + UpdateRule + 'static>() -> Self {
        Self::from_options::<T, T>()
    }

    /// The rule `R`, made of the options `T`.
    pub const fn from_options<T: Options, R: UpdateRule + From<T> + 'static>() -> Self {
        Self {
            schema: schema_of_shared::<Rate, T>,
            make: |options, place, defaults| {
                let Shared { shared, own, whole } = read_shared::<Rate, T>(options, place, defaults)?;
                Ok(Shared { shared, own: Arc::new(R::from(own)), whole })
            },
        }
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").finish_non_exhaustive()
    }
}

/// What every optimizer has beside its own options.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    /// Step size, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) learning_rate: f64,
}

impl Options for Rate {
    fn validate(&self) -> Result<(), String> {
        above("learning_rate", self.learning_rate)
    }
}
