//! YAML that is no recipe.

use serde_json::Value;

/// What a YAML text says.
///
/// # Errors
/// It is no YAML; the text says at which line.
pub fn value(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str::<Value>(text).map_err(|error| {
        let line = error.location().map_or_else(String::new, |place| format!("line {}: ", place.line()));
        format!("{line}it is no YAML; a key and a text are written `key: text`, a longer text behind `key: |` on indented lines")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_line() {
        assert_eq!(value("a: 1\nb: x").unwrap(), serde_json::json!({"a": 1, "b": "x"}));
        assert!(value("a: 1\nb: [").unwrap_err().starts_with("line "));
    }
}
