//! What an input of a model, or a target, is made of, as the model's file says it.

use std::collections::BTreeSet;

use millstream_schemas::{Choice, Standardization, shown, shown_up_to};
use serde::{Deserialize, Serialize};

use crate::Catalogs;

/// Options that say nothing of the values that a row has: where they lie, and how far batches are filled up.
const NOT_OF_VALUES: [&str; 2] = ["column", "pad_to_multiple_of"];

/// What an input of the model, or a target, is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TensorEncoding {
    /// With every default filled in.
    pub(crate) encoding: Choice,
    /// Of a row; null where it differs.
    pub(crate) shape: Vec<Option<usize>>,
    /// What it learned of the training rows.
    pub(crate) learned: serde_json::Value,
}

impl TensorEncoding {
    /// What a recipe makes an input of this name of otherwise, in words; `learned` is what its encoding knows.
    pub(crate) fn differences(
        &self,
        name: &str,
        ours: &Choice,
        learned: Option<&serde_json::Value>,
        catalogs: &Catalogs,
    ) -> Vec<String> {
        let (theirs, name) = (&self.encoding, shown(name));
        if theirs.name != ours.name {
            return vec![format!(
                "input `{name}`: the model was trained with `{}`, this recipe has `{}`",
                shown(&theirs.name),
                shown(&ours.name)
            )];
        }
        // what an older build has not written down is as usual; of what this one does not know nothing can be said
        let kind = catalogs.encodings.find(ours, "data.inputs").ok();
        let whole = kind.and_then(|kind| kind.with_defaults(&theirs.options).ok());
        let (is_known, theirs) = (whole.is_some(), whole.unwrap_or_else(|| theirs.options.clone()));
        let options = |encoding: &serde_json::Value| -> Vec<String> {
            encoding.as_object().into_iter().flat_map(|options| options.keys().cloned()).collect()
        };
        let all: BTreeSet<String> = options(&theirs).into_iter().chain(options(&ours.options)).collect();
        let differs = |option: String| {
            let (theirs, ours) = (theirs.get(&option), ours.options.get(&option));
            let known = |learned: &serde_json::Value| learned.get(&option).cloned();
            // a file is what is in it, wherever it lies
            let file = ours.filter(|ours| ours.is_string());
            if let Some(((then, now), file)) = known(&self.learned).zip(learned.and_then(known)).zip(file) {
                let said =
                    || format!("input `{name}`: the model was trained with another `{option}` than {file} is now");
                return (then != now).then(said);
            }
            if NOT_OF_VALUES.contains(&option.as_str()) || theirs == ours {
                return None;
            }
            if !is_known && (theirs.is_none() || ours.is_none()) {
                return None;
            }
            let told = |value: Option<&serde_json::Value>| match value {
                Some(value) => format!("`{option}: {}`", shown_up_to(value.to_string(), 100)),
                None => format!("the usual `{option}`"),
            };
            Some(format!("input `{name}`: the model was trained with {}, this recipe has {}", told(theirs), told(ours)))
        };
        all.into_iter().filter_map(differs).collect()
    }

    /// Whether what it learned is done inside the model, which takes numbers as they are.
    pub(crate) fn is_inside(&self) -> bool {
        self.learned.is_object() && serde_json::from_value::<Standardization>(self.learned.clone()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_that_a_recipe_makes_otherwise_than_in_training_are_told() {
        let print = |tokenizer: &str| json!({ "tokenizer": tokenizer });
        let of = |name: &str, options: serde_json::Value, learned: serde_json::Value| TensorEncoding {
            encoding: Choice::new(name, options),
            shape: vec![None],
            learned,
        };
        let tokens = |options: serde_json::Value| {
            let mut whole = json!({
                "column": "text", "tokenizer": "/a/t.json", "max_length": 64, "pad_to_multiple_of": 8, "special_tokens": true,
                "attention_mask": "attention_mask", "token_type_ids": "token_type_ids",
            });
            whole.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
            Choice::new("token_ids", whole)
        };
        let of_tokens = |options: serde_json::Value| of("token_ids", tokens(options).options, print("1a"));
        let moved = || tokens(json!({"column": "words", "tokenizer": "/b/t.json", "pad_to_multiple_of": 1}));
        let image = |options: serde_json::Value| Choice::new("image", options);
        let older =
            of("token_ids", json!({"tokenizer": "/a/t.json", "max_length": 64, "of_a_newer_build": 1}), print("1a"));
        for (theirs, ours, learned, wanted) in [
            (of_tokens(json!({})), moved(), print("1a"), None),
            (of_tokens(json!({})), moved(), print("2b"), Some("with another `tokenizer` than \"/b/t.json\"")),
            (
                of_tokens(json!({})),
                tokens(json!({"max_length": 32})),
                print("1a"),
                Some("input `x`: the model was trained with `max_length: 64`, this recipe has `max_length: 32`"),
            ),
            (older, tokens(json!({"special_tokens": false})), print("1a"), None),
            (
                of_tokens(json!({})),
                Choice::named("text"),
                json!(null),
                Some("with `token_ids`, this recipe has `text`"),
            ),
            // what is usual is not written down
            (
                of("image", json!({"values": "uint8"}), json!(null)),
                image(json!({"channels": 3})),
                json!(null),
                Some("trained with `values: \"uint8\"`, this recipe has the usual `values`"),
            ),
            (of("image", json!({"channels": 3}), json!(null)), image(json!({"channels": 3})), json!(null), None),
        ] {
            let found = theirs.differences("x", &ours, Some(&learned), &Catalogs::default());
            assert_eq!(found.len(), usize::from(wanted.is_some()), "{ours:?}: {found:?}");
            assert!(wanted.is_none_or(|wanted| found[0].contains(wanted)), "{wanted:?}: {found:?}");
        }
    }
}
