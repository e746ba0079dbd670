//! A recipe from the command line: checked, trained, measured, exported, and what comes of it.

use std::fs;

use arrow_array::ArrayRef;
use serde_json::{Value, json};

use crate::dataset;
use crate::workplace::Workplace;

/// Numbers from −1 to 1, the same each time.
pub(crate) fn noise(at: usize) -> f32 {
    let mut bits = (at as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// A folder with rows to train on, others to measure, and a model.
pub(crate) fn place(columns: impl Fn(usize, usize) -> Vec<(&'static str, ArrayRef)>, model: Vec<u8>) -> Workplace {
    let place = Workplace::bare();
    dataset::write_columns(&place.path("train.parquet"), &columns(0, TRAINED), false);
    dataset::write_columns(&place.path("test.parquet"), &columns(1000, MEASURED), false);
    fs::write(place.path("model.onnx"), model).unwrap();
    place
}

/// Rows of such a folder.
pub(crate) const TRAINED: usize = 60;
pub(crate) const MEASURED: usize = 30;

/// A recipe for such a folder, of the parts that differ. No batch of it is full at the end.
pub(crate) fn recipe(data: Value, training: Value) -> Value {
    let mut recipe = json!({
        "version": 1,
        "seed": 1,
        "model": {"path": "model.onnx", "head": "keep", "train": "all"},
        "data": {"train": "train.parquet", "evaluate": "test.parquet", "batch": 8, "workers": 2, "memory": "64 MiB"},
        "training": {
            "epochs": 12, "threads": 1, "device": "cpu", "optimizer": {"adamw": {"learning_rate": 0.05}},
        },
        "output": {"folder": "run"},
    });
    for (part, more) in [("data", data), ("training", training)] {
        let part = recipe[part].as_object_mut().unwrap();
        part.extend(more.as_object().unwrap().clone());
    }
    recipe
}

/// `check`, `train` and `evaluate`: the loss falls below this share of what it was, on rows that are trained on and on others, and the
/// exported model has the figures of the run. Returns these.
#[track_caller]
pub(crate) fn learns(place: &Workplace, recipe: &Value, share: f64) -> Value {
    place.write("recipe.yaml", &recipe.to_string());
    let said = place.run(&["check", "recipe.yaml"]).done();
    assert!(said.contains("ready to train"), "{said}");
    place.run(&["train", "recipe.yaml", "--quiet"]).done();
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let (history, found) = (&metrics["history"], &metrics["evaluation"]);
    let epochs = history["epochs"].as_array().unwrap();
    let of_epoch = |epoch: &Value| epoch["training_loss"].as_f64().unwrap();
    let (first, last) = (of_epoch(&epochs[0]), of_epoch(&epochs[epochs.len() - 1]));
    assert!(last < share * first, "the training loss goes from {first} to {last}");
    let (start, end) = (history["start"]["loss"].as_f64().unwrap(), found["loss"].as_f64().unwrap());
    assert!(end < share * start, "the loss on other rows goes from {start} to {end}");
    let again = measured(place, &[]);
    for (name, value) in found.as_object().unwrap() {
        let Some(value) = value.as_f64() else { continue };
        let now = again[name].as_f64().unwrap_or(f64::NAN);
        assert!((now - value).abs() < 1e-4 * value.abs().max(1.0), "{name}: {value}, then {now}");
    }
    assert!(!place.read("run/model.onnx").is_empty());
    // What was used is written down whole, and can be used again.
    place.run(&["check", "run/recipe.yaml"]).done();
    found.clone()
}

/// What `evaluate` measures, with changes of the recipe.
#[track_caller]
pub(crate) fn measured(place: &Workplace, changes: &[&str]) -> Value {
    let mut arguments = vec!["evaluate", "recipe.yaml", "--json"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments).json()["evaluation"].take()
}

/// A figure of an evaluation.
#[track_caller]
pub(crate) fn figure(found: &Value, name: &str) -> f64 {
    found[name].as_f64().unwrap_or_else(|| panic!("no figure {name} in {found}"))
}
