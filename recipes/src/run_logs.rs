//! The logs of a run: opened, found again, refused.

use std::path::PathBuf;

use millstream_schemas::Recipe;
use millstream_training::Trainer;
use millstream_training::logs::{self, LoggedRun, Logs, RunPlace};
use serde_json::{Map, Value};

use crate::run_folder::RunFolder;
use crate::{Catalogs, Opened, RecipeError};

/// Opens the logs of a run that begins, or goes on where its trainer stands.
pub(crate) fn open(opened: &Opened, folder: &RunFolder, trainer: &Trainer) -> Result<Logs, RecipeError> {
    let name = folder.0.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let run = LoggedRun {
        folder: folder.logs(),
        name,
        hyperparameters: hyperparameters(&opened.recipe),
        recipe: opened.recipe.to_yaml(),
        figures: opened.metrics.figures(),
        decides: opened.metrics.decides().clone(),
        goes_on: RunPlace::of(trainer.history()),
    };
    Ok(Logs::open(&opened.logs, run)?)
}

/// Refuses places of logs where nothing can be written.
pub(crate) fn require_writable(opened: &Opened) -> Result<(), RecipeError> {
    Ok(opened.logs.iter().try_for_each(|log| log.format().check())?)
}

/// The files and folders of logs that are in a run's folder, of any kind.
pub(crate) fn files(folder: &RunFolder, catalogs: &Catalogs) -> Vec<PathBuf> {
    logs::files(&folder.logs(), catalogs.logs.rows())
}

/// What a recipe says, by place: numbers, truth values and texts, lists as JSON. Where results go is not in it.
fn hyperparameters(recipe: &Recipe) -> Map<String, Value> {
    // By way of the text: there, a number of 32 bits is the one that was written.
    let text = serde_json::to_string(recipe).expect("a recipe has string keys, so it always serializes");
    let mut value: Value = serde_json::from_str(&text).expect("it is JSON");
    if let Some(recipe) = value.as_object_mut() {
        recipe.retain(|key, _| !matches!(key.as_str(), "version" | "output"));
    }
    let mut found = Map::new();
    flatten("", &value, &mut found);
    found
}

fn flatten(place: &str, value: &Value, found: &mut Map<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let inner = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                flatten(&inner, value, found);
            }
        }
        Value::Null => {}
        Value::Array(_) => drop(found.insert(place.to_owned(), value.to_string().into())),
        value => drop(found.insert(place.to_owned(), value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hyperparameters_are_named_by_their_places() {
        let text = "version: 1\nmodel: {path: /m.onnx}\ndata: {train: /a}\noutput: {folder: /r}\n\
                    transforms: {train: [{resize: {size: 8}}]}\n\
                    training: {epochs: 2, layer_decay: 0.9, optimizer: {adamw: {learning_rate: 0.5}}, schedule: cosine}";
        let recipe = Recipe::from_text(text, "r.yaml".as_ref(), "/".as_ref(), &[]).unwrap();
        let found = hyperparameters(&recipe);
        for (place, wanted) in [
            ("training.optimizer.adamw.learning_rate", json!(0.5)),
            ("training.schedule", json!("cosine")),
            ("training.epochs", json!(2)),
            ("training.layer_decay", json!(0.9)),
            ("transforms.train", json!(r#"[{"resize":{"size":8}}]"#)),
            ("model.path", json!("/m.onnx")),
        ] {
            assert_eq!(found[place], wanted, "{place}");
        }
        assert!(!found.keys().any(|place| place.starts_with("output") || place == "version"));
        assert!(found.values().all(|value| value.is_string() || value.is_number() || value.is_boolean()));
    }
}
