//! The JSON Schema of recipes in which any value may be left open for a search.

use serde_json::{Map, Value, json};

/// Keys below which nothing is left open: what a search itself is told, and the version.
const CLOSED: [&str; 2] = ["search", "version"];

/// Lets every value of a schema be `{choose: […]}`, `{uniform: …}`, `{log_uniform: …}` or `{integer: …}` as well.
pub(super) fn allow(schema: &mut Value) {
    let Some(root) = schema.as_object_mut() else { return };
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        let values = properties.iter_mut().filter(|(key, _)| !CLOSED.contains(&key.as_str()));
        values.for_each(|(_, value)| open(value));
    }
    let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) else { return };
    let of_search = ["SearchRecipe", "FoldsRecipe", "ConstraintRecipe", "Proposer", "StoppingRule"];
    let others = definitions.iter_mut().filter(|(name, _)| !of_search.contains(&name.as_str()));
    others.for_each(|(_, definition)| within(definition));
    definitions.insert("Open".into(), forms());
}

/// A value that may be open, with what is in it.
fn open(value: &mut Value) {
    within(value);
    let described: Map<String, Value> = ["description", "default"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), value.get(key)?.clone())))
        .collect();
    let mut either = json!({ "anyOf": [value.take(), { "$ref": "#/$defs/Open" }] });
    if let Some(either) = either.as_object_mut() {
        either.extend(described);
    }
    *value = either;
}

/// What lies in a value: keys of mappings, items of lists, in each of the forms that it may have.
fn within(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    for (key, inner) in map.iter_mut() {
        match (key.as_str(), inner) {
            ("properties", Value::Object(properties)) => properties.iter_mut().for_each(|(_, value)| open(value)),
            ("items" | "additionalProperties", inner @ Value::Object(_)) => open(inner),
            ("anyOf" | "oneOf" | "allOf", Value::Array(forms)) => forms.iter_mut().for_each(within),
            _ => {}
        }
    }
}

fn forms() -> Value {
    let ends = |kind: &str| json!({ "type": "array", "items": { "type": kind }, "minItems": 2, "maxItems": 2 });
    let form = |name: &str, of: Value, options: Value, description: &str| {
        let mut properties = Map::from_iter([(name.to_owned(), of)]);
        properties.extend(options.as_object().cloned().unwrap_or_default());
        json!({
            "type": "object", "properties": properties, "required": [name], "additionalProperties": false,
            "description": description,
        })
    };
    json!({
        "description": "A value that `millstream search` looks for.",
        "oneOf": [
            form(
                "choose",
                json!({ "type": "array", "minItems": 1 }),
                json!({}),
                "One of these values; in one of them values may be left open too.",
            ),
            form("uniform", ends("number"), json!({ "step": { "type": "number", "exclusiveMinimum": 0 } }), "A number from the first to the second."),
            form("log_uniform", ends("number"), json!({}), "A number from the first, above 0, to the second, each magnitude as likely as the other."),
            form(
                "integer",
                ends("integer"),
                json!({ "step": { "type": "integer", "minimum": 1 }, "log": { "type": "boolean" } }),
                "A whole number from the first to the second.",
            ),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Definitions;

    #[test]
    fn every_value_but_those_of_the_search_may_be_open() {
        let schema = Definitions::example().open_recipe_schema();
        let is_open = |schema: &Value| schema["anyOf"][1]["$ref"] == "#/$defs/Open";
        let properties = &schema["properties"];
        assert!(is_open(&properties["training"]) && is_open(&properties["data"]) && !is_open(&properties["search"]));
        let training = &schema["$defs"]["TrainingRecipe"]["properties"];
        assert!(is_open(&training["epochs"]) && is_open(&training["optimizer"]));
        assert!(!is_open(&schema["$defs"]["SearchRecipe"]["properties"]["trials"]));
        let adamw = schema["$defs"]["Optimizer"]["oneOf"].as_array().unwrap().iter();
        let adamw = adamw.filter_map(|form| form["properties"].get("adamw")).next().unwrap();
        assert!(is_open(adamw));
        let options = &adamw["anyOf"][0]["anyOf"][0]["properties"];
        assert!(is_open(&options["learning_rate"]), "{options}");
    }
}
