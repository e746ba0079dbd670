//! A setting of a record as a recipe writes it.

use millstream_schemas::shown_up_to;
use serde_json::{Deserializer, Map, Value};

/// Letters that a line is cut to.
const LONGEST: usize = 2000;
/// Words that YAML would take for something else.
const NOT_PLAIN: [&str; 10] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes", "~"];

/// As YAML, where the record has JSON, or names with JSON: a list has a line for each item. All else is as it is.
pub(super) fn in_yaml(setting: &str) -> String {
    let lines = lines(setting).unwrap_or_else(|| vec![setting.to_owned()]);
    lines.iter().map(|line| shown_up_to(line, LONGEST)).collect::<Vec<_>>().join("\n")
}

/// Which layers have which multiple of the rate, as `fc (10 times)`; as YAML where the record says something else.
pub(super) fn multiples_in_words(setting: &str) -> String {
    let one = |value: &Value| {
        let (layers, factor) = (value["match"].as_str()?, value["multiplier"].as_f64()?);
        Some(format!("{layers} ({factor} times)"))
    };
    let words = serde_json::from_str::<Vec<Value>>(setting).ok();
    let words = words.and_then(|values| values.iter().map(one).collect::<Option<Vec<String>>>());
    words.map_or_else(|| in_yaml(setting), |words| shown_up_to(words.join(", "), LONGEST))
}

/// What a choice is called: the text, or the only key of a mapping.
pub(super) fn name_of_choice(setting: &str) -> Option<String> {
    match serde_json::from_str::<Value>(setting).ok()? {
        Value::String(name) => Some(name),
        Value::Object(fields) if fields.len() == 1 => fields.keys().next().cloned(),
        _ => None,
    }
}

fn lines(setting: &str) -> Option<Vec<String>> {
    match serde_json::from_str::<Value>(setting) {
        Ok(Value::Object(fields)) if !fields.is_empty() => {
            return Some(fields.iter().map(|(name, value)| format!("{}: {}", text(name), flow(value))).collect());
        }
        Ok(Value::String(text)) => return Some(vec![text]),
        Ok(Value::Array(items)) if !items.is_empty() => return Some(items_of(&items)),
        Ok(value) => return Some(vec![flow(&value)]),
        Err(_) => {}
    }
    // a chain, whose items stand one after the other
    if setting.starts_with(['{', '"']) {
        return serde_json::from_str::<Vec<Value>>(&format!("[{setting}]")).ok().map(|items| items_of(&items));
    }
    named(setting)
}

fn items_of(items: &[Value]) -> Vec<String> {
    let item = |value: &Value| match value {
        Value::Object(fields) if fields.len() == 1 => format!("- {}", fields_of(fields)),
        other => format!("- {}", flow(other)),
    };
    items.iter().map(item).collect()
}

/// `name: JSON, name: JSON`.
fn named(setting: &str) -> Option<Vec<String>> {
    let (mut rest, mut lines) = (setting, Vec::new());
    while !rest.is_empty() {
        let (name, value) = rest.split_once(": ")?;
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return None;
        }
        let mut values = Deserializer::from_str(value).into_iter::<Value>();
        lines.push(format!("{name}: {}", flow(&values.next()?.ok()?)));
        rest = &value[values.byte_offset()..];
        rest = if rest.is_empty() { rest } else { rest.strip_prefix(", ")? };
    }
    Some(lines)
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(said) => text(said),
        Value::Object(fields) => format!("{{{}}}", fields_of(fields)),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn fields_of(fields: &Map<String, Value>) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}: {}", text(name), flow(value))).collect();
    fields.join(", ")
}

/// In quotes where YAML would read something else without.
fn text(said: &str) -> String {
    let is_plain = said.starts_with(|letter: char| letter.is_alphabetic() || "_/.".contains(letter))
        && said.chars().all(|letter| letter.is_alphanumeric() || "_-./ ".contains(letter))
        && !said.ends_with(' ')
        && !NOT_PLAIN.contains(&said.to_lowercase().as_str());
    if is_plain { said.to_owned() } else { Value::from(said).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_of_the_rate_and_names_of_losses_are_words_in_prose() {
        let multiples = r#"[{"match":"fc","multiplier":10.0},{"match":"layer4.*","multiplier":0.5}]"#;
        assert_eq!(multiples_in_words(multiples), "fc (10 times), layer4.* (0.5 times)");
        assert_eq!(multiples_in_words("of an older build"), "of an older build");
        assert_eq!(name_of_choice(r#"{"focal":{"gamma":2.0}}"#).as_deref(), Some("focal"));
        assert_eq!(name_of_choice(r#""mse""#).as_deref(), Some("mse"));
        assert_eq!(name_of_choice("mse"), None);
    }

    #[test]
    fn settings_are_shown_as_yaml_and_not_as_json() {
        for (setting, wanted) in [
            (r#"{"adamw":{"beta1":0.9,"epsilon":1e-8}}"#, "adamw: {beta1: 0.9, epsilon: 1e-8}"),
            (
                r#"{"random_resized_crop":{"size":64,"area":[0.5,1.0]}}, "horizontal_flip", {"rotate":{"degrees":10}}"#,
                "- random_resized_crop: {size: 64, area: [0.5, 1.0]}\n- horizontal_flip\n- rotate: {degrees: 10}",
            ),
            (r#"batch_normalization: "frozen", dropout: "off""#, "batch_normalization: frozen\ndropout: \"off\""),
            (r#"early_stopping: {"patience":5,"least_gain":0.0}"#, "early_stopping: {patience: 5, least_gain: 0.0}"),
            (r#""all""#, "all"),
            (r#""constant", {"a":"x: y"}"#, "- constant\n- a: \"x: y\""),
            ("/data/a, b.parquet", "/data/a, b.parquet"),
            ("16", "16"),
            ("none", "none"),
            ("adamw <b>", "adamw <b>"),
            ("a: {\u{1b}[31m", "a: {\\u{1b}[31m"),
            ("", ""),
        ] {
            assert_eq!(in_yaml(setting), wanted, "{setting}");
        }
    }
}
