//! A recipe with every default filled in, and what each value means.

use std::fmt::Write;

use millstream_schemas::Recipe;
use serde_json::{Map, Value};

use crate::Catalogs;

/// Columns of a comment.
const WIDTH: usize = 100;
/// Comments are as deep as values are; deeper ones are written as they stand.
const DEEPEST: usize = 16;

/// A recipe as YAML, with every default filled in, each value under what it means; what is not said and has no default stands in a
/// comment. Reading it gives the same recipe.
pub fn commented(recipe: &Recipe, catalogs: &Catalogs) -> String {
    let schema = catalogs.recipe_schema();
    let value = serde_json::to_value(recipe.escaped(&catalogs.definitions())).expect("our own types have string keys");
    let mut text = String::new();
    if let Value::Object(fields) = &value {
        Writer { schema: &schema, text: &mut text }.fields(fields, &schema, 0);
    }
    text
}

struct Writer<'a> {
    schema: &'a Value,
    text: &'a mut String,
}

impl<'a> Writer<'a> {
    fn fields(&mut self, fields: &Map<String, Value>, schema: &'a Value, depth: usize) {
        let known = self.properties(schema);
        for (key, value) in fields {
            if depth == 0 && !self.text.is_empty() {
                self.text.push('\n');
            }
            let of_key = known.and_then(|known| known.get(key));
            self.comment(of_key, depth);
            let indent = "  ".repeat(depth);
            let key = quoted(key);
            match value {
                Value::Object(inner) if !inner.is_empty() && depth < DEEPEST => {
                    let _ = writeln!(self.text, "{indent}{key}:");
                    self.fields(inner, of_key.map_or(&Value::Null, |schema| self.of_value(schema, value)), depth + 1);
                }
                Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                    let _ = writeln!(self.text, "{indent}{key}:");
                    for item in items {
                        let _ = writeln!(self.text, "{indent}  - {}", flow(item));
                    }
                }
                value => {
                    let _ = writeln!(self.text, "{indent}{key}: {}", flow(value));
                }
            }
        }
        // what is for editors stands in front of all
        let is_missing = |key: &str| !fields.contains_key(key) && key != "$schema";
        let missing = known.into_iter().flatten().filter(|(key, _)| is_missing(key));
        for (key, of_key) in missing {
            let indent = "  ".repeat(depth);
            self.comment(Some(of_key), depth);
            let default = of_key.get("default").filter(|default| !default.is_null());
            let _ = writeln!(
                self.text,
                "{indent}# {}:{}",
                quoted(key),
                default.map_or_else(String::new, |value| format!(" {}", flow(value)))
            );
        }
    }

    /// What a value means, above it.
    fn comment(&mut self, schema: Option<&Value>, depth: usize) {
        let Some(description) = schema.and_then(|schema| schema.get("description")).and_then(Value::as_str) else {
            return;
        };
        let indent = "  ".repeat(depth);
        let most = WIDTH.saturating_sub(indent.len() + 2).max(40);
        let mut line = String::new();
        for word in description.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > most {
                let _ = writeln!(self.text, "{indent}# {line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(self.text, "{indent}# {line}");
    }

    /// The properties of a mapping, wherever its schema has them.
    fn properties(&self, schema: &'a Value) -> Option<&'a Map<String, Value>> {
        self.resolved(schema).get("properties").and_then(Value::as_object)
    }

    /// Of several schemas the one that has all keys of a mapping.
    fn of_value(&self, schema: &'a Value, value: &Value) -> &'a Value {
        let mut waiting = vec![schema];
        while let Some(schema) = waiting.pop() {
            let schema = self.resolved(schema);
            let known = schema.get("properties").and_then(Value::as_object);
            let has_all = |known: &Map<String, Value>| {
                value.as_object().is_some_and(|value| value.keys().all(|key| known.contains_key(key)))
            };
            if known.is_some_and(has_all) {
                return schema;
            }
            for several in ["oneOf", "anyOf", "allOf"] {
                waiting.extend(schema.get(several).and_then(Value::as_array).into_iter().flatten());
            }
        }
        &Value::Null
    }

    fn resolved(&self, mut schema: &'a Value) -> &'a Value {
        // references of references, but none that leads back
        for _ in 0..DEEPEST {
            let Some(name) =
                schema.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix("#/$defs/"))
            else {
                break;
            };
            schema = &self.schema["$defs"][name];
        }
        schema
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}: {}", quoted(key), flow(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text as YAML takes it: bare where it cannot be misread.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/');
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '/' | '.'));
    let words = ["true", "false", "yes", "no", "null", "on", "off", "y", "n", ".inf", ".nan"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let is_number = text.parse::<f64>().is_ok();
    if begins && !is_word && !is_number && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;

    use super::*;
    use crate::load;

    #[test]
    fn what_is_written_is_the_same_recipe_and_says_what_it_means() {
        let catalogs = Catalogs::default();
        let read = |text: &str| {
            load(&RecipeText::new(text, Path::new("a.yaml"), Path::new("/x"), &[]).unwrap(), &catalogs).unwrap()
        };
        let recipe = read(
            "version: 1\nmodel: {path: m.onnx, train: {last: 2}, methods: [{lora: {rank: 4}}]}\n\
             data: {train: 'a b-*.parquet', evaluate: ['no', '1e3', 'a$$b'], batch: 8}\n\
             transforms: {train: [horizontal_flip, {rotate: {degrees: 5}}]}\n\
             training: {optimizer: {sgd: {momentum: 0.5}}, early_stopping: {patience: 2}}\n",
        );
        let text = commented(&recipe, &catalogs);
        assert_eq!(read(&text), recipe, "{text}");
        for part in [
            "# Rows a step.\n  batch: 8\n",
            "    sgd:\n",
            "      momentum: 0.5\n",
            "    - {rotate: {degrees: 5",
            "  # max_steps:",
            "evaluate: [/x/no, /x/1e3, \"/x/a$$b\"]",
        ] {
            assert!(text.contains(part), "wanted {part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() < 3 * WIDTH));
    }
}
