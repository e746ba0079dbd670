//! Keys that no recipe has, told from the JSON Schema, so that every place is covered and none twice.

use schemars::schema_for;
use serde_json::{Map, Value};

use super::Recipe;
use crate::shown;
use crate::{SchemaError, nearest};

/// Every key of every mapping is one that the schema of [`Recipe`] knows there.
pub(super) fn check(recipe: &Value) -> Result<(), SchemaError> {
    let schema = schema_for!(Recipe).to_value();
    let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    Schemas { definitions }.check(recipe, &schema, "")
}

struct Schemas {
    definitions: Map<String, Value>,
}

impl Schemas {
    fn check(&self, value: &Value, schema: &Value, place: &str) -> Result<(), SchemaError> {
        let alternatives = self.alternatives(schema);
        match value {
            Value::Object(map) => {
                let objects: Vec<_> = alternatives.iter().filter(|schema| may_be_object(schema)).collect();
                let properties = |schema: &&Value| schema.get("properties").and_then(Value::as_object).cloned();
                let known: Option<Vec<_>> = objects.iter().map(|&schema| properties(schema)).collect();
                // Not a mapping at all (a type error, reported with the types), or one with free keys.
                let Some(known) = known.filter(|known| !known.is_empty()) else { return Ok(()) };
                map.iter().try_for_each(|(key, value)| {
                    let Some(schema) = known.iter().find_map(|properties| properties.get(key)) else {
                        return Err(unknown(key, place, &known));
                    };
                    self.check(value, schema, &join(place, key))
                })
            }
            Value::Array(items) => {
                let Some(schema) = alternatives.iter().find_map(|schema| schema.get("items")) else { return Ok(()) };
                let checked = |(index, item)| self.check(item, schema, &format!("{place}[{index}]"));
                items.iter().enumerate().try_for_each(checked)
            }
            _ => Ok(()),
        }
    }

    /// What a schema stands for once references are followed and choices are laid side by side.
    fn alternatives<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let definition = reference.strip_prefix("#/$defs/").and_then(|name| self.definitions.get(name));
            return definition.map(|definition| self.alternatives(definition)).unwrap_or_default();
        }
        let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.as_array());
        match choices {
            Some(choices) => choices.iter().flat_map(|choice| self.alternatives(choice)).collect(),
            None => vec![schema],
        }
    }
}

fn may_be_object(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => schema.get("properties").is_some(),
    }
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn unknown(key: &str, place: &str, known: &[Map<String, Value>]) -> SchemaError {
    let names = known.iter().flat_map(|properties| properties.keys().map(String::as_str));
    SchemaError::UnknownKey {
        place: if place.is_empty() { "the recipe".into() } else { place.into() },
        key: shown(key),
        nearest: nearest(key, names).map(Into::into),
    }
}
