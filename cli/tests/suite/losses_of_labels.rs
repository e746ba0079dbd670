//! The loss of labels that may hold together, and thresholds for them, from the command line.

use serde_json::{Value, json};

use crate::columns::{lists, lists_of_texts, numbers};
use crate::learning::{figure, learns, measured, noise, place, recipe};
use crate::losses_of_classes::{dense, features};
use crate::workplace::{Workplace, has_runtime};

pub(crate) const LABELS: [&str; 3] = ["rain", "snow", "wind"];

/// A label holds where its number is large, but for some noise.
pub(crate) fn holds(row: usize, label: usize) -> bool {
    features(row)[label] + 0.3 * noise(50_000 + 3 * row + label) > 0.2
}

/// Labels in lists of names, and in columns of 0 and 1.
fn weather() -> Workplace {
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let of = |label: usize| numbers(rows().map(|row| Some(f64::from(u8::from(holds(row, label))))));
        let names = |row: usize| (0..3).filter(|label| holds(row, *label)).map(|label| LABELS[label]).collect();
        vec![
            ("x", lists(rows().map(|row| Some(features(row).to_vec())))),
            ("weather", lists_of_texts(rows().map(names))),
            ("rain", of(0)),
            ("snow", of(1)),
            ("wind", of(2)),
        ]
    };
    place(columns, dense(4, 3))
}

fn of_labels(targets: Value, loss: Value) -> Value {
    let data = json!({"inputs": {"x": {"vector": {"column": "x"}}}, "targets": {"weather": targets}});
    recipe(data, json!({"loss": loss, "metrics": ["f1", "exact_match", "average_precision"], "epochs": 8}))
}

#[test]
fn labels_in_lists_are_those_in_columns() {
    if !has_runtime() {
        return;
    }
    let place = weather();
    let loss = json!({"binary_cross_entropy": {"pos_weight": [2, 1, 1]}});
    let in_lists = of_labels(json!({"multi_label": {"column": "weather"}}), loss.clone());
    let found = learns(&place, &in_lists, 0.7);
    assert!(figure(&found, "f1") > 0.75 && figure(&found, "average_precision") > 0.8, "{found}");
    assert_eq!(place.read("run/labels.txt"), b"rain\nsnow\nwind\n");
    let model = place.read("run/model.onnx");
    std::fs::remove_dir_all(place.path("run")).unwrap();
    let in_columns = of_labels(json!({"number": {"column": LABELS}}), loss);
    assert_eq!(learns(&place, &in_columns, 0.7), found);
    assert!(place.read("run/model.onnx").len() < model.len(), "columns have no names of labels");
    // Labels may hold together, and classes may not.
    let classes = of_labels(json!({"multi_label": {"column": "weather"}}), json!("cross_entropy"));
    place.write("recipe.yaml", &classes.to_string());
    let wanted = ["training.loss: ", "labels that may hold together", "such as `binary_cross_entropy`"];
    place.run(&["check", "recipe.yaml"]).failed_with(&wanted);
}

#[test]
fn a_threshold_for_each_label_is_fitted_noted_and_followed() {
    if !has_runtime() {
        return;
    }
    let place = weather();
    // Labels that count little where they hold are said too seldom.
    let recipe = of_labels(
        json!({"multi_label": {"column": "weather"}}),
        json!({"binary_cross_entropy": {"pos_weight": [0.1, 0.1, 0.1]}}),
    );
    let before = learns(&place, &recipe, 0.9);
    let plain = place.read("run/model.onnx");
    let fit = |criterion: &str| {
        let change = format!("evaluation.calibrate={{threshold: {criterion}}}");
        let ran = place.run(&["train", "recipe.yaml", "--resume", "--set", &change]);
        let told = ran.stderr.clone();
        ran.done();
        assert!(told.contains("the thresholds of the exported model, fitted on the evaluation rows, are "), "{told}");
        let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
        let (written, again) = (metrics["evaluation"].clone(), measured(&place, &[]));
        assert_eq!(again, written, "`evaluate` follows what the file notes");
        written
    };
    let fitted = fit("f1");
    let key = b"millstream.threshold_log_odds";
    let has_key = |file: &[u8]| file.windows(key.len()).any(|window| window == key);
    assert!(!has_key(&plain) && has_key(&place.read("run/model.onnx")));
    let f1 = |found: &Value| figure(found, "f1");
    assert!(f1(&fitted) > f1(&before) + 0.05, "{fitted}, before {before}");
    for name in ["loss", "average_precision"] {
        assert_eq!(fitted[name], before[name], "a threshold moves no score");
    }
    // All that hold are said to.
    let recall = ["training.metrics=[recall, {precision: {average: micro}}]"];
    fit("{recall: 1}");
    let found = measured(&place, &recall);
    assert_eq!(figure(&found, "recall"), 1.0, "{found}");
    fit("{precision: 0.8}");
    let found = measured(&place, &recall);
    assert!(figure(&found, "precision_micro") >= 0.8, "{found}");
}
