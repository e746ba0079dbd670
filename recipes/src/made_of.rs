//! What a run is made of, and what of its recipe decides its course.

use std::collections::BTreeMap;

use millstream_schemas::recipe::{EvaluationRecipe, FrozenPrefixRecipe};
use millstream_schemas::{Fingerprint, Recipe};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::first_difference::first_difference;
use crate::noted_files::NotedFiles;

/// Where a recipe says how many bytes rows and batches take. It is free, but for runs that begin: whether there is room decides in them
/// whether what a frozen prefix gives is kept, where that is left open. One that goes on has the steps that it began with.
pub(crate) const MEMORY: &str = "data.memory";

/// Parts of a recipe that may differ when a run goes on: they say where things are and how fast they go, not what is done.
/// (What lies at the paths is compared: the model byte by byte, data by names, sizes, footers and labels.)
const FREE: [&str; 22] = [
    // What happens when all steps are done.
    "evaluation.intervals",
    "evaluation.slices",
    "evaluation.most_slices",
    "evaluation.calibrate",
    "evaluation.test_time_augmentation",
    "output",
    "data.allow_overlap",
    "data.train",
    "data.evaluate",
    "evaluation.sets",
    "data.workers",
    MEMORY,
    "data.damaged.quarantine",
    "model.path",
    "training.device",
    "training.threads",
    "training.memory_check",
    "training.frozen_prefix.kept.memory",
    "training.frozen_prefix.kept.disk",
    "training.frozen_prefix.kept.folder",
    "training.max_time",
    // What trials of a search do; a run is one of them.
    "search",
];

/// Fingerprints of what lies at the recipe's paths, under the keys of the recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MadeOf {
    #[serde(rename = "model.path")]
    pub(crate) model: Fingerprint,
    #[serde(rename = "data.train")]
    pub(crate) train: Fingerprint,
    #[serde(rename = "data.evaluate")]
    pub(crate) evaluate: Option<Fingerprint>,
    /// Of the adapters that training started from.
    #[serde(rename = "model.methods", default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapters: Option<Fingerprint>,
    #[serde(rename = "evaluation.sets", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sets: BTreeMap<String, Fingerprint>,
    /// The files of the rows, by their places in the recipe, to name those that are others when the fingerprints differ; of none in
    /// runs of older builds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, NotedFiles>,
}

impl MadeOf {
    /// The fingerprints, under their places in the recipe.
    pub(crate) fn fingerprints(&self) -> Value {
        let prints = Self { files: BTreeMap::new(), ..self.clone() };
        serde_json::to_value(prints).expect("our own types have string keys")
    }

    /// Of a set of rows to evaluate on, by its name.
    pub(crate) fn of_set(&self, set: &str) -> Option<&Fingerprint> {
        match set {
            EvaluationRecipe::MAIN => self.evaluate.as_ref(),
            set => self.sets.get(set),
        }
    }

    /// The first thing that is another one now: its place and both, in words.
    pub(crate) fn first_difference(then: &Self, now: &Self) -> Option<(String, String, String)> {
        let (what, print_then, print_now) = first_difference(&then.fingerprints(), &now.fingerprints(), "")?;
        let (then, now) = match then.files.get(&what).zip(now.files.get(&what)) {
            Some((then, now)) => NotedFiles::changed(then, now),
            None => (print_then, print_now),
        };
        Some((what, then, now))
    }
}

/// What decides the course of a run, as JSON.
pub(crate) fn fixed(recipe: &Recipe) -> Value {
    let json = |value: serde_json::Result<Value>| value.expect("a recipe has string keys, so it always serializes");
    let mut value = json(serde_json::to_value(recipe));
    // It is not written where it is as usual, and a part of it is free.
    value["evaluation"] = json(serde_json::to_value(&recipe.evaluation));
    // whether there is room for what a frozen prefix gives decides by which graphs a run begins
    let decides = |path: &str| path == MEMORY && recipe.training.frozen_prefix == FrozenPrefixRecipe::Auto;
    for path in FREE.into_iter().filter(|path| !decides(path)) {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let parent =
            parents.split('.').filter(|part| !part.is_empty()).try_fold(&mut value, |value, part| value.get_mut(part));
        if let Some(parent) = parent.and_then(Value::as_object_mut) {
            parent.remove(key);
        }
    }
    value
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    pub(crate) fn recipe(overrides: &[&str]) -> Recipe {
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a}\ntransforms: {train: [horizontal_flip, {rotate: {degrees: 5}}]}";
        let overrides: Vec<String> = overrides.iter().map(|&text| text.into()).collect();
        Recipe::from_text(text, Path::new("r.yaml"), Path::new("/a"), &overrides).unwrap()
    }

    #[test]
    fn what_differs_is_named_and_speed_and_places_are_free() {
        let then = fixed(&recipe(&[]));
        for (change, wanted) in [
            ("seed=2", Some(("seed", "0", "2"))),
            ("training.epochs=9", Some(("training.epochs", "5", "9"))),
            ("transforms.train.1.rotate.degrees=6", Some(("transforms.train[1].rotate.degrees", "5", "6"))),
            ("training.gradient_clip_norm=1", Some(("training.gradient_clip_norm", "nothing", "1.0"))),
            ("data.workers=7", None),
            ("data.train=/elsewhere", None),
            ("output.folder=/b", None),
            ("training.device=cpu", None),
            ("training.memory_check=warn", None),
        ] {
            let found = first_difference(&then, &fixed(&recipe(&[change])), "");
            let found = found.as_ref().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()));
            assert_eq!(found, wanted, "{change}");
        }
        // where memory decides whether a frozen prefix is kept, it decides the graphs of a run that begins
        let of = |prefix: &str, memory: &str| fixed(&recipe(&[prefix, memory]));
        for (prefix, is_free) in [("auto", false), ("kept", true), ("recomputed", true)] {
            let prefix = format!("training.frozen_prefix={prefix}");
            let [small, large] = ["data.memory=64 MiB", "data.memory=2 GiB"].map(|memory| of(&prefix, memory));
            assert_eq!(small == large, is_free, "{prefix}");
        }
    }
}
