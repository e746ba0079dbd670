//! Models whose images have channels last, and whose pixels are bytes: checked, trained, evaluated, exported and asked.

use std::fs;

use serde_json::Value;

use crate::dataset;
use crate::onnx::{network_of, network_of_one_place};
use crate::workplace::{Workplace, has_runtime};

/// Pixels as they are stored: bytes and floats are the same numbers.
const AS_STORED: &str = "transforms={train: [{center_crop: {size: 16}}], evaluate: [{center_crop: {size: 16}}]}";

fn of_model(channels_last: bool, bytes: bool) -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("model.onnx"), network_of(channels_last, bytes)).unwrap();
    place
}

/// Losses of the steps, figures of the evaluation by itself, and scores of new pictures.
fn trained(place: &Workplace, changes: &[&str]) -> [Vec<f64>; 3] {
    let lines =
        |text: &str| -> Vec<Value> { text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let changes: Vec<&str> = changes.iter().copied().chain(["training.epochs=2"]).collect();
    let mut arguments = vec!["train", "recipe.yaml", "--json"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    let steps = lines(&place.run(&arguments).done());
    let losses = steps.iter().filter(|event| event["event"] == "step").map(|step| step["loss"].as_f64().unwrap());
    let mut arguments = vec!["evaluate", "recipe.yaml", "--json", "--model", "run/model.onnx"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    let measured = place.run(&arguments).json()["evaluation"]["loss"].as_f64();
    fs::create_dir_all(place.path("photos")).unwrap();
    for (at, row) in dataset::rows(200, 6).iter().enumerate() {
        fs::write(place.path(&format!("photos/{at}.png")), row.image.as_ref().unwrap()).unwrap();
    }
    let said = lines(&place.run(&["predict", "run", "photos", "--json"]).done());
    let scores = said
        .iter()
        .flat_map(|row| row["top"].as_array().unwrap().iter().map(|class| class["probability"].as_f64().unwrap()));
    [losses.collect(), measured.into_iter().collect(), scores.collect()]
}

#[track_caller]
fn assert_same(got: &[Vec<f64>; 3], wanted: &[Vec<f64>; 3]) {
    for (got, wanted) in got.iter().zip(wanted) {
        assert!(!wanted.is_empty() && got.len() == wanted.len(), "{got:?} {wanted:?}");
        let apart = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 2e-5, "{got:?} {wanted:?}");
    }
}

#[test]
fn channels_last_and_bytes_train_as_planes_of_floats_do() {
    if !has_runtime() {
        return;
    }
    let wanted = trained(&of_model(false, false), &[AS_STORED]);
    for (channels_last, bytes) in [(true, false), (false, true), (true, true)] {
        let place = of_model(channels_last, bytes);
        assert_same(&trained(&place, &[AS_STORED]), &wanted);
        let checked = place.run_with("check", &["output.folder=other"]).done();
        let said = match (channels_last, bytes) {
            (true, false) => "[batch, height, width, channels] of floats",
            (true, true) => "[batch, height, width, channels] of bytes, 0 to 255",
            _ => "[batch, channels, height, width] of bytes, 0 to 255",
        };
        let flat = checked.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(said) && flat.contains("input `image` takes 16×16 pixels"), "{checked}");
    }
}

#[test]
fn what_is_drawn_for_a_row_does_not_depend_on_the_order_of_axes() {
    if !has_runtime() {
        return;
    }
    let transforms = "transforms={train: [{random_resized_crop: {size: 16}}, {rotate: {degrees: 10}}, {gaussian_blur: {sigma: [0.5, 1]}}, \
                      {normalize: {mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25]}}, {mix_up: {alpha: 0.4}}], evaluate: [{resize: {size: 16}}, {normalize: \
                      {mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25]}}]}";
    let wanted = trained(&of_model(false, false), &[transforms]);
    assert_same(&trained(&of_model(true, false), &[transforms]), &wanted);
}

#[test]
fn a_classifier_that_gives_one_place_is_trained_measured_and_asked_as_one_of_rows() {
    if !has_runtime() {
        return;
    }
    let wanted = trained(&of_model(false, false), &[AS_STORED]);
    let place = Workplace::new();
    fs::write(place.path("model.onnx"), network_of_one_place()).unwrap();
    assert_same(&trained(&place, &[AS_STORED]), &wanted);
}

#[test]
fn bytes_are_mixed_and_not_normalized() {
    if !has_runtime() {
        return;
    }
    let place = of_model(true, true);
    place
        .run_with(
            "train",
            &["transforms={train: [{random_resized_crop: {size: 16}}, {mix_up: {alpha: 0.4}}], evaluate: [{resize: {size: 16}}]}"],
        )
        .done();
    let normalize = "{normalize: {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}";
    let transforms = format!(
        "transforms={{train: [{{resize: {{size: 16}}}}, {normalize}], evaluate: [{{resize: {{size: 16}}}}, {normalize}]}}"
    );
    place.run_with("check", &[&transforms]).failed_with(&["takes pixels as bytes", "`normalize`", "leave it out"]);
}

#[test]
fn a_recipe_overrides_what_is_seen() {
    if !has_runtime() {
        return;
    }
    let place = of_model(true, false);
    let first = "data={train: train-*.parquet, evaluate: test.parquet, batch: 8, inputs: {image: {image: {layout: channels_first}}}, label: label}";
    place.run_with("check", &[first]).failed_with(&["[?, 16, 16, 3]", "[batch, 3, height, width]", "layout"]);
    let place = of_model(false, false);
    let last = first.replace("channels_first", "channels_last");
    place.run_with("check", &[&last]).failed_with(&["[?, 3, 16, 16]", "[batch, height, width, 3]", "layout"]);
    let bytes = first.replace("layout: channels_first", "values: uint8");
    place.run_with("check", &[&bytes]).failed_with(&["takes float32", "make uint8", "values"]);
}

#[test]
fn init_writes_a_recipe_for_bytes_with_channels_last() {
    if !has_runtime() {
        return;
    }
    let place = of_model(true, true);
    for (at, row) in dataset::rows(0, 24).iter().enumerate() {
        let folder = place.path(&format!("colours/{}", dataset::CLASSES[at % 3]));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{at}.png")), row.image.as_ref().unwrap()).unwrap();
    }
    place.run(&["init", "colours", "model.onnx", "-o", "made.yaml"]).done();
    let text = String::from_utf8(place.read("made.yaml")).unwrap();
    assert!(!text.contains("normalize") && text.contains("size: 16"), "{text}");
    place.run(&["check", "made.yaml"]).done();
}
