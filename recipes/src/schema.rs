use millstream_schemas::recipe::Definitions;
use millstream_training::{optimizers, schedules};
use millstream_transforms::transform_schema;
use serde_json::Value;

/// JSON Schema of a recipe, every row of every catalog with its options included. Editors complete and check recipes with it.
pub fn recipe_schema() -> Value {
    definitions().with("Transform", transform_schema()).recipe_schema()
}

/// What a recipe is checked against before anything else. Transforms are not in it: their lists check themselves, and know
/// what other libraries call them.
pub(crate) fn definitions() -> Definitions {
    Definitions::default()
        .with("Optimizer", optimizers::standard().schema())
        .with("Schedule", schedules::standard().schema())
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
