use serde_json::Value;

/// Dotted path and both values of the first place where two values differ.
pub(crate) fn first_difference(then: &Value, now: &Value, place: &str) -> Option<(String, String, String)> {
    differences(then, now, place).into_iter().next()
}

/// Dotted path and both values of each place where two values differ.
pub(crate) fn differences(then: &Value, now: &Value, place: &str) -> Vec<(String, String, String)> {
    if let (Value::Object(a), Value::Object(b)) = (then, now) {
        let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        let of = |key: &String| {
            let inner = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            differences(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), &inner)
        };
        return keys.flat_map(of).collect();
    }
    if let (Value::Array(a), Value::Array(b)) = (then, now)
        && a.len() == b.len()
    {
        let pairs = a.iter().zip(b).enumerate();
        return pairs.flat_map(|(index, (a, b))| differences(a, b, &format!("{place}[{index}]"))).collect();
    }
    if then == now { Vec::new() } else { vec![(place.to_owned(), show(then), show(now))] }
}

pub(crate) fn show(value: &Value) -> String {
    let text = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    if text.chars().count() <= 120 { text } else { text.chars().take(120).chain(['…']).collect() }
}
