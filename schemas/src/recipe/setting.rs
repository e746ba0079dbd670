//! What a command line can set of a recipe, as its JSON Schema has it.

use serde_json::{Map, Value};

use super::Definitions;

/// A place of a recipe that a value can be given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Dotted: `training.optimizer.adamw.learning_rate`.
    pub place: String,
    /// The words that can stand there, where some can.
    pub values: Vec<String>,
}

/// Mappings are within each other at most so deep.
const DEEPEST: usize = 8;

impl Definitions {
    /// All that can be set, in the order of the recipe, without what stands inside of lists.
    pub fn settings(&self) -> Vec<Setting> {
        let root = self.recipe_schema();
        let none = Map::new();
        let definitions = root.get("$defs").and_then(Value::as_object).unwrap_or(&none);
        let mut found = Vec::new();
        walk(&root, definitions, "", DEEPEST, &mut found);
        found
    }
}

fn walk(schema: &Value, definitions: &Map<String, Value>, place: &str, depth: usize, found: &mut Vec<Setting>) {
    let leaves = leaves(schema, definitions);
    let is_mapping =
        |leaf: &&Value| leaf.get("properties").is_some() && leaf.get("type").is_some_and(|kind| kind == "object");
    if !place.is_empty() && !leaves.iter().all(is_mapping) {
        let mut values: Vec<String> = Vec::new();
        for word in leaves.iter().flat_map(|leaf| words(leaf)) {
            if !values.contains(&word) {
                values.push(word);
            }
        }
        match found.iter_mut().find(|known| known.place == place) {
            Some(known) => known.values.extend(values),
            None => found.push(Setting { place: place.to_owned(), values }),
        }
    }
    if depth == 0 {
        return;
    }
    for properties in leaves.iter().filter_map(|leaf| leaf.get("properties")?.as_object()) {
        for (name, inner) in properties.iter().filter(|(name, _)| is_plain(name)) {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            walk(inner, definitions, &place, depth - 1, found);
        }
    }
}

/// References followed, alternatives side by side.
fn leaves<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> Vec<&'a Value> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let named = reference.strip_prefix("#/$defs/").and_then(|name| definitions.get(name));
        return named.map(|named| leaves(named, definitions)).unwrap_or_default();
    }
    match ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
        Some(choices) => choices.iter().flat_map(|choice| leaves(choice, definitions)).collect(),
        None => vec![schema],
    }
}

fn words(leaf: &Value) -> Vec<String> {
    if leaf.get("type").is_some_and(|kind| kind == "boolean") {
        return vec!["true".into(), "false".into()];
    }
    let listed = leaf.get("enum").and_then(Value::as_array).into_iter().flatten();
    let words = leaf.get("const").into_iter().chain(listed).filter_map(Value::as_str);
    words.filter(|word| is_plain(word)).map(str::to_owned).collect()
}

/// Whether a shell takes a word as it stands.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_places_with_the_words_that_can_stand_there() {
        let optimizer = serde_json::json!({"oneOf": [
            {"type": "string", "const": "sgd"},
            {"type": "object", "properties": {"sgd": {"type": "object", "properties": {"momentum": {"type": "number"}}}}},
        ]});
        let settings = Definitions::default().with("Optimizer", optimizer).settings();
        let of = |place: &str| {
            settings.iter().find(|setting| setting.place == place).map(|setting| setting.values.join(" "))
        };
        for (place, wanted) in [
            ("training.epochs", Some("")),
            ("training.optimizer", Some("sgd")),
            ("training.optimizer.sgd.momentum", Some("")),
            ("training.decay_all", Some("true false")),
            ("training.memory_check", Some("refuse warn")),
            ("data.train", Some("")),
            ("training", None),
            ("nothing", None),
        ] {
            let found = of(place);
            let is_alike = match (&found, wanted) {
                (Some(found), Some(wanted)) => wanted.split(' ').all(|word| found.contains(word)),
                (found, wanted) => found.is_none() && wanted.is_none(),
            };
            assert!(is_alike, "{place}: {found:?}, wanted {wanted:?}");
        }
        let mut places: Vec<&str> = settings.iter().map(|setting| setting.place.as_str()).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0] != pair[1]), "each once");
    }
}
