use std::collections::BTreeMap;

use serde_json::Value;

use super::report::SettingDifference;

/// Where its results lie is no setting of a run.
const APART: [&str; 1] = ["output.folder"];

/// The leaves in which values differ, in the order of their places.
pub(super) fn differing(values: &[Value]) -> Vec<SettingDifference> {
    let leaves: Vec<BTreeMap<String, &Value>> = values.iter().map(leaves).collect();
    let mut places: Vec<&String> = leaves.iter().flat_map(BTreeMap::keys).collect();
    places.sort_unstable();
    places.dedup();
    let mut found = Vec::new();
    for place in places.into_iter().filter(|place| !APART.contains(&place.as_str())) {
        let values: Vec<Option<&Value>> = leaves.iter().map(|leaves| leaves.get(place).copied()).collect();
        // null and an empty mapping are what is left out
        let is_said = |value: &Value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty());
        let said = |value: &Option<&Value>| value.filter(|value| is_said(value)).cloned();
        let values: Vec<Option<Value>> = values.iter().map(said).collect();
        if values.iter().any(|value| *value != values[0]) {
            found.push(SettingDifference { place: place.clone(), values });
        }
    }
    found
}

fn leaves(value: &Value) -> BTreeMap<String, &Value> {
    fn walk<'a>(value: &'a Value, place: String, into: &mut BTreeMap<String, &'a Value>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    walk(value, if place.is_empty() { key.clone() } else { format!("{place}.{key}") }, into);
                }
            }
            Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
                for (at, value) in list.iter().enumerate() {
                    walk(value, format!("{place}[{at}]"), into);
                }
            }
            leaf => {
                into.insert(place, leaf);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(value, String::new(), &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_leaves_that_differ_are_told() {
        let one = json!({"seed": 1, "training": {"epochs": 3, "optimizer": {"adamw": {"learning_rate": 0.01}}},
            "transforms": {"train": [{"rotate": {"degrees": 10}}, "horizontal_flip"]}, "output": {"folder": "a"},
            "model": {"path": "m", "train": null}});
        let other = json!({"seed": 2, "training": {"epochs": 3, "optimizer": {"sgd": {"learning_rate": 0.01}}},
            "transforms": {"train": [{"rotate": {"degrees": 20}}]}, "output": {"folder": "b"}, "model": {"path": "m"}});
        let found = differing(&[one.clone(), other, one]);
        let found: Vec<(&str, String)> =
            found.iter().map(|found| (found.place.as_str(), serde_json::to_string(&found.values).unwrap())).collect();
        let wanted = [
            ("seed", "[1,2,1]"),
            ("training.optimizer.adamw.learning_rate", "[0.01,null,0.01]"),
            ("training.optimizer.sgd.learning_rate", "[null,0.01,null]"),
            ("transforms.train[0].rotate.degrees", "[10,20,10]"),
            ("transforms.train[1]", "[\"horizontal_flip\",null,\"horizontal_flip\"]"),
        ];
        assert_eq!(found, wanted.map(|(place, values)| (place, values.to_owned())));
    }
}
