//! Recipes that are made of pictures with masks or boxes, as their folders are.

use std::fs;

use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::learning::noise;
use crate::onnx::{model, node, tensor, weight, whole};
use crate::workplace::{Workplace, has_runtime};

const SIDE: u32 = 16;

/// A bright square on a dark picture: left, top and side.
fn square(row: usize) -> [u32; 3] {
    let drawn = |at: usize| noise(3 * row + at) + 1.0;
    [(drawn(0) * 4.0) as u32, (drawn(1) * 4.0) as u32, 4 + (drawn(2) * 2.0) as u32]
}

fn is_inside([left, top, side]: [u32; 3], x: u32, y: u32) -> bool {
    x.wrapping_sub(left) < side && y.wrapping_sub(top) < side
}

fn picture(place: &Workplace, name: &str, row: usize) {
    let square = square(row);
    let pixel = |x, y| Rgb([if is_inside(square, x, y) { 220 } else { 30 }; 3]);
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(SIDE, SIDE, pixel).save(path).unwrap();
}

/// The same picture twice as wide and three times as high.
fn enlarged(place: &Workplace, name: &str, row: usize) {
    picture(place, name, row);
    let small = image::open(place.path(name)).unwrap();
    let large = small.resize_exact(2 * SIDE, 3 * SIDE, image::imageops::FilterType::Nearest);
    large.save(place.path(name)).unwrap();
}

/// Pictures and masks, the square of the value `bright`.
fn masks(place: &Workplace, folder: &str, bright: u8) {
    fs::create_dir_all(place.path(&format!("{folder}/masks"))).unwrap();
    for row in 0..40 {
        picture(place, &format!("{folder}/images/{row}.png"), row);
        let square = square(row);
        let mask = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if is_inside(square, x, y) { bright } else { 0 }]));
        mask.save(place.path(&format!("{folder}/masks/{row}.png"))).unwrap();
    }
}

/// One convolution with so many scores for each place, of which there are `side`×`side`.
fn of_pixels(place: &Workplace, name: &str, scores: u64, side: u32) {
    let stride = u64::from(SIDE / side);
    let nodes = vec![node("Conv", &["image", "w", "b"], "scores", &[("strides", &[stride, stride])])];
    let side = &side.to_string();
    let weights = vec![weight("w", &[scores, 3, 1, 1]), weight("b", &[scores])];
    let (count, own) = (scores.to_string(), SIDE.to_string());
    let inputs = vec![tensor("image", false, &["batch", "3", &own, &own])];
    let network = model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", &count, side, side])]);
    fs::write(place.path(name), network).unwrap();
}

/// One convolution with so many scores for each pixel of images of this width and height, with channels last as Keras and tf2onnx have it.
fn of_pixels_last(place: &Workplace, name: &str, scores: u64, [width, height]: [u32; 2]) {
    let nodes = vec![
        node("Transpose", &["image"], "planes", &[("perm", &[0, 3, 1, 2])]),
        node("Conv", &["planes", "w", "b"], "maps", &[]),
        node("Transpose", &["maps"], "turned", &[("perm", &[0, 2, 3, 1])]),
        node("Softmax", &["turned"], "scores", &[]),
    ];
    let weights = vec![weight("w", &[scores, 3, 1, 1]), weight("b", &[scores])];
    let [width, height, count] = [u64::from(width), u64::from(height), scores].map(|length| length.to_string());
    let axes = |last: &str| tensor("image", false, &["batch", &height, &width, last]);
    let given = tensor("scores", false, &["batch", &height, &width, &count]);
    fs::write(place.path(name), model(nodes, weights, vec![axes("3")], vec![given])).unwrap();
}

/// A dense layer on the pixels with so many numbers.
fn of_numbers(place: &Workplace, name: &str, numbers: u64) {
    let pixels = u64::from(SIDE * SIDE * 3);
    let nodes = vec![
        node("Flatten", &["image"], "pixels", &[("axis", &[1])]),
        node("Gemm", &["pixels", "w", "b"], "numbers", &[("transB", &[1])]),
    ];
    let weights = vec![weight("w", &[numbers, pixels]), weight("b", &[numbers])];
    let (count, own) = (numbers.to_string(), SIDE.to_string());
    let inputs = vec![tensor("image", false, &["batch", "3", &own, &own])];
    let network = model(nodes, weights, inputs, vec![tensor("numbers", false, &["batch", &count])]);
    fs::write(place.path(name), network).unwrap();
}

/// Pictures with the boxes of their squares as YOLO has them, `of` of them each.
fn yolo(place: &Workplace, folder: &str, of: usize) {
    fs::create_dir_all(place.path(&format!("{folder}/labels"))).unwrap();
    for row in 0..40 {
        picture(place, &format!("{folder}/images/{row}.png"), row);
        let [left, top, side] = square(row).map(|pixels| f64::from(pixels) / f64::from(SIDE));
        let line = format!("0 {} {} {side} {side}\n", left + side / 2.0, top + side / 2.0);
        fs::write(place.path(&format!("{folder}/labels/{row}.txt")), line.repeat(of)).unwrap();
    }
    place.write(&format!("{folder}/data.yaml"), "names: [square]\n");
}

fn made(place: &Workplace, data: &str, model: &str) -> (String, String) {
    let said = place.run(&["init", data, model, "-o", "made.yaml", "--overwrite"]).done();
    (said, String::from_utf8(place.read("made.yaml")).unwrap())
}

fn contains(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "wanted {part} in {text}"));
}

#[test]
fn pictures_and_masks_become_a_recipe_that_learns_them() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    of_pixels(&place, "two.onnx", 2, SIDE);
    let (said, recipe) = made(&place, "squares", "two.onnx");
    contains(&said, &["the class of each pixel in `mask`, one of 2", "name them in the recipe", "its own last layer"]);
    contains(
        &recipe,
        &["head: keep", "classes: [\"class 0\", \"class 1\"]}", "loss: sparse_cross_entropy", "metrics: [mean_iou,"],
    );
    let set = ["--set", "training.epochs=30", "--set", "training.optimizer.adamw.learning_rate=0.1"];
    place.run(&[&["train", "made.yaml"][..], &set].concat()).done();
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/made/metrics.json")).unwrap();
    assert!(metrics["evaluation"]["mean_iou"].as_f64().unwrap() > 0.9, "{}", metrics["evaluation"]);
    place.run(&["predict", "runs/made", "squares/images", "--masks", "found"]).done();
    // the masks beside them are no pictures
    let ran = place.run(&["predict", "runs/made", "squares"]);
    contains(&ran.stderr, &["40 rows in ", "40 masks beside the images passed over"]);
    ran.done();
    // a mask is as large as its picture, whatever size the model sees
    enlarged(&place, "large.png", 3);
    let told = place.run(&["predict", "runs/made", "large.png", "--masks", "found", "--json"]).json();
    assert_eq!(told["size"], serde_json::json!([2 * SIDE, 3 * SIDE]));
    let mask = image::open(place.path("found/large.png")).unwrap().to_luma8();
    let right = mask.enumerate_pixels().filter(|(x, y, class)| is_inside(square(3), x / 2, y / 3) == (class.0[0] == 1));
    assert!(right.count() as f64 > 0.95 * f64::from(6 * SIDE * SIDE), "{told}");
    // and without a folder for it the shares are told
    let table = place.run(&["predict", "runs/made", "large.png"]).done();
    contains(&table, &["large.png", "class 0", "class 1", "%"]);
    place.run(&["predict", "runs/made", "large.png", "-o", "shares.parquet"]).done();

    // black and white, and a model of other classes
    masks(&place, "white", 255);
    of_pixels(&place, "five.onnx", 5, SIDE);
    let (said, recipe) = made(&place, "white", "five.onnx");
    contains(&said, &["(pixels of [0, 255])", "a new last layer"]);
    contains(&recipe, &["head: {new_with: zeros}", "classes: [background, foreground], values: [0, 255]}"]);
    place.run(&["train", "white", "five.onnx", "--set", "training.epochs=1"]).done();
}

#[test]
fn masks_that_a_model_cannot_tell_are_told() {
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    of_pixels(&place, "coarse.onnx", 2, 4);
    of_numbers(&place, "classes.onnx", 3);
    let init = |model: &str| place.run(&["init", "squares", model, "-o", "made.yaml"]);
    init("coarse.onnx").failed_with(&["4×4 places of an image of 16×16 pixels", "interpolate"]);
    init("classes.onnx").failed_with(&["`mask` holds masks", "the model gives [?, 3]"]);
    // one number for all is a model too
    let nodes = vec![
        node("Conv", &["image", "w", "b"], "maps", &[]),
        node("ReduceMean", &["maps"], "mean", &[("keepdims", &[0])]),
    ];
    let own = SIDE.to_string();
    let inputs = vec![tensor("image", false, &["batch", "3", &own, &own])];
    let weights = vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])];
    fs::write(place.path("number.onnx"), model(nodes, weights, inputs, vec![tensor("mean", false, &[])])).unwrap();
    init("number.onnx").failed_with(&["`mask` holds masks", "the model gives []"]);
    yolo(&place, "boxes", 1);
    place.run(&["init", "boxes", "number.onnx", "-o", "made.yaml"]).failed_with(&["first output is []"]);
    assert!(!place.path("made.yaml").exists());
}

#[test]
fn masks_of_a_model_with_channels_last_are_no_scores_of_3_times_16_places() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    of_pixels_last(&place, "last.onnx", 2, [SIDE; 2]);
    let (said, recipe) = made(&place, "squares", "last.onnx");
    contains(&said, &["the class of each pixel in `mask`, one of 2", "16×16 pixels", "its own last layer"]);
    contains(&recipe, &["random_resized_crop: {size: 16,", "resize: {size: 16}"]);
    place.run(&["train", "made.yaml", "--set", "training.epochs=1"]).done();
    // as wide as the images have channels
    of_pixels_last(&place, "three.onnx", 3, [SIDE; 2]);
    contains(&made(&place, "squares", "three.onnx").0, &["the class of each pixel in `mask`"]);
}

#[test]
fn a_model_whose_image_is_not_square_has_transforms_of_its_width_and_height() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    of_pixels_last(&place, "last.onnx", 2, [24, 20]);
    let nodes = vec![node("Conv", &["image", "w", "b"], "scores", &[])];
    let weights = vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])];
    let tensor = |name, channels| tensor(name, false, &["batch", channels, "20", "24"]);
    let first = model(nodes, weights, vec![tensor("image", "3")], vec![tensor("scores", "2")]);
    fs::write(place.path("first.onnx"), first).unwrap();
    for model in ["first.onnx", "last.onnx"] {
        let (said, recipe) = made(&place, "squares", model);
        contains(&said, &["at 24×20 pixels"]);
        contains(&recipe, &["random_resized_crop: {size: [24, 20],", "resize: {size: [24, 20]}"]);
        place.run(&["train", "made.yaml", "--set", "training.epochs=1", "--overwrite"]).done();
    }
}

/// One convolution with one score for each pixel through a sigmoid, with an axis for it or, `is_bare`, without.
fn of_one_score(place: &Workplace, name: &str, is_bare: bool) {
    let mut nodes = vec![node("Conv", &["image", "w", "b"], "map", &[])];
    let own = SIDE.to_string();
    let own = own.as_str();
    let axes = if is_bare { vec!["batch", own, own] } else { vec!["batch", "1", own, own] };
    match is_bare {
        true => {
            nodes.push(node("Sigmoid", &["map"], "chances", &[]));
            nodes.push(node("Squeeze", &["chances", "second"], "mask", &[]));
        }
        false => nodes.push(node("Sigmoid", &["map"], "mask", &[])),
    }
    let weights = vec![weight("w", &[1, 3, 1, 1]), weight("b", &[1]), whole("second", &[1])];
    let inputs = vec![tensor("image", false, &["batch", "3", own, own])];
    let network = model(nodes, weights, inputs, vec![tensor("mask", false, &axes)]);
    fs::write(place.path(name), network).unwrap();
}

#[test]
fn masks_of_two_classes_are_learned_by_models_of_one_score_a_pixel() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    masks(&place, "white", 255);
    of_pixels(&place, "bare.onnx", 1, SIDE);
    of_one_score(&place, "sigmoid.onnx", false);
    of_one_score(&place, "flat.onnx", true);
    let wishes = ["--set", "training.epochs=30", "--set", "training.optimizer.adamw.learning_rate=0.1"];
    for (data, model, values) in
        [("squares", "bare.onnx", "]}"), ("white", "sigmoid.onnx", "], values: [0, 255]}"), ("white", "flat.onnx", "]")]
    {
        let (said, recipe) = made(&place, data, model);
        contains(&said, &["the class of each pixel in `mask`, one of 2", "its own last layer is trained on"]);
        let classes = format!("classes: [background, foreground{values}");
        contains(&recipe, &["head: keep", &classes, "binary cross-entropy", "loss: sparse_cross_entropy"]);
        let told = place.run(&["check", "made.yaml", "--json"]).json().to_string();
        contains(&told, &["one score for each place", "binary cross-entropy of its sigmoid"]);
        place.run(&[&["train", "made.yaml", "--overwrite"][..], &wishes].concat()).done();
        let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/made/metrics.json")).unwrap();
        let learned = metrics["evaluation"]["mean_iou"].as_f64().unwrap();
        assert!(learned > 0.9, "{model}: {}", metrics["evaluation"]);
        // the exported model has one score as before, and is measured as in training
        let again = place.run(&["evaluate", "made.yaml", "--json"]).json()["evaluation"].take();
        for figure in ["mean_iou", "dice", "accuracy"] {
            let wanted = metrics["evaluation"][figure].as_f64().unwrap();
            let found = again[figure].as_f64().unwrap();
            assert!((found - wanted).abs() < 1e-6, "{model}: {figure} {wanted}, evaluated {again}");
        }
        enlarged(&place, "large.png", 3);
        let told = place.run(&["predict", "runs/made", "large.png", "--masks", "found", "--json"]).json();
        let mask = image::open(place.path("found/large.png")).unwrap().to_luma8();
        let is_right = |x: u32, y: u32, class: u8| is_inside(square(3), x / 2, y / 3) == (class == 1);
        let right = mask.enumerate_pixels().filter(|(x, y, class)| is_right(*x, *y, class.0[0])).count();
        assert!(right as f64 > 0.95 * f64::from(6 * SIDE * SIDE), "{model}: {told}");
        contains(&place.run(&["predict", "runs/made", "large.png"]).done(), &["background", "foreground", "%"]);
        let _ = fs::remove_dir_all(place.path("found"));
        if model != "flat.onnx" {
            place.run(&["document", "runs/made"]).done();
            let card = String::from_utf8(place.read("runs/made/documents/README.md")).unwrap();
            contains(&card, &[if model == "bare.onnx" { "its sigmoid is the probability" } else { "above one half" }]);
        }
    }
    // other losses of masks go with it
    for loss in ["sparse_focal", "{dice: {cross_entropy: 0.5}}", "{sparse_cross_entropy: {class_weights: [1, 4]}}"] {
        let set = format!("training.loss={loss}");
        place.run(&["train", "made.yaml", "--overwrite", "--set", "training.epochs=1", "--set", &set]).done();
    }
    // what is fitted to the scores is followed by `predict` as by `evaluate`
    let fitted = ["--set", "evaluation.calibrate={temperature: true, threshold: f1}", "--set", "training.epochs=1"];
    place.run(&[&["train", "made.yaml", "--overwrite"][..], &fitted].concat()).done();
    place.run(&["evaluate", "made.yaml"]).done();
    contains(&place.run(&["predict", "runs/made", "large.png"]).done(), &["large.png", "%"]);
}

#[test]
fn one_score_a_pixel_of_pictures_of_any_size_is_told_from_other_numbers() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    // an output of three axes whose lengths have names of its own, with steps of so many pixels
    let of_any_size = |name: &str, stride: u64| {
        let nodes = vec![
            node("Conv", &["image", "w", "b"], "map", &[("strides", &[stride, stride])]),
            node("Sigmoid", &["map"], "chances", &[]),
            node("Squeeze", &["chances", "second"], "mask", &[]),
        ];
        let weights = vec![weight("w", &[1, 3, 1, 1]), weight("b", &[1]), whole("second", &[1])];
        let inputs = vec![tensor("image", false, &["batch", "3", "height", "width"])];
        let outputs = vec![tensor("mask", false, &["batch", "rows", "columns"])];
        fs::write(place.path(name), model(nodes, weights, inputs, outputs)).unwrap();
    };
    of_any_size("pixels.onnx", 1);
    let (said, recipe) = made(&place, "squares", "pixels.onnx");
    contains(&said, &["the class of each pixel in `mask`, one of 2", "its own last layer is trained on"]);
    contains(&recipe, &["head: keep", "classes: [background, foreground]", "binary cross-entropy"]);
    place.run(&["train", "made.yaml", "--set", "training.epochs=1"]).done();
    of_any_size("coarse.onnx", 2);
    let refused = place.run(&["init", "squares", "coarse.onnx", "-o", "other.yaml"]);
    refused.failed_with(&["not scores for each pixel"]);
}

#[test]
fn masks_for_a_loss_of_labels_are_told_with_what_works() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    masks(&place, "squares", 1);
    of_pixels(&place, "one.onnx", 1, SIDE);
    made(&place, "squares", "one.onnx");
    let set =
        ["--set", "training.loss=binary_cross_entropy", "--set", "training.metrics=[]", "--set", "training.best=loss"];
    place.run(&[&["check", "made.yaml"][..], &set].concat()).failed_with(&[
        "the number of a class for each place",
        "`sparse_cross_entropy`",
        "one score for each place",
        "the same by `model.head: keep`",
    ]);
    // and that works, as does a new last layer of two
    place.run(&["train", "made.yaml", "--set", "training.epochs=1"]).done();
    let set = ["--set", "model.head={new_with: zeros}", "--set", "training.epochs=1"];
    place.run(&[&["train", "made.yaml", "--overwrite"][..], &set].concat()).done();
}

#[test]
fn pictures_of_one_thing_with_its_box_become_a_recipe_that_finds_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    yolo(&place, "squares", 1);
    of_numbers(&place, "classes.onnx", 10);
    let (said, recipe) = made(&place, "squares", "classes.onnx");
    contains(&said, &["where the thing in a picture is", "a new last layer", "are those of `coco`, as the data say"]);
    contains(&recipe, &["convention: coco, most: 1, as: flat", "huber", "no turns"]);
    place.run(&["train", "made.yaml"]).done();
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/made/metrics.json")).unwrap();
    let away = metrics["evaluation"]["mae"].as_f64().unwrap();
    assert!(away < 0.12, "{}", metrics["evaluation"]);
    // boxes are those of the picture as it is, in pixels
    enlarged(&place, "large.png", 3);
    let told = place.run(&["predict", "runs/made", "large.png", "--json"]).json();
    let [left, top, side] = square(3).map(f64::from);
    let wanted = [2.0 * left, 3.0 * top, 2.0 * (left + side), 3.0 * (top + side)];
    let found: Vec<f64> = told["box"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect();
    let away: f64 = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).sum::<f64>() / 4.0;
    assert!(away < 0.2 * 2.5 * f64::from(SIDE), "{found:?} {wanted:?}");
    let table = place.run(&["predict", "runs/made", "large.png"]).done();
    contains(&table, &["left", "bottom", &format!("{:.1}", found[0])]);
    place.run(&["predict", "runs/made", "large.png", "-o", "boxes.csv"]).done();
    contains(&String::from_utf8(place.read("boxes.csv")).unwrap(), &["input,left,top,right,bottom,class,error"]);
    place.run(&["predict", "runs/made", "squares/images", "-o", "boxes.parquet"]).done();

    // what a file leaves open, as TorchScript's does, follows from its graph
    let nodes = vec![
        node("Flatten", &["image"], "pixels", &[("axis", &[1])]),
        node("Gemm", &["pixels", "w", "b"], "numbers", &[("transB", &[1])]),
        node("Reshape", &["numbers", "shape"], "boxes", &[]),
    ];
    let pixels = u64::from(SIDE * SIDE * 3);
    let weights = vec![weight("w", &[4, pixels]), weight("b", &[4]), whole("shape", &[-1, 1, 4])];
    let own = SIDE.to_string();
    let inputs = vec![tensor("image", false, &["batch", "3", &own, &own])];
    let outputs = vec![tensor("boxes", false, &["batch", "some", "more"])];
    fs::write(place.path("reshaped.onnx"), model(nodes, weights, inputs, outputs)).unwrap();
    let (_, recipe) = made(&place, "squares", "reshaped.onnx");
    contains(&recipe, &["head: keep", "convention: coco, most: 1, beyond: cut"]);

    yolo(&place, "several", 3);
    // a dense layer on the pixels has no map in which several could be told
    place
        .run(&["init", "several", "classes.onnx", "-o", "other.yaml"])
        .failed_with(&["there is no map [batch, features, height, width] behind output", "is made by no node"]);
    assert!(!place.path("other.yaml").exists());
    of_pixels(&place, "maps.onnx", 2, 16);
    let (said, recipe) = made(&place, "several", "maps.onnx");
    contains(&said, &["what is in a picture and where", "up to 3 boxes in a picture", "at the places of"]);
    contains(&recipe, &["head: boxes", "most: 3, as: classed", "loss: fcos"]);
}

#[test]
fn a_crowd_in_front_of_the_thing_of_a_picture_is_not_learned_as_its_box_without_a_word() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for row in 0..40 {
        picture(&place, &format!("crowds/train2017/{row}.png"), row);
        let [left, top, side] = square(row);
        images.push(serde_json::json!({"id": row, "file_name": format!("{row}.png"), "width": SIDE, "height": SIDE}));
        for (crowd, sides) in [(1, [0, 0, SIDE, SIDE]), (0, [left, top, side, side])] {
            let (id, area) = (annotations.len(), sides[2] * sides[3]);
            annotations.push(serde_json::json!({
                "id": id, "image_id": row, "category_id": 1, "bbox": sides, "area": area, "iscrowd": crowd,
            }));
        }
    }
    let categories = [serde_json::json!({"id": 1, "name": "square"})];
    let all = serde_json::json!({"images": images, "annotations": annotations, "categories": categories});
    fs::create_dir_all(place.path("crowds/annotations")).unwrap();
    place.write("crowds/annotations/instances_train2017.json", &all.to_string());
    of_numbers(&place, "numbers.onnx", 10);
    let (said, recipe) = made(&place, "crowds", "numbers.onnx");
    contains(&said, &["by the first box in `objects` (those around a crowd are left out)"]);
    contains(&recipe, &["most: 1, as: flat", "crowd_field: iscrowd", "# boxes around a crowd are left out"]);
    // a box as large as the picture is never the one that is learned
    place.run(&["train", "made.yaml"]).done();
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/made/metrics.json")).unwrap();
    assert!(metrics["evaluation"]["mae"].as_f64().unwrap() < 0.12, "{}", metrics["evaluation"]);
}

/// A bright and a grey square on a dark picture, one left of the other.
fn two_squares(row: usize) -> [[u32; 3]; 2] {
    let [left, top, side] = square(row);
    let [other_left, other_top, other_side] = square(row + 1000);
    [[left / 4, top, side], [8 + other_left / 4, other_top, other_side]]
}

/// Pictures of those, with their boxes and classes as YOLO has them.
fn yolo_of_two(place: &Workplace, folder: &str) {
    fs::create_dir_all(place.path(&format!("{folder}/labels"))).unwrap();
    fs::create_dir_all(place.path(&format!("{folder}/images"))).unwrap();
    for row in 0..40 {
        let [bright, grey] = two_squares(row);
        let pixel = |x, y| match (is_inside(bright, x, y), is_inside(grey, x, y)) {
            (true, _) => Rgb([230; 3]),
            (_, true) => Rgb([130; 3]),
            _ => Rgb([20; 3]),
        };
        RgbImage::from_fn(SIDE, SIDE, pixel).save(place.path(&format!("{folder}/images/{row}.png"))).unwrap();
        let line = |class: usize, square: [u32; 3]| {
            let [left, top, side] = square.map(|pixels| f64::from(pixels) / f64::from(SIDE));
            format!("{class} {} {} {side} {side}\n", left + side / 2.0, top + side / 2.0)
        };
        let lines = [line(0, bright), line(1, grey)].concat();
        fs::write(place.path(&format!("{folder}/labels/{row}.txt")), lines).unwrap();
    }
    place.write(&format!("{folder}/data.yaml"), "names: [bright, grey]\n");
}

/// A model of ten classes: a convolution of four by four places, their mean, a dense layer.
fn of_four_by_four(place: &Workplace, name: &str) {
    let nodes = vec![
        node("Conv", &["image", "kernel", "b"], "maps", &[("strides", &[4, 4])]),
        node("Relu", &["maps"], "features", &[]),
        node("GlobalAveragePool", &["features"], "pooled", &[]),
        node("Flatten", &["pooled"], "vectors", &[("axis", &[1])]),
        node("Gemm", &["vectors", "w", "c"], "scores", &[("transB", &[1])]),
    ];
    let weights = vec![weight("kernel", &[8, 3, 4, 4]), weight("b", &[8]), weight("w", &[10, 8]), weight("c", &[10])];
    let own = SIDE.to_string();
    let inputs = vec![tensor("image", false, &["batch", "3", &own, &own])];
    fs::write(place.path(name), model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "10"])]))
        .unwrap();
}

#[test]
fn pictures_of_several_things_become_a_recipe_that_finds_them() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    yolo_of_two(&place, "squares");
    of_four_by_four(&place, "classes.onnx");
    let (said, recipe) = made(&place, "squares", "classes.onnx");
    contains(&said, &["what is in a picture and where", "up to 2 boxes", "a new last layer tells boxes"]);
    contains(&recipe, &["head: boxes", "most: 2, as: classed", "loss: fcos", "best: mean_average_precision"]);
    let set = ["--set", "training.epochs=60", "--set", "training.optimizer.adamw.learning_rate=0.001"];
    place.run(&[&["train", "made.yaml"][..], &set].concat()).done();
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/made/metrics.json")).unwrap();
    let found = metrics["evaluation"]["mean_average_precision_50"].as_f64().unwrap();
    assert!(found > 0.3, "{}", metrics["evaluation"]);
    // the same is measured of the file alone, but for what a rounded number does to a box at a bound
    let again = place.run(&["evaluate", "runs/made", "--json"]).json()["evaluation"].take();
    for figure in ["mean_average_precision", "mean_average_precision_50"] {
        let [wanted, found] = [&metrics["evaluation"], &again].map(|figures| figures[figure].as_f64().unwrap());
        assert!((found - wanted).abs() < 0.05, "{figure}: {wanted}, evaluated {again}");
    }
    let table = &metrics["evaluation"]["average_precision_by_class"];
    assert_eq!((&table[0]["name"], &table[1]["name"]), (&"bright".into(), &"grey".into()), "{table}");
    assert!((0..2).all(|at| table[at]["boxes"].as_u64() > Some(0)), "{table}");
    // it is told by classes
    let told = place.run(&["evaluate", "runs/made"]).done();
    contains(&told, &["class", "boxes", "average-precision", "average-precision-50", "bright", "grey"]);
    // of a model that has learned next to nothing the page draws what it missed
    let short = ["--set", "training.epochs=1", "--set", "output.folder=runs/short"];
    place.run(&[&["train", "made.yaml"][..], &short].concat()).done();
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("runs/short/metrics.json")).unwrap();
    let pictures = metrics["evaluation"]["mistaken_pictures"].as_array().unwrap();
    let page = String::from_utf8(place.read("runs/short/report.html")).unwrap();
    assert!(!pictures.is_empty() && page.matches("<svg class=\"boxes\"").count() == pictures.len(), "{metrics}");
    assert!(page.contains("<title>bright</title>") && page.contains(" not found"), "{page}");
    // answers of a row are no boxes: what asks for them says what there is instead
    let instead = ["gives boxes", "`millstream predict ", "-o things.parquet"];
    place.run(&["evaluate", "runs/made", "--predictions", "kept.parquet"]).failed_with(&instead);
    // before the model is read
    place.write("damaged.onnx", "no model");
    let keep = ["evaluate", "made.yaml", "--model", "damaged.onnx", "--predictions", "kept.parquet"];
    place.run(&keep).failed_with(&instead);
    assert!(!place.path("kept.parquet").exists());
    place.run(&["errors", "runs/made"]).failed_with(&instead);
    let both = ["ensemble", "fit", "runs/made", "runs/short", "-o", "both"];
    place.run(&both).failed_with(&[&instead[..], &["training.average"]].concat());
    assert!(!place.path("both").exists());
    let train = ["ensemble", "members", "made.yaml", "--folds", "2", "-o", "members"];
    place.run(&train).failed_with(&["members answer with classes", "gives boxes", "training.average"]);
    let ran = place.run(&["compare", "runs/made", "runs/short", "--predict"]);
    contains(&ran.stderr, &["gives boxes", "`millstream predict "]);
    contains(&ran.done(), &["mean-average-precision"]);
    // things are told in pixels of the pictures, with their class
    place.run(&["predict", "runs/made", "squares/images", "-o", "things.jsonl"]).done();
    let lines = String::from_utf8(place.read("things.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 40);
    let things: Vec<&serde_json::Value> = rows.iter().flat_map(|row| row["things"].as_array().unwrap()).collect();
    assert!(!things.is_empty(), "{lines}");
    for thing in things {
        assert!(thing["class"] == "bright" || thing["class"] == "grey", "{thing}");
        assert!(thing["probability"].as_f64().is_some_and(|probability| (0.3..=1.0).contains(&probability)), "{thing}");
        let sides = thing["box"].as_array().unwrap();
        assert!(sides.iter().all(|side| side.as_f64().is_some_and(|side| (0.0..=16.0).contains(&side))), "{thing}");
    }
    contains(&place.run(&["predict", "runs/made", "squares/images"]).done(), &["class, probability (left, top"]);
    place.run(&["predict", "runs/made", "squares/images", "-o", "things.csv"]).done();
    contains(&String::from_utf8(place.read("things.csv")).unwrap(), &["input,things,error"]);
    place.run(&["predict", "runs/made", "squares/images", "-o", "things.parquet"]).done();
    // boxes that have no place are told of
    let cut = ["--set", "data.targets.boxes.boxes.most=1", "--set", "training.epochs=1", "--set", "output.folder=cut"];
    let ran = place.run(&[&["train", "made.yaml"][..], &cut].concat());
    for of in ["training, in all epochs", "the evaluation"] {
        let wanted = format!("beyond the `most` of a row were left out of {of}");
        assert!(ran.stderr.contains(&wanted), "wanted {wanted} in {}", ran.stderr);
    }
    // once, where the exported model is measured; also of a run that goes on, whose counts are those since then
    let measured = ["--set", "evaluation.intervals={bootstrap: 0}", "--set", "output.folder=measured"];
    let train = [&["train", "made.yaml"][..], &cut[..4], &measured].concat();
    let said = place.run(&train).stderr;
    assert_eq!(said.matches("left out of the evaluation").count(), 1, "{said}");
    let said = place.run(&[&train[..], &["--resume"]].concat()).stderr;
    assert_eq!(said.matches("left out of the evaluation").count(), 1, "{said}");
    let more = ["--resume", "--set", "training.epochs=2"];
    let said = place.run(&[&train[..], &more].concat()).stderr;
    contains(&said, &["left out of training, since it was resumed", "left out of the evaluation"]);
    // trained again it tells the same classes by its own last layer, and others by a new one on what that reads
    let (said, recipe) = made(&place, "squares", "runs/made/model.onnx");
    contains(&said, &["what is in a picture and where", "its own last layer is trained on"]);
    contains(&recipe, &["head: keep", "most: 2, as: classed", "loss: fcos"]);
    yolo_of_two(&place, "others");
    place.write("others/data.yaml", "names: [pale, dark]\n");
    let (said, recipe) = made(&place, "others", "runs/made/model.onnx");
    contains(&said, &["a new last layer tells boxes"]);
    contains(&recipe, &["head: boxes"]);
}

#[test]
fn pictures_of_digits_with_their_boxes_are_not_mirrored() {
    let place = Workplace::bare();
    yolo_of_two(&place, "things");
    yolo_of_two(&place, "digits");
    place.write("digits/data.yaml", "names: ['1', '7']\n");
    for (data, wanted, other) in
        [("things", "- horizontal_flip", "no flips"), ("digits", "# no flips", "- horizontal_flip")]
    {
        place.run(&["init", data, "-o", "made.yaml", "--overwrite"]).done();
        let recipe = String::from_utf8(place.read("made.yaml")).unwrap();
        contains(&recipe, &[wanted, "no turns"]);
        assert!(!recipe.contains(other), "{recipe}");
    }
}

#[test]
fn boxes_of_an_import_that_look_like_corners_are_left_top_width_and_height() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    // wider than they are far from the edges, all of them
    fs::create_dir_all(place.path("wide/labels")).unwrap();
    for row in 0..40 {
        picture(&place, &format!("wide/images/{row}.png"), row);
        place.write(&format!("wide/labels/{row}.txt"), "0 0.5 0.5 0.6 0.6\n");
    }
    place.write("wide/data.yaml", "names: [square]\n");
    of_numbers(&place, "classes.onnx", 10);
    let (said, recipe) = made(&place, "wide", "classes.onnx");
    contains(&said, &["are those of `coco`, as the data say"]);
    contains(&recipe, &["convention: coco"]);
    // the same as Parquet
    place.run(&["import", "wide", "-o", "parquet"]).done();
    contains(&made(&place, "parquet", "classes.onnx").1, &["convention: coco"]);
}
