use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;
use serde_json::Value;

use crate::transform::Transform;
use crate::{batch, combine, image, text};

/// Every transform of this crate, by kind, then by name.
pub fn table() -> &'static [Transform] {
    static TABLE: OnceLock<Vec<Transform>> = OnceLock::new();
    TABLE.get_or_init(|| [image::TABLE, text::TABLE, batch::TABLE, combine::TABLE].concat())
}

/// The catalog of this crate's transforms. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<Transform> {
    static CATALOG: OnceLock<Catalog<Transform>> = OnceLock::new();
    CATALOG.get_or_init(|| Catalog::new(table().iter().copied()))
}

/// JSON Schema of one item of a list of transforms.
///
/// Refers to itself as `#/$defs/Transform`: put it there.
pub fn transform_schema() -> Value {
    standard().schema()
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;
    use serde_json::json;

    use super::*;
    use crate::chain::Chain;

    #[test]
    fn rows_are_whole_and_in_order() {
        for folder in [image::TABLE, text::TABLE, batch::TABLE, combine::TABLE] {
            assert!(folder.windows(2).all(|pair| pair[0].name < pair[1].name), "rows stand in alphabetical order");
        }
        for row in table() {
            assert_eq!(table().iter().filter(|other| other.name == row.name).count(), 1, "{}: once", row.name);
            assert!(!row.samples.is_empty(), "{}: samples", row.name);
            assert!(row.documentation.len() > row.summary.len(), "{}: documentation", row.name);
            assert!(row.summary.ends_with('.') && !row.summary.contains('\n'), "{}: one line", row.name);
            let schema = row.schema();
            for (option, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let text = schema.to_string();
                assert!(text.contains("description"), "{}.{option} has no description: {text}", row.name);
            }
        }
    }

    /// A name alone, and a name with nothing behind its colon, are in the schema where they load, and only there.
    #[test]
    fn names_alone_are_in_the_schema_where_they_load() {
        let schema = transform_schema();
        let choices = schema["oneOf"].as_array().unwrap();
        for row in table() {
            let loads = Chain::parse(&[Choice::new(row.name, json!({}))]).is_ok();
            assert_eq!(choices.iter().any(|choice| choice["const"] == row.name), loads, "{}", row.name);
            let options = choices.iter().find_map(|choice| choice["properties"].get(row.name)).unwrap();
            let null = options["anyOf"].as_array().is_some_and(|any| any.contains(&json!({"type": "null"})));
            assert_eq!(null, loads, "{}", row.name);
        }
    }
}
