//! What `predict` says of labelled rows is what `evaluate` measures, whatever a model predicts.

use std::fs;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use image::ImageReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::columns::{bytes, lists, lists_of_lists, lists_of_texts, numbers};
use crate::learning::{MEASURED, figure, measured, place, recipe};
use crate::losses_of_classes::{dense, features};
use crate::losses_of_labels::{LABELS, holds};
use crate::losses_of_numbers::{answers, rectangles};
use crate::losses_of_places::square;
use crate::onnx::{model, node, tensor, weight};
use crate::workplace::{Workplace, has_runtime};

/// Trains, and predicts the rows that `evaluate` measures, as JSON.
fn predicted(place: &Workplace, recipe: &Value, more: &[&str]) -> Vec<Value> {
    place.write("recipe.yaml", &recipe.to_string());
    place.run(&["train", "recipe.yaml", "--quiet"]).done();
    let line = [&["predict", "run", "test.parquet", "--json"][..], more].concat();
    let said = place.run(&line).done();
    let rows: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), MEASURED);
    rows
}

/// What the model gave for each row that `evaluate` measured, with the place of that row in the file.
fn kept(place: &Workplace) -> Vec<(usize, Vec<f32>)> {
    place.run(&["evaluate", "recipe.yaml", "--predictions", "kept.parquet"]).done();
    let file = fs::File::open(place.path("kept.parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut found = Vec::new();
    for batch in batches.map(Result::unwrap) {
        let whole = |name: &str| batch[name].as_primitive::<Int64Type>().values().to_vec();
        let (groups, rows, scores) = (whole("row_group"), whole("row"), batch["logits"].as_list::<i32>());
        for at in 0..batch.num_rows() {
            let own = scores.value(at).as_primitive::<Float32Type>().values().to_vec();
            // files of tests have row groups of eight rows
            found.push(((8 * groups[at] + rows[at]) as usize, own));
        }
    }
    found
}

fn floats(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn numbers_of_labelled_rows_are_those_that_evaluate_measures_to_the_last_bit() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        // a row without an answer is predicted too
        let answer = |at: usize| numbers(rows().map(|row| (row % 13 != 4).then(|| answers(row)[at])));
        let x = lists(rows().map(|row| Some(features(row).to_vec())));
        vec![("x", x), ("weight", answer(0)), ("height", answer(1))]
    };
    let place = place(columns, dense(4, 2));
    let target = json!({"number": {"column": ["weight", "height"], "standardize": true}});
    let recipe = recipe(
        json!({"inputs": {"x": {"vector": {"column": "x"}}}, "targets": {"both": target}}),
        json!({"loss": "mae", "epochs": 4}),
    );
    let rows = predicted(&place, &recipe, &[]);
    let kept = kept(&place);
    assert_eq!(kept.len(), (1000..1000 + MEASURED).filter(|row| row % 13 != 4).count());
    for (row, numbers) in kept {
        assert_eq!(floats(&rows[row]["values"]), numbers, "row {row}");
    }
}

#[test]
fn labels_of_labelled_rows_are_those_that_evaluate_measures() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let names = |row: usize| (0..3).filter(|label| holds(row, *label)).map(|label| LABELS[label]).collect();
        let x = lists(rows().map(|row| Some(features(row).to_vec())));
        vec![("x", x), ("weather", lists_of_texts(rows().map(names)))]
    };
    let place = place(columns, dense(4, 3));
    let recipe = recipe(
        json!({
            "inputs": {"x": {"vector": {"column": "x"}}},
            "targets": {"weather": {"multi_label": {"column": "weather"}}},
        }),
        json!({"loss": "binary_cross_entropy", "metrics": ["exact_match"], "epochs": 4}),
    );
    let rows = predicted(&place, &recipe, &["--top", "0"]);
    let mut right = 0;
    for (row, scores) in kept(&place) {
        let told = &rows[row];
        let said: Vec<&str> = (0..3).filter(|label| scores[*label] > 0.0).map(|label| LABELS[label]).collect();
        assert_eq!(told["labels"], json!(said), "row {row}");
        let top = told["top"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        for one in top {
            let label = LABELS.iter().position(|label| one["class"] == *label).unwrap();
            let wanted = 1.0 / (1.0 + (-f64::from(scores[label])).exp());
            assert!((one["probability"].as_f64().unwrap() - wanted).abs() < 1e-6, "row {row}: {told}");
        }
        let truth: Vec<&str> = (0..3).filter(|label| holds(1000 + row, *label)).map(|label| LABELS[label]).collect();
        right += usize::from(said == truth);
    }
    let share = right as f64 / MEASURED as f64;
    assert!((figure(&measured(&place, &[]), "exact_match") - share).abs() < 1e-9, "{share}");
}

#[test]
fn masks_of_labelled_rows_are_those_that_evaluate_measures() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || (first..first + count).map(square);
        vec![
            ("picture", bytes(rows().map(|(picture, _)| Some(picture)))),
            ("mask", bytes(rows().map(|(_, mask)| Some(mask)))),
        ]
    };
    let nodes = vec![node("Conv", &["picture", "w", "b"], "scores", &[])];
    let weights = vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])];
    let inputs = vec![tensor("picture", false, &["batch", "3", "8", "8"])];
    let network = model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "2", "8", "8"])]);
    let place = place(columns, network);
    let mask = json!({"mask": {"column": "mask", "classes": ["dark", "bright"], "ignore_index": 255}});
    let recipe = recipe(
        json!({"inputs": {"picture": {"image": {"column": "picture"}}}, "targets": {"mask": mask}}),
        json!({
            "loss": {"sparse_cross_entropy": {"ignore_index": 255}}, "metrics": ["mean_iou", "accuracy"], "epochs": 10,
            "optimizer": {"adamw": {"learning_rate": 0.1}},
        }),
    );
    let rows = predicted(&place, &recipe, &["--masks", "masks"]);
    place.run(&["predict", "run", "none.parquet", "--masks", "new"]).failed_with(&["none.parquet"]);
    assert!(!place.path("new").exists(), "a prediction of nothing leaves an empty folder");
    // by truth and what was taken for it
    let (mut counts, mut mistaken) = ([[0.0_f64; 2]; 2], Vec::<u32>::new());
    for (row, told) in rows.iter().enumerate() {
        let written = ImageReader::open(place.path(told["mask"].as_str().unwrap())).unwrap().decode().unwrap();
        let truth = image::load_from_memory(&square(1000 + row).1).unwrap().to_luma8();
        let (written, truth) = (written.to_luma8().into_raw(), truth.into_raw());
        assert_eq!(written.len(), truth.len());
        let bright = written.iter().filter(|class| **class == 1).count() as f64 / written.len() as f64;
        let shares = told["shares"].as_array().unwrap();
        let share =
            shares.iter().find(|share| share["class"] == "bright").map_or(0.0, |own| own["share"].as_f64().unwrap());
        assert!((share - bright).abs() < 1e-9, "{told}");
        let mut wrong = 0;
        for (class, truth) in written.into_iter().zip(truth).filter(|(_, truth)| *truth != 255) {
            counts[usize::from(truth)][usize::from(class)] += 1.0;
            wrong += u32::from(class != truth);
        }
        mistaken.extend((wrong > 0).then_some(wrong));
    }
    let found = measured(&place, &[]);
    let right = counts[0][0] + counts[1][1];
    let wrong = counts[0][1] + counts[1][0];
    assert!((0..2).all(|class| counts[0][class] + counts[1][class] > 0.0), "one class is told alone: {counts:?}");
    assert!((figure(&found, "accuracy") - right / (right + wrong)).abs() < 1e-9, "{counts:?} {found}");
    let union = (0..2).map(|class| counts[class][class] / (counts[class][class] + wrong));
    for (class, wanted) in union.clone().enumerate() {
        let of_class = &found["iou_by_class"][class];
        assert_eq!(of_class["name"], ["dark", "bright"][class]);
        assert!((figure(of_class, "iou") - wanted).abs() < 1e-9, "{found}");
    }
    assert!((figure(&found, "mean_iou") - union.sum::<f64>() / 2.0).abs() < 1e-9, "{counts:?} {found}");
    // the worst are kept with their masks, of 56 places that count, and drawn
    mistaken.sort_unstable_by_key(|wrong| std::cmp::Reverse(*wrong));
    mistaken.truncate(6);
    let record: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let empty = Vec::new();
    let kept = record["evaluation"]["mistaken_masks"].as_array().unwrap_or(&empty);
    let shares: Vec<f64> = kept.iter().map(|mask| mask["wrong"].as_f64().unwrap()).collect();
    let wanted: Vec<f64> = mistaken.iter().map(|wrong| f64::from(*wrong) / 56.0).collect();
    assert_eq!(shares, wanted);
    assert!(
        kept.iter().all(|mask| mask["width"] == 8 && mask["truth"].as_str().unwrap().ends_with(" -*8")),
        "{kept:?}"
    );
    // what is printed names the same pictures without their maps
    let printed = found["mistaken_masks"].as_array().unwrap_or(&empty);
    assert_eq!(printed.len(), kept.len(), "{found}");
    assert!(printed.iter().all(|mask| mask.get("truth").is_none() && mask.get("told").is_none()), "{printed:?}");
    let report = String::from_utf8(place.read("run/report.html")).unwrap();
    assert_eq!(report.matches("of the places told as another class</figcaption>").count(), kept.len());
}

#[test]
fn boxes_of_labelled_rows_are_those_that_evaluate_measures_in_pixels() {
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
        node("Gemm", &["pixels", "w", "b"], "boxes", &[("transB", &[1])]),
    ];
    let weights = vec![weight("w", &[8, 192]), weight("b", &[8])];
    let inputs = vec![tensor("picture", false, &["batch", "3", "8", "8"])];
    let network = model(nodes, weights, inputs, vec![tensor("boxes", false, &["batch", "8"])]);
    let place = place(columns, network);
    let boxes = json!({"boxes": {"column": "boxes", "convention": "albumentations", "most": 2, "as": "flat"}});
    let recipe = recipe(
        json!({"inputs": {"picture": {"image": {"column": "picture"}}}, "targets": {"boxes": boxes}}),
        json!({"loss": "huber", "epochs": 4, "optimizer": {"adamw": {"learning_rate": 0.005}}}),
    );
    let rows = predicted(&place, &recipe, &[]);
    let kept = kept(&place);
    assert_eq!(kept.len(), MEASURED);
    for (row, numbers) in kept {
        // shares of the sides of a picture of 8 × 8, cut at its edges; the sides are told in their order
        let wanted: Vec<Vec<f32>> = numbers
            .chunks(4)
            .map(|own| {
                let [a, b, c, d] = [0, 1, 2, 3].map(|side: usize| (8.0 * own[side]).clamp(0.0, 8.0));
                vec![a.min(c), b.min(d), a.max(c), b.max(d)]
            })
            .collect();
        let told: Vec<Vec<f32>> = rows[row]["boxes"].as_array().unwrap().iter().map(floats).collect();
        assert_eq!(told, wanted, "row {row}");
    }
}
