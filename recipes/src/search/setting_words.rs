//! Values of a recipe as people read them in a search: short, and no two alternatives alike.

use millstream_schemas::{count, decimal, shown_up_to};
use serde_json::Value;

/// Letters of a value at most, where there is room.
pub(crate) const LONGEST_SETTING: usize = 60;

/// A value of a parameter with these alternatives, in at most so many letters: an alternative with options is told by its name where
/// no other has that name, and with its options where one has; a list that is too long by what differs from the others. None where the value
/// is neither a mapping of one key nor a text, and short enough as it is.
pub fn alternative_in_words(alternatives: &[Value], value: &Value, most: usize) -> Option<String> {
    let Some(name) = name(value) else { return told_apart(alternatives, value, most) };
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

/// A value of a recipe as a cell shows it, among these alternatives where there are any: numbers with four digits that count, what is text
/// without quotes and in at most so many letters.
pub fn setting_in_words(alternatives: &[Value], value: &Value, most: usize) -> String {
    if let Value::Number(number) = value {
        let float = number.as_f64().filter(|_| !number.is_i64() && !number.is_u64());
        return float.map_or_else(|| number.to_string(), four_digits);
    }
    alternative_in_words(alternatives, value, most).unwrap_or_else(|| value.to_string())
}

/// A value of a recipe to its end, with all options of an alternative and all digits of a number: `lora {rank: 4, alpha: 8}`.
pub fn whole_setting(value: &Value) -> String {
    let has_no_options = |options: &Value| options.as_object().is_some_and(serde_json::Map::is_empty);
    match value.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next()) {
        Some((name, options)) if has_no_options(options) => name.clone(),
        _ => flow(value),
    }
}

/// `8.092e-4`, `0.05`, `1.5`.
fn four_digits(value: f64) -> String {
    let (number, power) = match value.abs() {
        size if size > 0.0 && !(1e-3..1e5).contains(&size) => {
            let text = format!("{value:.3e}");
            text.split_once('e')
                .map_or((text.clone(), String::new()), |(number, power)| (number.into(), format!("e{power}")))
        }
        _ => (decimal(value), String::new()),
    };
    match number.contains('.') {
        true => format!("{}{power}", number.trim_end_matches('0').trim_end_matches('.')),
        false => number + &power,
    }
}

/// A list or a mapping of several keys that is longer than so many letters, from where it begins to differ from the alternative that is most
/// like it: `…rank: 4}}]`; with its place where even so it would read as another.
fn told_apart(alternatives: &[Value], value: &Value, most: usize) -> Option<String> {
    if !(value.is_array() || value.is_object()) || value.to_string().chars().count() <= most {
        return None;
    }
    let words = from_difference(alternatives, value, most);
    let is_alike = |other: &Value| other != value && from_difference(alternatives, other, most) == words;
    match alternatives.iter().position(|other| other == value) {
        Some(place) if alternatives.iter().any(is_alike) => {
            let number = format!(" ({})", place + 1);
            Some(shown_up_to(&words, most.saturating_sub(number.len()).max(1)) + &number)
        }
        _ => Some(words),
    }
}

fn from_difference(alternatives: &[Value], value: &Value, most: usize) -> String {
    let whole: Vec<char> = flow(value).chars().collect();
    let shared =
        |other: &Value| whole.iter().zip(flow(other).chars()).take_while(|(own, other)| **own == *other).count();
    let others = alternatives.iter().filter(|other| *other != value);
    let shared = others.map(shared).max().unwrap_or(0).min(whole.len());
    // what differs within the letters that are shown needs nothing left out
    if shared + 1 < most {
        return shown_up_to(whole.iter().collect::<String>(), most);
    }
    // the whole name of what differs
    let start = whole[..shared].iter().rposition(|letter| ",[{".contains(*letter)).map_or(0, |at| at + 1);
    let rest: String = whole[start..].iter().collect();
    format!("…{}", shown_up_to(rest.trim_start(), most.saturating_sub(1).max(1)))
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
    fn lists_that_begin_alike_are_told_by_what_differs() {
        let list = |rank: u64| json!([{"lora": {"targets": ["query", "value"], "rank": rank}}]);
        let alternatives = [list(4), list(8), json!([])];
        let words = |at: usize| alternative_in_words(&alternatives, &alternatives[at], 14);
        let (first, second) = (words(0).unwrap(), words(1).unwrap());
        assert!(first.contains("rank: 4") && second.contains("rank: 8"), "{first} {second}");
        assert!(first.starts_with('…') && first.chars().count() <= 16, "{first}");
        assert_eq!(words(2), None, "it is short enough as it is");
    }

    #[test]
    fn what_the_winner_has_is_told_to_its_end() {
        let layers: Vec<String> = (0..40).map(|at| format!("conv{at}")).collect();
        for (value, wanted) in [
            (
                json!([{"lora": {"rank": 4, "layers": {"match": layers}, "use": true}}]),
                format!("[{{lora: {{rank: 4, layers: {{match: [{}]}}, use: true}}}}]", layers.join(", ")),
            ),
            (json!({"adamw": {"beta": 0.9}}), "adamw {beta: 0.9}".into()),
            (json!({"sgd": {}}), "sgd".into()),
            (json!("all"), "all".into()),
            (json!(0.000_809_194_568_480_620_8), "0.0008091945684806208".into()),
        ] {
            assert_eq!(whole_setting(&value), wanted);
        }
    }

    #[test]
    fn rates_that_were_drawn_have_four_digits_that_count() {
        for (value, wanted) in [
            (json!(0.000_809_194_568_480_620_8), "8.092e-4"),
            (json!(0.049_147_5), "0.0491"),
            (json!(1e-5), "1e-5"),
            (json!(0.0), "0"),
            (json!(250_000.5), "2.5e5"),
            (json!(16), "16"),
            (json!("all"), "all"),
            (json!(true), "true"),
        ] {
            assert_eq!(setting_in_words(&[], &value, 40), wanted, "{value}");
        }
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
