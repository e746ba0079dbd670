//! Which parameters of the model itself are trained: a word, layers, or a list of both.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

#[cfg(feature = "yaml")]
use super::Fault;
use super::steering::ParameterSelection;

/// Which parameters of the model are trained. Where it has a linear head, the head is among them in all but `nothing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = one_of)]
pub enum TrainSelection {
    /// The last linear layer only.
    #[default]
    Head,
    /// The last N layers that have weights, the head included.
    Last(usize),
    /// The layers and parameters whose name matches one of these patterns (`*` any run, `?` one character), and the head.
    Match(Vec<String>),
    /// Every layer.
    All,
    /// No layer: what `methods` add is trained, and nothing else.
    Nothing,
    /// The biases of all layers, the shifts of normalizations among them, and the head (BitFit).
    Biases,
    /// The tables that rows are taken from by number, and the head.
    Embeddings,
    /// Scales and shifts of normalizations, and the head.
    Norms,
    /// All that one of these means, and the head.
    #[serde(untagged)]
    AnyOf(#[schemars(length(min = 1))] Vec<TrainPart>),
}

/// What stands in a list of what is trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TrainPart {
    /// What the word means by itself.
    Word(TrainWord),
    /// The parameters of which all holds that is stated.
    Parameters(ParameterSelection),
}

/// A word in a list of what is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainWord {
    /// Every layer.
    All,
    /// The biases of all layers, the shifts of normalizations among them.
    Biases,
    /// The tables that rows are taken from by number.
    Embeddings,
    /// The last linear layer, which is trained anyway.
    Head,
    /// Scales and shifts of normalizations.
    Norms,
}

impl TrainWord {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Biases => "biases",
            Self::Embeddings => "embeddings",
            Self::Head => "head",
            Self::Norms => "norms",
        }
    }
}

impl TrainSelection {
    /// Its parts, each with its place in a recipe, where it means parameters within layers; nothing where it means whole layers.
    pub fn parts(&self) -> Vec<(String, TrainPart)> {
        const PLACE: &str = "model.train";
        let alone = |word| vec![(PLACE.to_owned(), TrainPart::Word(word))];
        let matching =
            |patterns: &[String]| ParameterSelection { r#match: patterns.to_vec(), ..ParameterSelection::default() };
        match self {
            Self::Biases => alone(TrainWord::Biases),
            Self::Embeddings => alone(TrainWord::Embeddings),
            Self::Norms => alone(TrainWord::Norms),
            Self::AnyOf(parts) => {
                parts.iter().enumerate().map(|(at, part)| (format!("{PLACE}[{at}]"), part.clone())).collect()
            }
            // without a pattern it would mean everything
            Self::Match(patterns) if !patterns.is_empty() => {
                vec![(PLACE.to_owned(), TrainPart::Parameters(matching(patterns)))]
            }
            Self::Head | Self::Last(_) | Self::Match(_) | Self::All | Self::Nothing => Vec::new(),
        }
    }

    /// The mappings among its parts.
    pub fn selections(&self) -> Vec<ParameterSelection> {
        let of_part = |(_, part): (String, TrainPart)| match part {
            TrainPart::Word(_) => None,
            TrainPart::Parameters(selection) => Some(selection),
        };
        self.parts().into_iter().filter_map(of_part).collect()
    }

    /// What is wrong although its type allows it.
    #[cfg(feature = "yaml")]
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        let mut refuse = |place: &str, wanted: &str, got: &str| {
            faults.push(Fault::value(place, format!("wanted {wanted}, got {got}")));
        };
        match self {
            Self::Last(0) => refuse("model.train.last", "1 or more", "0"),
            Self::Match(patterns) => {
                if patterns.is_empty() {
                    refuse("model.train.match", "at least one pattern", "none");
                }
                let empty = patterns.iter().filter(|pattern| pattern.trim().is_empty());
                empty.for_each(|_| refuse("model.train.match", "some text", "nothing"));
                return;
            }
            _ => {}
        }
        for (place, part) in self.parts() {
            let TrainPart::Parameters(selection) = part else { continue };
            if selection.is_all() {
                faults.push(Fault::value(place, "it states nothing; write `all` for every layer"));
            } else {
                selection.check(&place, faults);
            }
        }
    }
}

/// A word, a mapping and a list are never the same.
fn one_of(schema: &mut Schema) {
    if let Some(forms) = schema.remove("anyOf") {
        schema.insert("oneOf".to_owned(), forms);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::recipe::ParameterKind;

    fn read(value: &Value) -> TrainSelection {
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
    }

    #[test]
    fn words_layers_and_lists_are_read_and_written_back() {
        for written in [
            json!("head"),
            json!("norms"),
            json!({"last": 3}),
            json!({"match": ["layer4.*"]}),
            json!(["norms", {"last": 1}]),
            json!(["biases", "all", {"kind": ["norms"], "first": 2}]),
        ] {
            assert_eq!(serde_json::to_value(read(&written)).unwrap(), written);
        }
        let one = ParameterSelection { kind: vec![ParameterKind::Norms], ..ParameterSelection::default() };
        assert_eq!(read(&json!([{"kind": "norms"}])), TrainSelection::AnyOf(vec![TrainPart::Parameters(one)]));
        for wrong in [json!("nroms"), json!(["nroms"]), json!([{"kid": "norms"}]), json!({"last": 1, "match": []})] {
            assert!(serde_json::from_value::<TrainSelection>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_have_their_places() {
        let places = |value| read(&value).parts().into_iter().map(|(place, _)| place).collect::<Vec<_>>();
        assert_eq!(places(json!("biases")), ["model.train"]);
        assert_eq!(places(json!(["head", {"last": 1}])), ["model.train[0]", "model.train[1]"]);
        assert_eq!(places(json!({"match": ["layer4.*"]})), ["model.train"]);
        assert!(places(json!({"last": 1})).is_empty());
        assert!(TrainSelection::Match(Vec::new()).parts().is_empty());
    }
}
