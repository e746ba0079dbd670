//! Values of a recipe as people read them in a search: short, and no two alternatives alike.

use millstream_schemas::{count, shown_up_to};
use serde_json::Value;

/// Letters of a value at most, where there is room.
pub(crate) const LONGEST_SETTING: usize = 60;

/// A value of a parameter with these alternatives, in at most so many letters: an alternative with options is told by its name where
/// no other has that name, and with its options where one has. None where the value is neither a mapping of one key nor a text.
pub fn alternative_in_words(alternatives: &[Value], value: &Value, most: usize) -> Option<String> {
    let name = name(value)?;
    let of_this_name = alternatives.iter().filter(|other| self::name(other) == Some(name)).count();
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    let has_a_value = value.as_object().and_then(|map| map.values().next()).is_some_and(is_plain);
    if of_this_name < 2 && !has_a_value {
        return Some(shown_up_to(name, most));
    }
    let words = shown_up_to(flow(value), most);
    let is_alike = |other: &&Value| *other != value && shown_up_to(flow(other), most) == words;
    match alternatives.iter().position(|other| other == value) {
        // cut, they would read alike: the place in the list tells them apart
        Some(place) if alternatives.iter().any(|other| is_alike(&other)) => {
            let number = format!(" ({})", place + 1);
            Some(shown_up_to(name, most.saturating_sub(number.len()).max(1)) + &number)
        }
        _ => Some(words),
    }
}

/// `3 values left open, 6 combinations`, of a space with so many parameters and of this size in words.
pub fn left_open_in_words(parameters: usize, size: &str) -> String {
    let combinations = if size == "1" { "combination" } else { "combinations" };
    match parameters {
        0 => "nothing left open".into(),
        _ => format!("{} left open, {size} {combinations}", count(parameters, "value")),
    }
}

/// Whether an alternative's name tells it from these others.
pub(crate) fn is_named_once(alternatives: &[Value], value: &Value) -> bool {
    let name = name(value);
    name.is_some() && alternatives.iter().filter(|other| self::name(other) == name).count() < 2
}

/// What an alternative is called: the only key of a mapping, or a text.
fn name(value: &Value) -> Option<&str> {
    match value {
        Value::Object(map) if map.len() == 1 => map.keys().next().map(String::as_str),
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// `last 2`, `adamw {beta: 0.9}`.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.len() == 1 => {
            map.iter().map(|(key, value)| format!("{key} {}", inner(value))).collect()
        }
        value => inner(value),
    }
}

fn inner(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let parts = map.iter().map(|(key, value)| format!("{key}: {}", inner(value)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alternatives_that_are_mappings_of_one_key_do_not_read_alike() {
        let rows = [
            (json!([{"last": 1}, {"last": 2}, "all"]), ["last 1", "last 2", ""]),
            (json!([{"last": 1}, "all", {"first": 2}]), ["last 1", "", "first 2"]),
            (json!([{"adamw": {"beta": 0.9}}, {"sgd": {}}, {"lion": {}}]), ["adamw", "sgd", "lion"]),
            (json!([{"sgd": {}}, "sgd", {"sgd": {"momentum": 0.9}}]), ["sgd {}", "", "sgd {moment…"]),
            (
                json!([{"adamw": {"betas": [0.9, 0.99]}}, {"adamw": {"betas": [0.9, 0.999]}}, {"adamw": {"beta": 1}}]),
                ["adamw (1)", "adamw (2)", "adamw {beta: 1…"],
            ),
        ];
        for (alternatives, wanted) in rows {
            let alternatives = alternatives.as_array().unwrap();
            let mut seen = Vec::new();
            for (value, wanted) in alternatives.iter().zip(wanted) {
                let Some(words) = alternative_in_words(alternatives, value, 14).filter(|_| value.is_object()) else {
                    continue;
                };
                assert!(!seen.contains(&words), "{words} twice in {alternatives:?}");
                assert!(words.chars().count() <= 15, "{words}");
                assert!(wanted.starts_with("sgd {m") || words == wanted, "{words}, wanted {wanted}");
                seen.push(words);
            }
        }
        assert_eq!(alternative_in_words(&[], &json!(0.5), 14), None);
    }

    #[test]
    fn a_study_of_repeats_alone_leaves_nothing_open() {
        for (parameters, size, wanted) in [
            (0, "1", "nothing left open"),
            (1, "1", "1 value left open, 1 combination"),
            (2, "infinitely many", "2 values left open, infinitely many combinations"),
        ] {
            assert_eq!(left_open_in_words(parameters, size), wanted);
        }
    }
}
