//! Recipes that are made of pictures with points beside them.

use std::fs;

use image::{Rgb, RgbImage};

use crate::onnx::{model, node, tensor, weight, whole};
use crate::workplace::{Workplace, has_runtime};

const SIDE: u32 = 16;
const ROWS: u32 = 40;

/// A folder of pictures with a table whose lines name the corners of a bright square: as `written` of left, top, right and bottom.
fn squares(place: &Workplace, folder: &str, written: fn([f64; 4]) -> String) {
    fs::create_dir_all(place.path(folder)).unwrap();
    let mut table = String::new();
    for row in 0..ROWS {
        let (left, top) = (1 + row % 7, 1 + row % 5);
        let is_inside = |x: u32, y: u32| (left..left + 6).contains(&x) && (top..top + 6).contains(&y);
        let pixel = |x, y| Rgb([if is_inside(x, y) { 220 } else { 30 }; 3]);
        RgbImage::from_fn(SIDE, SIDE, pixel).save(place.path(&format!("{folder}/{row}.png"))).unwrap();
        let corners = [left, top, left + 6, top + 6].map(|pixels| f64::from(pixels) + 0.25);
        table += &format!("{{\"file_name\": \"{row}.png\", \"spots\": {}}}\n", written(corners));
    }
    place.write(&format!("{folder}/metadata.jsonl"), &table);
}

/// A dense layer on the pixels with so many points.
fn of_points(place: &Workplace, name: &str, points: u64) {
    let pixels = u64::from(SIDE * SIDE * 3);
    let nodes = vec![
        node("Flatten", &["image"], "pixels", &[("axis", &[1])]),
        node("Gemm", &["pixels", "w", "b"], "numbers", &[("transB", &[1])]),
        node("Reshape", &["numbers", "shape"], "points", &[]),
    ];
    let shape = whole("shape", &[-1, points as i64, 2]);
    let weights = vec![weight("w", &[2 * points, pixels]), weight("b", &[2 * points]), shape];
    let own = SIDE.to_string();
    let inputs = vec![tensor("image", false, &["batch", "3", &own, &own])];
    let outputs = vec![tensor("points", false, &["batch", &points.to_string(), "2"])];
    fs::write(place.path(name), model(nodes, weights, inputs, outputs)).unwrap();
}

#[test]
fn pictures_with_lists_of_points_in_a_table_become_a_recipe_of_key_points() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    squares(&place, "pairs", |[left, top, right, bottom]| format!("[[{left}, {top}], [{right}, {bottom}]]"));
    squares(&place, "flat", |[left, top, right, bottom]| format!("[{left}, {top}, {right}, {bottom}]"));
    of_points(&place, "two.onnx", 2);
    of_points(&place, "three.onnx", 3);
    for folder in ["pairs", "flat"] {
        for label in [&[] as &[&str], &["--label", "spots"]] {
            let named = [&["init", folder, "two.onnx", "-o", "made.yaml", "--overwrite"][..], label].concat();
            let said = place.run(&named).done();
            assert!(said.contains("2 points in a picture, by those in `spots`"), "{said}");
            let recipe = String::from_utf8(place.read("made.yaml")).unwrap();
            let wanted = "points: {key_points: {column: spots, count: 2, visibility: false}}";
            assert!(recipe.contains(wanted) && recipe.contains("loss: mse"), "{recipe}");
        }
        let short = ["--set", "training.epochs=2", "--set", "training.device=cpu", "--set", "training.threads=1"];
        place.run(&[&["train", "made.yaml", "--overwrite"][..], &short].concat()).done();
        let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/made/metrics.json")).unwrap();
        assert!(metrics["evaluation"]["mae"].is_number(), "{metrics}");
        // a model of another number of points
        let refused = ["the model tells 3 points", "has 4 numbers", "see docs/tasks/key-points.md"];
        place.run(&["init", folder, "three.onnx", "-o", "-"]).failed_with(&refused);
    }
}
