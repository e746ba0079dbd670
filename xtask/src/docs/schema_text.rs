//! JSON Schema as text for people.

use serde_json::{Map, Value};

/// Definitions that are lists of names with options, each with the heading of its part of `catalogs.md`.
pub(super) const CATALOGS: &[(&str, &str)] = &[
    ("Encoding", "Encodings"),
    ("Head", "Heads"),
    ("Initializer", "Initializers"),
    ("Log", "Logs"),
    ("Loss", "Losses"),
    ("Method", "Methods"),
    ("Metric", "Metrics"),
    ("Optimizer", "Optimizers"),
    ("Proposer", "Proposers"),
    ("Schedule", "Schedules"),
    ("StoppingRule", "Stopping rules"),
    ("Transform", "Transforms"),
];

/// The schema without what every value may be besides: left open for a search, or null.
pub(super) fn bare(schema: &Value) -> &Value {
    let Some(list) = schema["anyOf"].as_array() else { return schema };
    let is_meant = |part: &&Value| part["type"] != "null" && part["$ref"] != "#/$defs/Open";
    let mut meant = list.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(only), None) => bare(only),
        _ => schema,
    }
}

/// The name of the definition that is referred to.
pub(super) fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// What a value looks like. `link` makes text of a definition's name, unless the name means nothing to a reader.
pub(super) fn shape(schema: &Value, link: &dyn Fn(&str) -> Option<String>) -> String {
    let schema = bare(schema);
    if let Some(text) = referred(schema).and_then(link) {
        return text;
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    if let Some(list) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        let mut shapes: Vec<String> = Vec::new();
        for part in list.iter().filter(|part| part["type"] != "null" && part["$ref"] != "#/$defs/Open") {
            let text = shape(part, link);
            if !shapes.contains(&text) {
                shapes.push(text);
            }
        }
        return shapes.join(" or ");
    }
    if let Some(list) = schema["enum"].as_array() {
        return list.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(" or ");
    }
    if let Some(map) = schema["properties"].as_object().filter(|map| !map.is_empty()) {
        let parts: Vec<String> = map.iter().map(|(name, part)| format!("`{name}`: {}", shape(part, link))).collect();
        return format!("{{{}}}", parts.join(", "));
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "array" => format!("list of {}", shape(&schema["items"], link)),
        "object" if schema["additionalProperties"].is_object() => {
            format!("names, each with {}", shape(&schema["additionalProperties"], link))
        }
        "object" => "mapping".into(),
        "boolean" => "true or false".into(),
        "integer" => format!("whole number{}", bounds(schema)),
        "number" => format!("number{}", bounds(schema)),
        "string" if schema["format"] == "path" => "path".into(),
        "string" => "text".into(),
        _ => "any value".into(),
    }
}

fn bounds(schema: &Value) -> String {
    let least = match (&schema["minimum"], &schema["exclusiveMinimum"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, above) => Some(format!("above {}", plain(above))),
        (least, _) => Some(format!("{} or more", plain(least))),
    };
    let most = match (&schema["maximum"], &schema["exclusiveMaximum"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, below) => Some(format!("below {}", plain(below))),
        (most, _) => Some(format!("at most {}", plain(most))),
    };
    match (least, most) {
        (None, None) => String::new(),
        (Some(only), None) | (None, Some(only)) => format!(", {only}"),
        (Some(least), Some(most)) => format!(", {least}, {most}"),
    }
}

/// What it means, on one line.
pub(super) fn meaning(schema: &Value) -> String {
    let text = schema["description"].as_str().or_else(|| bare(schema)["description"].as_str()).unwrap_or_default();
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The value that it has unless it is said; empty where there is none.
pub(super) fn default(schema: &Value) -> String {
    let found = [schema, bare(schema)].into_iter().find_map(|part| part.get("default"));
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(list)) if list.is_empty() => String::new(),
        Some(Value::Object(map)) if map.is_empty() || map.len() > 3 => String::new(),
        Some(value) => format!("`{}`", plain(value)),
    }
}

/// A value as it is written in a recipe.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            if number != 0.0 && (number.abs() < 1e-3 || number.abs() >= 1e7) {
                format!("{number:e}")
            } else {
                number.to_string()
            }
        }
        Value::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let parts: Vec<String> = map.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// A table of the options of a mapping: those that must be said first.
pub(super) fn table(schema: &Value, link: &dyn Fn(&str) -> Option<String>) -> String {
    let empty = Map::new();
    let options = schema["properties"].as_object().unwrap_or(&empty);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = String::from("| key | value | unless it is said | meaning |\n|---|---|---|---|\n");
    let (first, rest): (Vec<_>, Vec<_>) = options.iter().partition(|(name, _)| required.contains(&name.as_str()));
    for (name, option) in first.into_iter().chain(rest) {
        let default = if required.contains(&name.as_str()) { "must be said".into() } else { default(option) };
        let cells = [format!("`{name}`"), shape(option, link), default, meaning(option)];
        text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    text
}

/// The anchor that a heading gets.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Text in which nothing is taken for HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut is_code = false;
    let mut kept = String::new();
    for sign in text.chars() {
        is_code ^= sign == '`';
        match sign {
            '<' if !is_code => kept.push_str("&lt;"),
            sign => kept.push(sign),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_said_in_words() {
        let rows = [
            (json!({"type": "integer", "minimum": 1}), "whole number, 1 or more"),
            (json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}), "number, 0 or more, below 1"),
            (json!({"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/Open"}]}), "true or false"),
            (json!({"type": ["array", "null"], "items": {"type": "string"}}), "list of text"),
            (json!({"oneOf": [{"const": "a"}, {"type": "null"}, {"const": "b"}]}), "`a` or `b`"),
            (json!({"$ref": "#/$defs/Loss"}), "a loss"),
        ];
        for (schema, text) in rows {
            assert_eq!(shape(&schema, &|name| (name == "Loss").then(|| "a loss".into())), text, "{schema}");
        }
    }

    #[test]
    fn a_table_begins_with_what_must_be_said() {
        let schema = json!({
            "properties": {
                "a": {"type": "number", "default": 1e-8, "description": "One of x | y, <z."},
                "b": {"type": "string"},
            },
            "required": ["b"],
        });
        let wanted = "| `b` | text | must be said |  |\n| `a` | number | `1e-8` | One of x \\| y, &lt;z. |\n";
        assert!(table(&schema, &|_| None).ends_with(wanted), "{}", table(&schema, &|_| None));
    }

    #[test]
    fn anchors_are_those_of_the_page() {
        assert_eq!(anchor("`training.average`"), "trainingaverage");
        assert_eq!(anchor("Stopping rules"), "stopping-rules");
        assert_eq!(anchor("`search run`"), "search-run");
    }
}
