//! What happens to images before a model sees them, as a tuned model carries it, compared with what a recipe does.

use std::collections::BTreeMap;

use millstream_compiler::Model;
use millstream_pipeline::encodings::Encoders;
use millstream_schemas::recipe::{DataRecipe, TransparencyPolicy};
use millstream_schemas::shown;
use millstream_schemas::shown_up_to;
use millstream_schemas::{BatchSpec, Choice, TensorRole};
use millstream_transforms::Chain;
use serde::{Deserialize, Serialize};

use crate::RowSource;

/// Under this key in an ONNX file's metadata.
const KEY: &str = "millstream.preprocess";

/// The preprocessing that a model was trained for, written into its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Preprocessing {
    /// Version of this format; 2. The first knew one image input, and is read as far as it goes.
    version: u32,
    /// What the model's inputs are made of, by their names.
    #[serde(default)]
    inputs: BTreeMap<String, TensorEncoding>,
    /// What its output was held against, but for classes, whose names have a place of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    targets: BTreeMap<String, TensorEncoding>,
    /// What happens to transparent pixels.
    transparency: TransparencyPolicy,
    /// The transforms of evaluation, in order.
    transforms: Vec<Choice>,
}

/// What an input of the model, or a target, is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TensorEncoding {
    /// With every default filled in.
    encoding: Choice,
    /// Of a row; null where it differs.
    shape: Vec<Option<usize>>,
    /// What it learned of the training rows.
    learned: serde_json::Value,
}

impl Preprocessing {
    /// As a recipe evaluates.
    pub(crate) fn of(data: &DataRecipe, train: &RowSource, spec: &BatchSpec, transforms: &[Choice]) -> Self {
        let encoders = &train.encoders;
        let learned = encoders.learned();
        let of_role = |wanted: TensorRole| {
            let of_one = |(name, role, encoding): (&str, TensorRole, &Choice)| {
                let shape = spec.get(name)?.shape.clone();
                let learned = learned.get(name).cloned().unwrap_or_default();
                let encoding = TensorEncoding { encoding: encoding.clone(), shape, learned };
                let is_meant = role == wanted && encoders.class_tensor() != Some(name);
                is_meant.then(|| (name.to_owned(), encoding))
            };
            encoders.choices().filter_map(of_one).collect()
        };
        Self {
            version: 2,
            inputs: of_role(TensorRole::Input),
            targets: of_role(TensorRole::Target),
            transparency: data.transparency,
            transforms: transforms.to_vec(),
        }
    }

    /// What the encodings of a model's inputs and target learned of the rows it was trained on, by the tensors' names, as its file
    /// says; of a target only where `encoders` have one of the same kind.
    pub(crate) fn learned(model: &Model, encoders: &Encoders) -> Option<serde_json::Value> {
        let whole: Self = serde_json::from_str(model.metadata(KEY)?).ok()?;
        let is_same = |(name, target): &(String, TensorEncoding)| {
            encoders.choices().any(|(own, _, choice)| own == name && choice.name == target.encoding.name)
        };
        let all = whole.inputs.into_iter().chain(whole.targets.into_iter().filter(is_same));
        Some(serde_json::Value::Object(all.map(|(name, encoding)| (name, encoding.learned)).collect()))
    }

    /// Key and value for the metadata of an ONNX file.
    pub(crate) fn metadata(&self) -> (String, String) {
        (KEY.to_owned(), serde_json::to_string(self).expect("our own types have string keys"))
    }

    /// Key and value as a model's file has them.
    pub(crate) fn written(model: &Model) -> Option<(String, String)> {
        Some((KEY.to_owned(), model.metadata(KEY)?.to_owned()))
    }

    /// What two models' files say differently of how rows are prepared, in words; nothing where one of them says nothing.
    pub(crate) fn difference(first: &Model, other: &Model) -> Option<String> {
        let (a, b) = (first.metadata(KEY)?, other.metadata(KEY)?);
        if a == b {
            return None;
        }
        let read = |text: &str| serde_json::from_str::<Self>(text).ok();
        let (Some(a), Some(b)) = (read(a), read(b)) else {
            return Some(format!("what their files say of it (`{KEY}`) is not the same, and not read"));
        };
        let found = chain_differences(&a.transforms, &b.transforms, "the first is evaluated with", "this one with");
        if let Some(first) = found.into_iter().next() {
            return Some(first);
        }
        if a.transparency != b.transparency {
            return Some("transparent pixels are filled otherwise".into());
        }
        let differs = |name: &&String| a.inputs.get(*name) != b.inputs.get(*name);
        let input = a.inputs.keys().chain(b.inputs.keys()).find(differs)?;
        Some(format!("input `{}` is made otherwise, or learned otherwise of the training rows", shown(input)))
    }

    /// What a model's file says differs from a recipe, in words, one for each difference. Nothing where the file says
    /// nothing.
    pub(crate) fn differences(model: &Model, data: &DataRecipe, transforms: &[Choice]) -> Vec<String> {
        let Some(text) = model.metadata(KEY) else { return Vec::new() };
        // a bare list of transforms is how earlier versions wrote it
        let (theirs, transparency) = match serde_json::from_str::<Self>(text) {
            Ok(whole) if matches!(whole.version, 1 | 2) => (whole.transforms, Some(whole.transparency)),
            _ => match serde_json::from_str::<Vec<Choice>>(text) {
                Ok(list) => (list, None),
                Err(_) => {
                    return vec![format!("the model's file holds `{KEY}` in a form that this version cannot read")];
                }
            },
        };
        let mut found = chain_differences(
            &theirs,
            transforms,
            "the model was trained to be evaluated with",
            "this recipe evaluates with",
        );
        if let Some(theirs) = transparency.filter(|theirs| *theirs != data.transparency) {
            let name = |policy| serde_json::to_string(&policy).unwrap_or_default().replace('"', "");
            found.push(format!(
                "the model was trained with `data.transparency: {}`, this recipe says `{}`",
                name(theirs),
                name(data.transparency)
            ));
        }
        found
    }
}

/// Whether nothing at all is known of a model's preprocessing.
pub(crate) fn is_unknown(model: &Model) -> bool {
    model.metadata(KEY).is_none()
}

/// Steps that change the values themselves, in training and in evaluation of one recipe: where they differ, the model is
/// measured on other numbers than it learns from.
pub(crate) fn between_splits(train: &[Choice], evaluate: &[Choice]) -> Vec<String> {
    let values =
        |specs: &[Choice]| -> Vec<Choice> { specs.iter().filter(|spec| spec.name == "normalize").cloned().collect() };
    chain_differences(&values(train), &values(evaluate), "`transforms.train` has", "`transforms.evaluate` has")
}

/// Transforms of one list that the other lacks, by what they do and not by how they are written.
fn chain_differences(a: &[Choice], b: &[Choice], with_a: &str, with_b: &str) -> Vec<String> {
    let meaning = |spec: &Choice| match Chain::parse(std::slice::from_ref(spec)) {
        Ok(chain) => chain.fingerprint().to_string(),
        Err(_) => caption(spec), // known to another version; compared as it is written
    };
    let mut rest: Vec<(&Choice, String)> = b.iter().map(|spec| (spec, meaning(spec))).collect();
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for spec in a {
        let own = meaning(spec);
        match rest.iter().position(|(_, other)| *other == own) {
            Some(at) => {
                let (spec, _) = rest.remove(at);
                places.push(b.iter().position(|other| std::ptr::eq(other, spec)));
            }
            None => missing.push(spec),
        }
    }
    let mut found = Vec::new();
    for spec in missing {
        let changed = rest.iter().position(|(other, _)| other.name == spec.name).map(|at| rest.remove(at).0);
        found.push(match changed {
            Some(other) => format!("{with_a} `{}`, {with_b} `{}`", caption(spec), caption(other)),
            None => format!("{with_a} `{}`, {with_b} no `{}`", caption(spec), shown(&spec.name)),
        });
    }
    found.extend(
        rest.iter().map(|(spec, _)| format!("{with_b} `{}`, {with_a} no `{}`", caption(spec), shown(&spec.name))),
    );
    if found.is_empty() && !places.is_sorted() {
        let names = |specs: &[Choice]| specs.iter().map(|spec| shown(&spec.name)).collect::<Vec<_>>().join(", ");
        found.push(format!("{with_a} `{}`, {with_b} the same in another order: `{}`", names(a), names(b)));
    }
    found
}

/// `normalize: {"mean":[0.5,0.5,0.5]}`.
fn caption(spec: &Choice) -> String {
    let bare = spec.options.as_object().is_some_and(serde_json::Map::is_empty);
    let text = if bare { spec.name.clone() } else { format!("{}: {}", spec.name, spec.options) };
    shown_up_to(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn chains_are_compared_by_what_they_do() {
        let resize = || Choice::new("resize", json!({"size": 16}));
        let normalize = |mean: f64| Choice::new("normalize", json!({"mean": [mean, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}));
        let turned = || Choice::new("normalize", json!({"std": [0.5, 0.5, 0.5], "mean": [0.5, 0.5, 0.5]}));
        let flip = || Choice::new("vertical_flip", json!({"probability": 1.0}));
        let rows: Vec<(Vec<Choice>, Vec<Choice>, &[&str])> = vec![
            (vec![], vec![], &[]),
            (vec![resize(), normalize(0.5)], vec![resize(), turned()], &[]),
            (vec![resize(), normalize(0.5)], vec![resize()], &["A `normalize: {", "B no `normalize`"]),
            (vec![resize()], vec![resize(), normalize(0.5)], &["B `normalize: {", "A no `normalize`"]),
            (
                vec![normalize(0.5)],
                vec![normalize(0.25)],
                &["A `normalize: {\"mean\":[0.5,", "B `normalize: {\"mean\":[0.25,"],
            ),
            (vec![resize(), flip()], vec![flip(), resize()], &["in another order"]),
        ];
        for (a, b, wanted) in rows {
            let found = chain_differences(&a, &b, "A", "B");
            assert_eq!(found.len(), usize::from(!wanted.is_empty()), "{found:?}");
            assert!(wanted.iter().all(|part| found[0].contains(part)), "{found:?}");
        }
    }
}
