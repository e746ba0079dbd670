//! Update rules: each file holds one, as an update in place in Rust and as graph nodes, its twin for other devices.

mod adamw;
mod graph;
mod lion;
mod rule;
mod sgd;

use std::fmt;
use std::sync::{Arc, OnceLock};

use millstream_schemas::choice::{
    Catalog, Choice, ChoiceError, Options, Row, Shared, above, read_shared, schema_of_shared,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

pub(crate) use graph::{UpdateGraph, update_graph};
pub use rule::{NodeInputs, ParameterFacts, UpdateRule};

/// The optimizers of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<OptimizerKind> {
    static CATALOG: OnceLock<Catalog<OptimizerKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            adamw::OPTIMIZER, //
            lion::OPTIMIZER,
            sgd::OPTIMIZER,
        ])
    })
}

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
    fn defaults(&self) -> Value {
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
    make: fn(&Value, &str, &Value) -> Result<Made, ChoiceError>,
}

type Made = Shared<Rate, Arc<dyn UpdateRule>>;

impl Build {
    /// A rule with the options `T`.
    pub const fn of<T: Options + UpdateRule + 'static>() -> Self {
        Self {
            schema: schema_of_shared::<Rate, T>,
            make: |options, place, defaults| {
                let Shared { shared, own, whole } = read_shared::<Rate, T>(options, place, defaults)?;
                Ok(Shared { shared, own: Arc::new(own), whole })
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
struct Rate {
    /// Step size, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    learning_rate: f64,
}

impl Options for Rate {
    fn validate(&self) -> Result<(), String> {
        above("learning_rate", self.learning_rate)
    }
}

/// An optimizer that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Optimizer {
    choice: Choice,
    learning_rate: f32,
    rule: Arc<dyn UpdateRule>,
}

impl Optimizer {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<OptimizerKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let row = catalog.find(choice, place)?;
        let place = format!("{place}.{}", row.name);
        let Shared { shared, own, whole } = (row.build.make)(&choice.options, &place, &row.defaults())?;
        Ok(Self { choice: Choice::new(row.name, whole), learning_rate: shared.learning_rate as f32, rule: own })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The base learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// How many numbers it remembers of each weight.
    pub fn numbers_for_each_weight(&self) -> usize {
        self.rule.state_names().len()
    }

    pub(crate) fn rule(&self) -> &Arc<dyn UpdateRule> {
        &self.rule
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("adamw"), "training.optimizer")
            .expect("all of its options have defaults")
    }
}

impl Serialize for Optimizer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}

/// The factor that brings the joint Euclidean norm of all gradients down to `limit`; 1 when it is not above.
pub(crate) fn clip_scale(norm: f64, limit: f32) -> f32 {
    // PyTorch's `clip_grad_norm_` adds the same 1e-6.
    (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32
}

/// Sum of squares, added up in doubles in a fixed order.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, options: Value) -> Result<Optimizer, ChoiceError> {
        Optimizer::choose(standard(), &Choice::new(name, options), "training.optimizer")
    }

    #[test]
    fn rows_are_whole_and_their_samples_are_taken() {
        for row in standard().rows() {
            assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
            for sample in row.samples {
                let options: Value = serde_json::from_str(sample).unwrap();
                let optimizer = chosen(row.name, options).unwrap_or_else(|error| panic!("{sample}: {error}"));
                let again = chosen(row.name, optimizer.choice().options.clone()).unwrap();
                assert_eq!(optimizer.choice(), again.choice());
                let schema = row.schema();
                let known = schema["properties"].as_object().unwrap();
                let filled = optimizer.choice().options.as_object().unwrap();
                assert!(filled.keys().eq(known.keys()), "{filled:?}, {known:?}");
                assert!(known.values().all(|option| option.get("description").is_some()), "{schema}");
                assert_eq!(schema["properties"]["learning_rate"]["default"], json!(row.learning_rate));
            }
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        for (name, options, message) in [
            ("adamw", json!({"learning_rate": -1.0}), "adamw: learning_rate is a finite number above 0, got -1"),
            ("adamw", json!({"beta1": 1.0}), "adamw: beta1 is 0 to below 1, got 1"),
            ("adamw", json!({"beta2": -0.1}), "adamw: beta2 is 0 to below 1, got -0.1"),
            ("adamw", json!({"epsilon": 0.0}), "adamw: epsilon is a finite number above 0, got 0"),
            ("adamw", json!({"weight_decay": -0.1}), "adamw: weight_decay is a finite number of 0 or more, got -0.1"),
            (
                "adamw",
                json!({"momentum": 0.9}),
                "adamw: unknown option `momentum`; it has beta1, beta2, epsilon, weight_decay, learning_rate",
            ),
            ("sgd", json!({"momentum": 1.0}), "sgd: momentum is 0 to below 1, got 1"),
            (
                "sgd",
                json!({"nesterov": true, "momentum": 0.0}),
                "sgd: momentum is above 0, because `nesterov` is on, got 0",
            ),
            ("sgd", json!({"learning_rate": "fast"}), "sgd: learning_rate: wanted a number, got `fast`"),
            ("lion", json!({"beta1": 2}), "lion: beta1 is 0 to below 1, got 2"),
        ] {
            assert_eq!(chosen(name, options).unwrap_err().to_string(), format!("training.optimizer.{message}"));
        }
        let unknown = chosen("adam", json!({})).unwrap_err().to_string();
        assert_eq!(unknown, "training.optimizer: unknown optimizer `adam`; did you mean `adamw`?");
    }

    #[test]
    fn clipping_scales_only_norms_above_the_limit() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
        let values: Vec<f32> = (0..19).map(|value| value as f32).collect();
        assert_eq!(sum_of_squares(&values), 2109.0);
    }
}
