//! Values as a recipe writes them.

use serde_json::Value;

use crate::shown_up_to;

/// A value on one line of YAML, as a person would write it: `{size: [8, 8], kernel: area}`.
///
/// ```
/// use millstream_schemas::recipe::flow;
/// use serde_json::json;
/// assert_eq!(flow(&json!({"size": [8, 8], "name": "a b", "odd": "a: b", "seven": "7"})),
///            "{size: [8, 8], name: a b, odd: 'a: b', seven: '7'}");
/// ```
pub fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// What was found, for messages: `fast` for text, other values as they are written.
pub fn got(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) if !is_plain(text) && is_other_when_plain(text) => {
            format!("the text `{}` (quotes make text of it)", shown_up_to(text, LONGEST))
        }
        Value::String(text) => format!("`{}`", shown_up_to(text, LONGEST)),
        other => shown_up_to(flow(other), LONGEST),
    }
}

/// Lines of a recipe that put a value at a place, each indented by `indent` blanks.
#[cfg(feature = "yaml")]
pub(super) fn lines(place: &str, value: &str, indent: usize) -> String {
    let keys: Vec<&str> = place.split('.').collect();
    let mut text = String::new();
    for (depth, key) in keys.iter().enumerate() {
        let blanks = " ".repeat(indent + 2 * depth);
        let end = if depth + 1 == keys.len() { format!(" {value}") } else { "\n".into() };
        text.push_str(&format!("{blanks}{key}:{end}"));
    }
    text
}

fn scalar(text: &str) -> String {
    if is_plain(text) { text.into() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Whether YAML reads the text back as this text when it stands without quotes, inside a flow list too.
fn is_plain(text: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || " _-./*?+~%$@()".contains(letter);
    !text.is_empty()
        && text.trim() == text
        && text.starts_with(|first: char| first.is_alphabetic() || "_./(".contains(first))
        && text.chars().all(plain)
        && !is_other_when_plain(text)
}

/// Whether it would be a number, a truth value or nothing without quotes.
fn is_other_when_plain(text: &str) -> bool {
    text.parse::<f64>().is_ok()
        || matches!(
            text.to_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "~" | ".nan"
        )
}
