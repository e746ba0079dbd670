//! The folder of a run: which files it holds, whether it may be used, whether it can be gone on with.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_schemas::{Fingerprint, Recipe};
use millstream_training::checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RecipeError;

/// Where the files of a run lie.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder(pub(crate) PathBuf);

/// Parts of a recipe that may differ when a run goes on: they say where things are and how fast they go, not what is done.
/// (What lies at the paths is compared: the model byte by byte, data by names, sizes, footers and labels.)
const FREE: [&str; 10] = [
    "output",
    "data.allow_overlap",
    "data.train",
    "data.evaluate",
    "data.workers",
    "data.memory",
    "data.damaged.quarantine",
    "model.path",
    "training.device",
    "training.threads",
];

impl RunFolder {
    pub(crate) fn model(&self) -> PathBuf {
        self.0.join("model.onnx")
    }

    pub(crate) fn labels(&self) -> PathBuf {
        self.0.join("labels.txt")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.0.join("metrics.json")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    pub(crate) fn recipe(&self) -> PathBuf {
        self.0.join("recipe.yaml")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    pub(crate) fn graph(&self) -> PathBuf {
        self.0.join("graph")
    }

    /// The training step, the evaluation, and the manifest of both.
    pub(crate) fn graph_files(&self) -> [PathBuf; 3] {
        ["step.onnx", "evaluation.onnx", "manifest.json"].map(|name| self.graph().join(name))
    }

    fn fingerprints(&self) -> PathBuf {
        self.0.join("fingerprints.json")
    }

    fn files(&self) -> [PathBuf; 6] {
        [self.recipe(), self.fingerprints(), self.model(), self.labels(), self.metrics(), self.report()]
    }

    /// A file of a run that is in the folder already.
    pub(crate) fn holds(&self) -> Result<Option<String>, RecipeError> {
        let checkpoints = checkpoint::list(&self.checkpoints())?.into_iter().map(|(_, path)| path);
        let found = self.files().into_iter().filter(|file| file.exists()).chain(checkpoints).next();
        Ok(found.map(|file| file.strip_prefix(&self.0).unwrap_or(&file).display().to_string()))
    }

    /// Refuses a folder that holds a run.
    pub(crate) fn require_free(&self) -> Result<(), RecipeError> {
        match self.holds()? {
            Some(found) => Err(RecipeError::OutputInUse { folder: self.0.clone(), found }),
            None => Ok(()),
        }
    }

    /// The folder for a new run: made, and free of another run's files, which are deleted. Other things may lie there.
    pub(crate) fn clear(&self) -> Result<(), RecipeError> {
        fs::create_dir_all(&self.0).map_err(RecipeError::io("make", &self.0))?;
        checkpoint::clear(&self.checkpoints())?;
        for file in self.files().into_iter().chain(self.graph_files()).filter(|file| file.exists()) {
            fs::remove_file(&file).map_err(RecipeError::io("delete", &file))?;
        }
        Ok(())
    }

    /// Notes what a run is made of.
    pub(crate) fn note(&self, recipe: &Recipe, made_of: &MadeOf) -> Result<(), RecipeError> {
        let fingerprints = serde_json::to_vec_pretty(made_of).expect("our own types have string keys");
        self.write(&self.fingerprints(), &fingerprints)?;
        self.write(&self.recipe(), recipe.to_yaml().as_bytes())
    }

    /// Refuses a model, data or a recipe other than those that the run in this folder began with.
    pub(crate) fn require_same(&self, recipe: &Recipe, made_of: &MadeOf) -> Result<(), RecipeError> {
        let file = self.recipe();
        if !file.exists() {
            let reason = "it holds no recipe.yaml of an earlier run".into();
            return Err(RecipeError::NothingToResume { folder: self.0.clone(), reason });
        }
        let then = Recipe::load(&file)?;
        let file = self.fingerprints();
        let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
        let made_then: MadeOf = serde_json::from_slice(&text)
            .map_err(|error| RecipeError::File { path: file.clone(), message: error.to_string() })?;
        let changed = first_difference(&fixed(&then), &fixed(recipe), "")
            .or_else(|| first_difference(&made_then.as_value(), &made_of.as_value(), ""));
        match changed {
            None => Ok(()),
            Some((what, then, now)) => Err(RecipeError::ResumeChanged { folder: self.0.clone(), what, then, now }),
        }
    }

    pub(crate) fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), RecipeError> {
        millstream_training::replace_file(file, bytes).map_err(RecipeError::io("write", file))
    }
}

/// Fingerprints of what lies at the recipe's paths, under the keys of the recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MadeOf {
    #[serde(rename = "model.path")]
    pub(crate) model: Fingerprint,
    #[serde(rename = "data.train")]
    pub(crate) train: Fingerprint,
    #[serde(rename = "data.evaluate")]
    pub(crate) evaluate: Option<Fingerprint>,
}

impl MadeOf {
    fn as_value(&self) -> Value {
        serde_json::to_value(self).expect("our own types have string keys")
    }
}

/// What decides the course of a run, as JSON.
pub(crate) fn fixed(recipe: &Recipe) -> Value {
    let mut value = serde_json::to_value(recipe).expect("a recipe has string keys, so it always serializes");
    for path in FREE {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let parent =
            parents.split('.').filter(|part| !part.is_empty()).try_fold(&mut value, |value, part| value.get_mut(part));
        if let Some(parent) = parent.and_then(Value::as_object_mut) {
            parent.remove(key);
        }
    }
    value
}

/// Dotted path and both values of the first place where two values differ.
fn first_difference(then: &Value, now: &Value, place: &str) -> Option<(String, String, String)> {
    if let (Value::Object(a), Value::Object(b)) = (then, now) {
        let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        return keys.into_iter().find_map(|key| {
            let inner = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            first_difference(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), &inner)
        });
    }
    if let (Value::Array(a), Value::Array(b)) = (then, now)
        && a.len() == b.len()
    {
        let mut pairs = a.iter().zip(b).enumerate();
        return pairs.find_map(|(index, (a, b))| first_difference(a, b, &format!("{place}[{index}]")));
    }
    (then != now).then(|| (place.to_owned(), show(then), show(now)))
}

fn show(value: &Value) -> String {
    let text = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    if text.chars().count() <= 120 { text } else { text.chars().take(120).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(overrides: &[&str]) -> Recipe {
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
        ] {
            let found = first_difference(&then, &fixed(&recipe(&[change])), "");
            let found = found.as_ref().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()));
            assert_eq!(found, wanted, "{change}");
        }
    }

    #[test]
    fn a_used_folder_is_refused_and_overwriting_spares_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder(folder.path().join("run"));
        run.require_free().unwrap();
        run.clear().unwrap();
        fs::write(run.metrics(), "{}").unwrap();
        fs::write(run.0.join("notes.txt"), "mine").unwrap();
        let message = run.require_free().unwrap_err().to_string();
        assert!(message.contains("metrics.json") && message.contains("--resume"), "{message}");
        run.clear().unwrap();
        assert!(!run.metrics().exists() && run.0.join("notes.txt").exists());
    }
}
