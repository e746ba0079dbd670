use std::collections::BTreeMap;

use schemars::schema_for;
use serde_json::{Value, json};

use super::{Recipe, open_values};
#[cfg(feature = "yaml")]
use crate::choice::path_options;

/// The key of a recipe that is for editors alone.
pub(super) const SCHEMA_KEY: &str = "$schema";

/// JSON Schemas of what a recipe chooses by name, under the names that its schema refers to: `Encoding`, `Head`, `Initializer`,
/// `Log`, `Loss`, `Method`, `Metric`, `Optimizer`, `Proposer`, `Schedule`, `StoppingRule`, `Transform`. They come from the catalogs of rows; what has none here is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Definitions(BTreeMap<&'static str, Value>);

fn schema_key() -> Value {
    json!({
        "type": "string",
        "description": "Where editors find the schema of recipes: a file beside the recipe, as `millstream schema -o recipe.schema.json` writes it, \
            or an address. Nothing else reads it.",
    })
}

impl Definitions {
    /// With the schema of one kind, as [`Catalog::schema`](crate::choice::Catalog::schema) gives it.
    #[must_use]
    pub fn with(mut self, name: &'static str, schema: Value) -> Self {
        self.0.insert(name, schema);
        self
    }

    /// The options of a choice that are paths: those whose schema has the format `path`.
    #[cfg(feature = "yaml")]
    pub(super) fn paths(&self, kind: &str, choice: &str) -> Vec<String> {
        let choices = self.0.get(kind).and_then(|schema| schema["oneOf"].as_array());
        let options = choices.into_iter().flatten().filter_map(|entry| entry["properties"].get(choice)).next();
        let Some(options) = options else { return Vec::new() };
        // With options that all have defaults, nothing may stand in their place.
        path_options(options.get("anyOf").and_then(|forms| forms.get(0)).unwrap_or(options))
    }

    /// JSON Schema of a recipe in which these choices can be made.
    pub fn recipe_schema(&self) -> Value {
        let mut schema = schema_for!(Recipe).to_value();
        for name in NAMES {
            let any = || json!({"type": ["string", "object"], "maxProperties": 1});
            schema["$defs"][name] = self.0.get(name).cloned().unwrap_or_else(any);
        }
        schema["properties"][SCHEMA_KEY] = schema_key();
        schema
    }

    /// The same, where any value may be left open for a search.
    pub fn open_recipe_schema(&self) -> Value {
        let mut schema = self.recipe_schema();
        open_values::allow(&mut schema);
        schema["properties"][SCHEMA_KEY] = schema_key();
        schema
    }
}

const NAMES: [&str; 12] = [
    "Encoding",
    "Head",
    "Initializer",
    "Log",
    "Loss",
    "Method",
    "Metric",
    "Optimizer",
    "Proposer",
    "Schedule",
    "StoppingRule",
    "Transform",
];

#[cfg(test)]
impl Definitions {
    /// Two optimizers and two schedules, as catalogs would say them.
    pub(super) fn example() -> Self {
        Self::example_with(&[], &[])
    }

    /// The same, and more optimizers and schedules by their names alone, with the options of the others.
    pub(super) fn example_with(optimizers: &[&'static str], schedules: &[&'static str]) -> Self {
        let share = json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.9});
        let above = json!({"type": "number", "exclusiveMinimum": 0, "default": 0.001});
        let at_least = json!({"type": "number", "minimum": 0, "default": 0});
        let choices = |rows: &[(&str, Value)]| {
            let bare = rows.iter().map(|(name, _)| json!({"type": "string", "const": name}));
            let with_options = rows.iter().map(|(name, properties)| {
                let options = json!({"type": "object", "properties": properties, "additionalProperties": false});
                let properties = json!({*name: {"anyOf": [options, {"type": "null"}]}});
                json!({"type": "object", "properties": properties, "required": [name], "additionalProperties": false})
            });
            json!({"oneOf": bare.chain(with_options).collect::<Vec<_>>()})
        };
        let adamw = json!({
            "beta1": share, "beta2": share, "epsilon": above, "weight_decay": at_least, "learning_rate": above,
        });
        let sgd = json!({
            "momentum": share, "nesterov": {"type": "boolean"}, "weight_decay": at_least, "learning_rate": above,
        });
        let cosine = json!({"warmup": {"type": "number", "minimum": 0, "maximum": 1, "default": 0}});
        let line = json!({"warmup": cosine["warmup"], "power": above});
        let more = |names: &[&'static str], options: &Value| -> Vec<(&str, Value)> {
            names.iter().map(|name| (*name, options.clone())).collect()
        };
        Self::default()
            .with(
                "Optimizer",
                choices(&[&[("adamw", adamw.clone()), ("sgd", sgd)][..], &more(optimizers, &adamw)].concat()),
            )
            .with(
                "Schedule",
                choices(&[&[("constant", cosine.clone()), ("cosine", cosine)][..], &more(schedules, &line)].concat()),
            )
    }
}
