//! What an encoder learned of the training rows, held against what one of other rows was given of it.

use std::path::Path;

use millstream_schemas::{Choice, shown, shown_path, shown_up_to};
use serde_json::Value as Json;

use crate::PipelineError;

/// Characters of a value in a message.
const SHOWN: usize = 200;

/// Refuses an encoder that does not read rows as the training rows were read: `then` is what was learned of those, `now` what it
/// has. `paths` are the options of its choice that are paths of files.
///
/// # Errors
/// They differ; with the file where the choice names one, both values, and what to do.
pub(super) fn require_same(
    tensor: &str,
    choice: &Choice,
    paths: &[String],
    [then, now]: [&Json; 2],
) -> Result<(), PipelineError> {
    let Some((what, then, now)) = difference(then, now) else { return Ok(()) };
    let files = paths.iter().filter_map(|option| choice.options.get(option)?.as_str());
    let files: Vec<String> = files.map(|file| shown_path(Path::new(file))).collect();
    let reason = match files.as_slice() {
        [] => format!(
            "its {what} would be {now}, and in training it was {then}; state the options of `{}` as they were then, or train anew",
            shown(&choice.name)
        ),
        files => format!(
            "{} is not the file that the training rows were read with ({what} is {now} here, and was {then}); put that one back, \
             or train with this one",
            files.join(", ")
        ),
    };
    Err(PipelineError::Learned { tensor: tensor.to_owned(), reason })
}

/// What the first thing is that differs, with both values, in words.
fn difference(then: &Json, now: &Json) -> Option<(String, String, String)> {
    if is_same(then, now) {
        return None;
    }
    let in_words = |value: Option<&Json>| match value {
        None | Some(Json::Null) => "nothing".to_owned(),
        Some(Json::String(text)) => shown_up_to(text, SHOWN),
        Some(value) => shown_up_to(value.to_string(), SHOWN),
    };
    if let (Json::Object(a), Json::Object(b)) = (then, now) {
        let differs = |key: &&String| match (a.get(*key), b.get(*key)) {
            (Some(a), Some(b)) => !is_same(a, b),
            _ => true,
        };
        let key = a.keys().chain(b.keys()).find(differs)?;
        return Some((format!("`{}`", shown(key)), in_words(a.get(key)), in_words(b.get(key))));
    }
    Some(("part".to_owned(), in_words(Some(then)), in_words(Some(now))))
}

/// Whether two values are one. Fractions are as the encoders hold them, floats of 32 bits: a text of them may have fewer digits.
fn is_same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(one), Json::Number(other)) => {
            let as_float = |number: &serde_json::Number| number.as_f64().map(|number| (number as f32).to_bits());
            one == other || (one.is_f64() || other.is_f64()) && as_float(one) == as_float(other)
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_learned_is_the_same_by_what_it_holds() {
        let long = f64::from(0.1_f32);
        for (then, now, wanted) in [
            (json!({}), json!({}), None),
            (json!({"a": 1, "b": ["x"]}), json!({"b": ["x"], "a": 1}), None),
            (json!({"fill": [0.1, 1]}), json!({"fill": [long, 1.0]}), None),
            (json!({"fill": [0.1]}), json!({"fill": [0.2]}), Some(["`fill`", "[0.1]", "[0.2]"])),
            (json!({"length": 3}), json!({"length": 4}), Some(["`length`", "3", "4"])),
            (json!({"values": ["a", 7]}), json!({"values": ["a"]}), Some(["`values`", "[\"a\",7]", "[\"a\"]"])),
            (json!({"tokenizer": "f00"}), json!({"tokenizer": "ba5"}), Some(["`tokenizer`", "f00", "ba5"])),
            (json!({"scale": [[1], [2]]}), json!({}), Some(["`scale`", "[[1],[2]]", "nothing"])),
            (json!(["a"]), json!({}), Some(["part", "[\"a\"]", "{}"])),
        ] {
            let wanted = wanted.map(|[what, then, now]| (what.to_owned(), then.to_owned(), now.to_owned()));
            assert_eq!(difference(&then, &now), wanted, "{then} {now}");
        }
    }
}
