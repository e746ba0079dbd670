//! What the schema of a method's options takes is what the method takes.

use std::collections::BTreeSet;

use millstream_compiler::finetuning::methods;
use millstream_schemas::choice::Row;
use serde_json::{Value, json};

fn is_of(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
}

const BOUNDS: [&str; 4] = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"];

/// Whether a number is one that the schema of a number takes.
fn takes(schema: &Value, value: &Value) -> bool {
    let number = value.as_f64().unwrap();
    let [least, above, most, below] = BOUNDS.map(|key| schema[key].as_f64());
    (!is_of(schema, "integer") || !value.is_f64())
        && least.is_none_or(|least| number >= least)
        && above.is_none_or(|above| number > above)
        && most.is_none_or(|most| number <= most)
        && below.is_none_or(|below| number < below)
        && schema["enum"].as_array().is_none_or(|all| all.contains(value))
        && schema["not"]["const"].as_f64().is_none_or(|other| number != other)
}

/// Numbers around the bounds of a schema, and some that no bound of another should be at.
fn probes(schema: &Value) -> Vec<Value> {
    let around = |limit: f64| [limit - 1.0, limit, limit + 1.0].map(|number| json!(number as i64));
    let mut probes: Vec<Value> = BOUNDS.iter().filter_map(|key| schema[key].as_f64()).flat_map(around).collect();
    probes.extend([-1, 0, 1, 2, 3, 4, 16, 17, 1024, 1025, 1 << 14, 1 << 30].map(|number| json!(number)));
    probes.extend([-0.5, 0.5, 1.5].map(|number| json!(number)));
    probes
}

/// The schema of the option of this name, wherever it lies.
fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(map) => {
            let own = map.get("properties").and_then(|properties| properties.get(name));
            own.or_else(|| map.values().find_map(|part| property(part, name)))
        }
        Value::Array(parts) => parts.iter().find_map(|part| property(part, name)),
        _ => None,
    }
}

#[test]
fn numbers_that_the_schema_takes_are_those_that_are_taken() {
    for row in methods::standard().rows() {
        let schema = row.schema();
        let is_number = |schema: &Value| is_of(schema, "integer") || is_of(schema, "number");
        let numbers = schema["properties"].as_object().unwrap().iter().filter(|(_, schema)| is_number(schema));
        let mut left: BTreeSet<&String> = numbers.map(|(name, _)| name).collect();
        for sample in row.samples {
            let sample: Value = serde_json::from_str(sample).unwrap();
            for (option, given) in sample.as_object().unwrap() {
                let schema = &schema["properties"][option];
                left.remove(option);
                // a number, or one for each of several patterns
                let parts: Vec<(Option<&String>, &Value)> = match given {
                    Value::Number(_) => vec![(None, schema)],
                    Value::Object(map) if schema["additionalProperties"].is_object() => {
                        map.keys().map(|key| (Some(key), &schema["additionalProperties"])).collect()
                    }
                    _ => Vec::new(),
                };
                for (key, schema) in parts {
                    for probe in probes(schema) {
                        let mut options = sample.clone();
                        match key {
                            Some(key) => options[option][key] = probe.clone(),
                            None => options[option] = probe.clone(),
                        }
                        let wanted = takes(schema, &probe);
                        assert_eq!(row.accepts(&options), wanted, "{}: {options}, schema {schema}", row.name);
                    }
                }
            }
        }
        assert!(left.is_empty(), "{}: no sample has {left:?}", row.name);
    }
}

#[test]
fn lists_and_texts_that_hold_nothing_are_refused_by_the_schema_too() {
    for (method, option, options, key, bound) in [
        ("lora", "match", json!({"layers": {"match": []}}), "minItems", json!(1)),
        ("lora", "roles", json!({"layers": {"roles": []}}), "minItems", json!(1)),
        ("ia3", "match", json!({"feed_forward": {"match": []}}), "minItems", json!(1)),
        ("prompt_tuning", "tokens", json!({"start": {"tokens": []}}), "minItems", json!(1)),
        ("prompt_tuning", "text", json!({"start": {"text": ""}}), "minLength", json!(1)),
    ] {
        let row = methods::standard().rows().iter().find(|row| row.name == method).unwrap();
        let schema = row.schema();
        let schema = property(&schema, option).unwrap();
        assert_eq!(schema[key], bound, "{method}.{option}: {schema}");
        assert!(!row.accepts(&options), "{method}: {options}");
    }
    let row = methods::standard().rows().iter().find(|row| row.name == "prompt_tuning").unwrap();
    let schema = row.schema();
    assert_eq!(property(&schema, "tokens").unwrap()["items"]["minimum"], json!(0));
    assert!(!row.accepts(&json!({"start": {"tokens": [-1]}})));
}
