//! Losses of numbers, and one from a file, from the command line.

use std::fs;
use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::json;

use crate::columns::{bytes, lists, lists_of_lists, numbers};
use crate::learning::{figure, learns, noise, place, recipe};
use crate::losses_of_classes::{dense, features};
use crate::onnx::{floats, model, node, tensor, weight, whole, with_list};
use crate::workplace::has_runtime;

/// Two numbers that follow from a row's others, far from 0 and in large units.
pub(crate) fn answers(row: usize) -> [f64; 2] {
    let [a, b, c, _] = features(row).map(f64::from);
    [500.0 + 200.0 * a - 100.0 * b, -3.0 + 2.0 * c + 0.1 * f64::from(noise(90_000 + row))]
}

fn columns(first: usize, count: usize) -> Vec<(&'static str, arrow_array::ArrayRef)> {
    let rows = || first..first + count;
    let answer = |at: usize| numbers(rows().map(|row| (row % 13 != 4).then(|| answers(row)[at])));
    let x = lists(rows().map(|row| Some(features(row).to_vec())));
    vec![("x", x), ("weight", answer(0)), ("height", answer(1))]
}

#[test]
fn a_number_without_an_axis_of_its_own_is_learned_in_its_own_unit() {
    if !has_runtime() {
        return;
    }
    let nodes = vec![
        node("Gemm", &["x", "w", "b"], "column", &[("transB", &[1])]),
        node("Squeeze", &["column", "second"], "y", &[]),
    ];
    let weights = vec![weight("w", &[1, 4]), weight("b", &[1]), whole("second", &[1])];
    let scalar = model(nodes, weights, vec![tensor("x", false, &["batch", "4"])], vec![tensor("y", false, &["batch"])]);
    let target = json!({"number": {"column": "weight", "as": "scalar", "standardize": true}});
    let recipe = recipe(
        json!({"inputs": {"x": {"vector": {"column": "x", "length": 4}}}, "targets": {"weight": target}}),
        json!({"loss": "mse", "metrics": ["rmse", "r2"]}),
    );
    let found = learns(&place(columns, scalar), &recipe, 0.05);
    assert!(figure(&found, "r2") > 0.95 && figure(&found, "rmse") < 40.0, "{found}");
}

#[test]
fn numbers_side_by_side_are_learned_by_their_absolute_differences() {
    if !has_runtime() {
        return;
    }
    let target = json!({"number": {"column": ["weight", "height"], "standardize": true}});
    let recipe = recipe(
        json!({"inputs": {"x": {"vector": {"column": "x"}}}, "targets": {"both": target}}),
        json!({"loss": "mae"}),
    );
    let found = learns(&place(columns, dense(4, 2)), &recipe, 0.4);
    assert!(figure(&found, "r2") > 0.8, "{found}");
}

#[test]
fn a_loss_from_a_file_finds_the_number_that_nine_of_ten_are_below() {
    if !has_runtime() {
        return;
    }
    // max(0.9·e, −0.1·e) for e = target − prediction, of Koenker and Bassett, "Regression Quantiles", 1978
    let nodes = vec![
        node("Sub", &["targets", "prediction"], "e", &[]),
        node("Mul", &["e", "above"], "if_above", &[]),
        node("Mul", &["e", "below"], "if_below", &[]),
        node("Max", &["if_above", "if_below"], "terms", &[]),
        with_list(node("ReduceMean", &["terms"], "loss", &[("keepdims", &[0])]), "axes", &[1]),
    ];
    let constants = vec![floats("above", &[1], &[0.9]), floats("below", &[1], &[-0.1])];
    let inputs = ["prediction", "targets"].map(|name| tensor(name, false, &["rows", "numbers"]));
    let loss = model(nodes, constants, inputs.to_vec(), vec![tensor("loss", false, &["rows"])]);
    // The number is 0 in the middle, and 1 or −1 at most; nothing tells it.
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let noise = numbers(rows().map(|row| Some(f64::from(noise(7 * row)))));
        vec![("x", lists(rows().map(|_| Some(vec![1.0])))), ("noise", noise)]
    };
    let place = place(columns, dense(1, 1));
    fs::write(place.path("quantile.onnx"), loss).unwrap();
    let recipe = recipe(
        json!({"inputs": {"x": {"vector": {"column": "x"}}}, "targets": {"noise": {"number": {"column": "noise"}}}}),
        json!({"loss": {"onnx": {"file": "quantile.onnx"}}, "metrics": ["mae"]}),
    );
    let found = learns(&place, &recipe, 0.7);
    // Of numbers that are spread evenly over −1 to 1, nine of ten are below 0.8: in the mean 0.8 away.
    assert!((0.6..1.0).contains(&figure(&found, "mae")), "{found}");
    assert!(figure(&found, "loss") < 0.13, "{found}");
}

/// A dark picture with one or two bright rectangles, and these.
pub(crate) fn rectangles(row: usize) -> (Vec<u8>, Vec<Vec<f32>>) {
    let place = |at: usize| ((noise(10 * row + at) + 1.0) * 2.0) as u32;
    let corners = |of: usize| [place(4 * of), place(4 * of + 1) + 4 * of as u32];
    let all: Vec<[u32; 2]> = (0..1 + row % 2).map(|of| [corners(of)[0], corners(of)[1].min(6)]).collect();
    let is_inside =
        |x: u32, y: u32| all.iter().any(|[left, top]| x.wrapping_sub(*left) < 2 && y.wrapping_sub(*top) < 2);
    let picture = RgbImage::from_fn(8, 8, |x, y| Rgb([if is_inside(x, y) { 250 } else { 10 }; 3]));
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    let boxes = all.iter().map(|[left, top]| [*left, *top, left + 2, top + 2].map(|at| at as f32 / 8.0).to_vec());
    (png.into_inner(), boxes.collect())
}

#[test]
fn boxes_are_learned_and_what_fills_a_row_up_does_not_count() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || (first..first + count).map(rectangles);
        vec![
            ("picture", bytes(rows().map(|(picture, _)| Some(picture)))),
            ("boxes", lists_of_lists(rows().map(|(_, boxes)| boxes))),
        ]
    };
    let nodes = vec![
        node("Flatten", &["picture"], "pixels", &[("axis", &[1])]),
        node("Gemm", &["pixels", "w", "b"], "numbers", &[("transB", &[1])]),
        node("Reshape", &["numbers", "shape"], "boxes", &[]),
    ];
    let weights = vec![weight("w", &[8, 192]), weight("b", &[8]), whole("shape", &[0, 2, 4])];
    let inputs = vec![tensor("picture", false, &["batch", "3", "8", "8"])];
    let network = model(nodes, weights, inputs, vec![tensor("boxes", false, &["batch", "2", "4"])]);
    let boxes = json!({"boxes": {"column": "boxes", "convention": "albumentations", "most": 2}});
    let data = json!({"inputs": {"picture": {"image": {"column": "picture"}}}, "targets": {"boxes": boxes}});
    let training = |ignore: bool| {
        json!({
            "loss": {"huber": {"delta": 0.2, "ignore_padding": ignore}}, "metrics": ["mae"], "epochs": 20,
            "optimizer": {"adamw": {"learning_rate": 0.005}},
        })
    };
    let place = place(columns, network);
    let found = learns(&place, &recipe(data.clone(), training(true)), 0.5);
    // What is predicted where there is no second box is not held against it, and so the loss is another one.
    let all = crate::learning::measured(&place, &["training.loss={huber: {delta: 0.2}}"]);
    assert!(figure(&all, "loss") > figure(&found, "loss"), "{all}, without padding {found}");
}
