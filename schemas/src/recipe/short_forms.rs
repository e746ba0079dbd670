//! Choices whose options all have defaults, written by their name alone: `optimizer: adamw`.

use schemars::Schema;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Reads a choice: `adamw`, `{adamw: }` and `{adamw: {}}` are the same.
pub(super) fn read<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let written = Value::deserialize(deserializer)?;
    let alone = match &written {
        Value::String(name) => Some(name),
        Value::Object(map) if map.len() == 1 => map.iter().find(|(_, options)| options.is_null()).map(|(name, _)| name),
        _ => None,
    };
    let forms = match alone {
        Some(name) => {
            let with = |options: Value| Value::Object(Map::from_iter([(name.clone(), options)]));
            vec![with(Value::Null), with(json!({})), written.clone()]
        }
        None => vec![written],
    };
    let mut outcome = Err(D::Error::custom("wanted a choice"));
    for form in forms {
        outcome = T::deserialize(form).map_err(D::Error::custom);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Adds the names that can stand alone to the schema of a choice, and lets nothing stand behind their colons.
pub(super) fn allow(schema: &mut Schema, names: &[&str]) {
    let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    let mut alone = Vec::new();
    for choice in choices.iter_mut() {
        let description = choice.get("description").cloned();
        let Some(properties) = choice.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        for (name, options) in properties.iter_mut().filter(|(name, _)| names.contains(&name.as_str())) {
            *options = json!({"anyOf": [options.take(), {"type": "null"}]});
            alone.push(json!({"type": "string", "const": name, "description": description}));
        }
    }
    choices.splice(0..0, alone);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::recipe::{Definitions, RecipeText};
    use std::path::Path;

    /// What the schema says can stand alone does, and means what the long form means; nothing else does.
    #[test]
    fn a_choice_whose_options_all_have_defaults_is_written_by_its_name() {
        let schema = Definitions::example().recipe_schema();
        let mut alone = 0;
        for (place, definition) in [
            ("training.optimizer", "Optimizer"),
            ("training.schedule", "Schedule"),
            ("data.damaged", "DamagedPolicy"),
            ("model.batch_normalization", "BatchNormalization"),
            ("model.train", "TrainSelection"),
            ("training.frozen_prefix", "FrozenPrefixRecipe"),
        ] {
            let choices = schema["$defs"][definition]["oneOf"].as_array().unwrap();
            let load = |value: Value| {
                let text = "version: 1\nmodel: {path: m}\ndata: {train: a}";
                let overrides = [format!("{place}={value}")];
                let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), &overrides).unwrap();
                let (recipe, faults) = text.examine(&Definitions::example());
                recipe.filter(|_| faults.is_empty()).ok_or(faults)
            };
            for choice in choices.iter().filter_map(|choice| choice["properties"].as_object()) {
                let name = choice.keys().next().unwrap();
                let listed = choices.iter().any(|choice| choice["const"] == **name);
                assert_eq!(load(json!(name)).is_ok(), listed, "{place}: {name}");
                assert_eq!(load(json!({name: null})).is_ok(), listed, "{place}: {name}");
                if let Ok(recipe) = load(json!(name)) {
                    alone += 1;
                    assert_eq!(load(json!({name: null})).unwrap(), recipe);
                    let again = RecipeText::new(&recipe.to_yaml(), Path::new("r.yaml"), Path::new("/"), &[]).unwrap();
                    assert_eq!(again.recipe().unwrap(), recipe, "{}", recipe.to_yaml());
                    // What a row fills in is filled in by its catalog.
                    if name != "quarantine" && !place.starts_with("training.") {
                        let long = load(json!({name: {}})).unwrap();
                        assert_eq!(serde_json::to_value(&long).unwrap(), serde_json::to_value(&recipe).unwrap());
                    }
                }
            }
        }
        assert_eq!(alone, 7);
    }
}
