use schemars::Schema;
use serde_json::Value;

/// Writes the defaults of a schema as people would: 0.001, not the f64 next to the f32 that is next to 0.001.
pub(super) fn short(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        object.iter_mut().for_each(|(key, value)| shorten(value, key == "default"));
    }
}

fn shorten(value: &mut Value, default: bool) {
    match value {
        Value::Number(number) if default => {
            let exact = number.as_f64().filter(|exact| f64::from(*exact as f32) == *exact && exact.fract() != 0.0);
            if let Some(Ok(short)) = exact.map(|exact| (exact as f32).to_string().parse::<f64>()) {
                *value = short.into();
            }
        }
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| shorten(value, default || key == "default")),
        Value::Array(list) => list.iter_mut().for_each(|value| shorten(value, default)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Recipe;

    #[test]
    fn defaults_are_written_as_people_would() {
        let schema = schemars::schema_for!(Recipe).to_value();
        let training = &schema["properties"]["training"]["default"];
        assert_eq!((&training["optimizer"], &training["layer_decay"]), (&json!("adamw"), &json!(1.0)));
        assert!(!schema.to_string().contains("00000004"), "{schema}");
    }
}
