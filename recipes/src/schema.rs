use millstream_schemas::Recipe;
use millstream_transforms::transform_schema;
use serde_json::Value;

/// JSON Schema of a recipe, every transform with its options included. Editors complete and check recipes with it.
pub fn recipe_schema() -> Value {
    let mut schema = schemars::schema_for!(Recipe).to_value();
    schema["$defs"]["Transform"] = transform_schema();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = recipe_schema();
        let mut open = vec![&schema];
        let mut references = 0;
        while let Some(value) = open.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let place = reference.strip_prefix('#').expect("references stay inside");
                assert!(schema.pointer(place).is_some(), "{reference}");
                references += 1;
            }
            match value {
                Value::Object(map) => open.extend(map.values()),
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
        assert!(references > 10);
        assert!(schema.to_string().contains("horizontal_flip"));
    }
}
