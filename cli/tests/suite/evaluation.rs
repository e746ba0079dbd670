//! What is measured and fitted at the end of a run, and by `evaluate`.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use millstream::OperatorCatalog;
use millstream::compiler::graph::{ElementType, Graph, Length, TensorType};
use serde_json::{Value, json};

use crate::columns::{numbers, whole};
use crate::dataset::{self, Row};
use crate::learning::{noise, recipe};
use crate::workplace::{Workplace, has_runtime};

/// Rows of which every fifth has another label than its colour says.
fn mislabelled(first: usize, count: usize, classes: i64) -> Vec<Row> {
    let wrong = |(at, mut row): (usize, Row)| {
        row.label = (row.label + i64::from(at % 5 == 0)) % classes;
        row
    };
    dataset::rows(first, count).into_iter().enumerate().map(wrong).collect()
}

/// Where the evaluation rows are partly mislabelled, and have columns to be told apart by.
fn with_columns() -> Workplace {
    let place = Workplace::new();
    let rows = mislabelled(100, 30, 3);
    let mut columns = dataset::columns(&rows);
    let light: StringArray =
        (0..30).map(|at| (at % 10 != 9).then_some(if at % 3 == 0 { "night" } else { "day" })).collect();
    let many: Int64Array = (0..30).map(|at| Some(if at < 12 { 7 } else { at })).collect();
    let flag: BooleanArray = (0..30).map(|at| Some(at % 2 == 0)).collect();
    columns.push(("light", Arc::new(light) as ArrayRef));
    columns.push(("many", Arc::new(many)));
    columns.push(("flag", Arc::new(flag)));
    dataset::write_columns(&place.path("test.parquet"), &columns, true);
    place
}

fn metrics(place: &Workplace) -> Value {
    serde_json::from_slice(&place.read("run/metrics.json")).unwrap()
}

fn evaluated(place: &Workplace, more: &[&str]) -> Value {
    let mut arguments = vec!["evaluate", "recipe.yaml", "--json"];
    arguments.extend(more);
    place.run(&arguments).json()["evaluation"].take()
}

#[test]
fn intervals_are_told_written_down_and_the_same_each_time() {
    if !has_runtime() {
        return;
    }
    let place = with_columns();
    let changes = ["evaluation.intervals={bootstrap: 200, confidence: 0.9}", "training.metrics=[accuracy, f1]"];
    let said = place.run_with("train", &changes).done();
    let first = said.lines().next().unwrap();
    assert!(first.contains("of 30 rows (") && first.contains("f1 ") && first.contains("; intervals of 90 %"), "{said}");
    let written = metrics(&place)["evaluation"].take();
    assert_eq!((&written["confidence"], written["intervals"].as_object().unwrap().len()), (&json!(0.9), 3));
    for name in ["f1", "loss"] {
        let (figure, end) = (&written[name], |at: usize| written["intervals"][name][at].as_f64().unwrap());
        let figure = figure.as_f64().unwrap();
        assert!(end(0) < figure && figure < end(1), "{name}: {written}");
    }
    let loss = first.split("loss ").nth(1).unwrap();
    assert!(loss.split_once(' ').is_some_and(|(_, rest)| rest.starts_with('(')), "the loss has an interval: {first}");
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(page.contains("(90\u{a0}% interval "), "the report has the intervals");
    for workers in ["data.workers=1", "data.workers=3"] {
        let again = evaluated(&place, &["--set", changes[0], "--set", changes[1], "--set", workers]);
        assert_eq!(again, written);
    }
    // Without that part the shares of rows alone have intervals, of 95 %.
    let usual = evaluated(&place, &["--set", changes[1]]);
    assert_eq!((usual["intervals"].as_object().unwrap().len(), usual.get("confidence")), (1, None));
    place.run_with("check", &["evaluation.intervals={confidence: 1}"]).failed_with(&["above 0 and below 1"]);
}

#[test]
fn figures_are_told_apart_by_the_values_of_columns() {
    if !has_runtime() {
        return;
    }
    let place = with_columns();
    let changes = ["evaluation.slices=[light, many, flag, label]", "evaluation.most_slices=3"];
    let said = place.run_with("train", &changes).done();
    assert!(said.contains("(no value)") && said.contains("(16 other values)") && said.contains("night"), "{said}");
    let found = metrics(&place)["evaluation"].take();
    let column = |name: &str| {
        let columns = found["slices"].as_array().unwrap();
        columns.iter().find(|column| column["column"] == name).unwrap()["slices"].as_array().unwrap().clone()
    };
    let rows = |name: &str| -> Vec<(Value, u64)> {
        let named = |slice: &Value| slice.as_object().unwrap().values().next().unwrap().clone();
        column(name).iter().map(|slice| (named(slice), slice["rows"].as_u64().unwrap())).collect()
    };
    assert_eq!(rows("light"), [(json!("day"), 18), (json!("night"), 9), (json!(true), 3)]);
    assert_eq!(rows("many"), [(json!("7"), 12), (json!("12"), 1), (json!("13"), 1), (json!(16), 16)]);
    assert_eq!(rows("flag"), [(json!("false"), 15), (json!("true"), 15)]);
    // By class the accuracy is the recall.
    let table = found["per_class"].as_array().unwrap();
    for slice in column("label") {
        let of_class = table.iter().find(|class| class["name"] == slice["value"]).unwrap();
        assert_eq!((&slice["figures"]["accuracy"], &slice["rows"]), (&of_class["recall"], &of_class["rows"]));
        assert!(slice["intervals"]["accuracy"].is_array());
    }
    // that F1 has no interval is told, and how it gets one
    let of_f1 = ["evaluation.slices=[light]", "training.metrics=[accuracy, f1]"];
    let told = place.run_with("evaluate", &of_f1).done();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("f1 (no interval)") && told.contains("`evaluation.intervals: {bootstrap: 1000}`"), "{told}");
    let drawn = place.run_with("evaluate", &[of_f1[0], of_f1[1], "evaluation.intervals={bootstrap: 50}"]).done();
    assert!(!drawn.contains("no interval"), "{drawn}");
    // The parts make the whole, whatever reads them.
    let right: f64 =
        column("many").iter().map(|s| s["figures"]["accuracy"].as_f64().unwrap() * s["rows"].as_f64().unwrap()).sum();
    assert!((right / 30.0 - found["accuracy"].as_f64().unwrap()).abs() < 1e-12);
    assert_eq!(
        evaluated(&place, &["--set", changes[0], "--set", changes[1], "--set", "data.batch=7"])["slices"],
        found["slices"]
    );
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(page.contains("By light") && page.contains("(16 other values)"), "the report has the slices");
    for (slices, wanted) in [
        ("[lihgt]", "the evaluation rows have no column `lihgt`; did you mean `light`?"),
        ("[image]", "column `image` holds images, and rows are told apart by names or numbers"),
        ("[light, light]", "stands there twice"),
    ] {
        let change = format!("evaluation.slices={slices}");
        place.run_with("evaluate", &[&change]).failed_with(&[wanted]);
        let checked = place.run_with("train", &[&change, "output.folder=other"]);
        checked.failed_with(&[wanted]);
    }
}

#[test]
fn another_set_of_the_same_rows_has_the_same_figures() {
    if !has_runtime() {
        return;
    }
    let place = with_columns();
    let changes = [
        "evaluation.sets={same: test.parquet}",
        "evaluation.calibrate={temperature: true}",
        "evaluation.intervals={bootstrap: 50}",
        "evaluation.slices=[light]",
        "evaluation.test_time_augmentation={views: 2}",
        "training.metrics=[accuracy, f1]",
    ];
    let said = place.run_with("train", &changes).done();
    let (first, on_same) = (said.lines().next().unwrap(), said.lines().find(|line| line.starts_with("on `same`: ")));
    assert!(first.starts_with(on_same.unwrap().trim_start_matches("on `same`: ").split(';').next().unwrap()), "{said}");
    let written = metrics(&place);
    let other = &written["other_evaluations"][0];
    assert_eq!((&other["name"], &other["evaluation"]), (&json!("same"), &written["evaluation"]));
    assert!(other["evaluation"]["intervals"]["f1"].is_array() && other["evaluation"]["slices"].is_array());
    // what was measured while it was trained is of the scores as they were
    let history = &written["history"];
    assert_ne!(history["best_others"][0]["evaluation"]["loss"], other["evaluation"]["loss"]);
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(page.contains("By light, on same"), "the report has the slices of both sets");
    let more: Vec<&str> = changes.iter().flat_map(|change| ["--set", *change]).collect();
    let again = place.run(&[&["evaluate", "recipe.yaml", "--json"][..], &more].concat()).json();
    assert_eq!(
        (&again["evaluation"], &again["other_evaluations"]),
        (&written["evaluation"], &written["other_evaluations"])
    );
    let alone = place.run(&[&["evaluate", "recipe.yaml", "--json", "--data", "test.parquet"][..], &more].concat());
    assert_eq!(alone.json().get("other_evaluations"), None, "named rows are measured alone");
    place.run(&["document", "run"]).done();
    let card = String::from_utf8(place.read("run/documents/README.md")).unwrap();
    assert!(card.contains("### On same (30 rows)") && card.contains("### By light, on same"), "{card}");
}

#[test]
fn another_set_may_lack_a_column_of_slices_and_that_is_told() {
    if !has_runtime() {
        return;
    }
    let place = with_columns();
    dataset::write(&place.path("plain.parquet"), &dataset::rows(300, 12));
    let changes = ["evaluation.sets={plain: plain.parquet}", "evaluation.slices=[light, label]"];
    let ran = place.run_with("train", &changes);
    let told = "evaluation set `plain`: these rows have no column `light`, and are not told apart by it";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("have no column `light`").count(), 1, "at the end it is known: {}", ran.stderr);
    ran.done();
    // what is true of both is told of both
    let few = ["evaluation.sets={plain: plain.parquet}", "evaluation.slices=[label]", "evaluation.most_slices=2"];
    let few: Vec<&str> = few.iter().flat_map(|change| ["--set", *change]).collect();
    let told = place.run(&[&["evaluate", "recipe.yaml", "--json"][..], &few].concat()).json();
    let notes: Vec<&str> = told["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for start in ["column `label` has 3 values", "evaluation.sets.plain: column `label` has 3 values"] {
        assert!(notes.iter().any(|note| note.starts_with(start)), "{start} in {notes:?}");
    }
    let other = metrics(&place)["other_evaluations"][0]["evaluation"].take();
    let columns: Vec<&Value> = other["slices"].as_array().unwrap().iter().map(|slices| &slices["column"]).collect();
    assert_eq!((&other["rows"], columns), (&json!(12), vec![&json!("label")]));
}

#[test]
fn a_temperature_is_fitted_and_divides_the_scores_of_the_exported_model() {
    if !has_runtime() {
        return;
    }
    let place = with_columns();
    place.run_with("train", &["training.epochs=8"]).done();
    let (plain, before) = (place.read("run/model.onnx"), evaluated(&place, &[]));
    // The run is done: what is asked for at its end can be asked for later.
    let resumed = place.run(&[
        "train",
        "recipe.yaml",
        "--resume",
        "--set",
        "training.epochs=8",
        "--set",
        "evaluation.calibrate={temperature: true}",
    ]);
    let told = resumed.stderr.clone();
    resumed.done();
    assert!(told.contains("divides its scores by a temperature of "), "{told}");
    let (calibrated, after) = (place.read("run/model.onnx"), evaluated(&place, &[]));
    let has = |file: &[u8], text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has(&calibrated, "millstream.temperature") && has(&calibrated, "scores.uncalibrated"));
    assert!(!has(&plain, "millstream.temperature"));
    assert_eq!((&after["accuracy"], &after["confusion_matrix"]), (&before["accuracy"], &before["confusion_matrix"]));
    let loss = |of: &Value| of["loss"].as_f64().unwrap();
    assert!(loss(&after) < loss(&before) - 0.01, "{} is not below {}", loss(&after), loss(&before));
    let written = metrics(&place)["evaluation"].take();
    assert!((loss(&written) - loss(&after)).abs() < 1e-6);
    // The same in one go, to the bit.
    let together = ["training.epochs=8", "evaluation.calibrate={temperature: true}", "output.folder=once"];
    place.run_with("train", &together).done();
    assert!(place.read("once/model.onnx") == calibrated, "the models differ");
    // A new head on it goes without the temperature.
    let again = ["model.path=run/model.onnx", "model.head=new", "output.folder=next"];
    assert!(place.run_with("check", &again).done().contains("the exported model goes without it"));
    place.run_with("train", &again).done();
    assert!(
        !has(&place.read("next/model.onnx"), "millstream.temperature"),
        "what was fitted to another model is noted"
    );
    for (change, wanted) in [
        ("evaluation.calibrate={threshold: f1}", "a threshold tells two classes apart, and there are 3"),
        ("evaluation.calibrate={threshold: {recall: 2}}", "above 0 and at most 1"),
        ("data.evaluate=null", "there are no rows to measure on"),
    ] {
        let changes = ["evaluation.calibrate={temperature: true}", change, "output.folder=other"];
        place.run_with("train", &changes).failed_with(&[wanted]);
    }
}

#[test]
fn a_threshold_between_two_classes_is_fitted_noted_and_followed() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let two = |first: usize, count: usize| -> Vec<Row> {
        let rows = mislabelled(first, count, 2).into_iter().zip(first..).filter(|(_, number)| number % 3 != 2);
        rows.map(|(row, _)| row).collect()
    };
    for (name, rows) in [("train-0", two(0, 36)), ("train-1", two(36, 36)), ("test", two(99, 60))] {
        dataset::write_named(&place.path(&format!("{name}.parquet")), &rows, &["red", "green"]);
    }
    let changes = [
        "model.head=new",
        "training.metrics=[accuracy, {f1: {average: binary}}, {recall: {average: binary}}, confusion_matrix]",
        "evaluation.calibrate={threshold: {recall: 1}}",
    ];
    let ran = place.run_with("train", &changes);
    assert!(ran.stderr.contains("the threshold of the exported model"), "{}", ran.stderr);
    ran.done();
    let written = metrics(&place)["evaluation"].take();
    assert_eq!(written["recall_binary"], 1.0, "{written}");
    let again = evaluated(&place, &["--set", changes[1]]);
    assert_eq!(again["confusion_matrix"], written["confusion_matrix"], "`evaluate` follows what the file notes");
    assert_eq!(again["confusion_matrix"][1][0], 0);
}

#[test]
fn the_mean_over_views_is_measured_and_the_same_each_time() {
    if !has_runtime() {
        return;
    }
    let place = with_columns();
    place.run_with("train", &[]).done();
    let metrics = "training.metrics=[accuracy, log_loss]";
    let plain = evaluated(&place, &["--set", metrics]);
    let views = |more: &[&str]| evaluated(&place, &[&["--set", metrics], more].concat());
    let three = views(&["--tta", "3"]);
    assert_ne!(three["log_loss"], plain["log_loss"]);
    assert_eq!(views(&["--tta", "3", "--set", "data.workers=1"]), three);
    assert_ne!(views(&["--tta", "4"])["log_loss"], three["log_loss"]);
    // Views that are all alike are as one.
    let close = |a: &Value, b: &Value| (a["log_loss"].as_f64().unwrap() - b["log_loss"].as_f64().unwrap()).abs() < 1e-6;
    for average in ["probabilities", "logits"] {
        let alike = format!(
            "evaluation.test_time_augmentation={{views: 3, average: {average}, transforms: [{{resize: {{size: 16}}}}]}}"
        );
        let found = views(&["--set", &alike]);
        assert!(close(&found, &plain) && found["accuracy"] == plain["accuracy"], "{average}: {found}");
    }
    // A recipe that says so has it at the end of the run, too.
    let said = "evaluation.test_time_augmentation={views: 3}";
    place.run_with("train", &[metrics, said, "output.folder=with"]).done();
    let written: Value = serde_json::from_slice(&place.read("with/metrics.json")).unwrap();
    assert_eq!(written["evaluation"], three);
    place
        .run_with(
            "train",
            &[said, "transforms.train=[{resize: {size: 16}}, {mix_up: {alpha: 0.2}}]", "output.folder=other"],
        )
        .failed_with(&["a view is of one row", "evaluation.test_time_augmentation.transforms"]);
    place
        .run_with("evaluate", &["evaluation.test_time_augmentation={views: 0}"])
        .failed_with(&["wanted 1 or more, got 0"]);
}

#[test]
fn views_of_targets_that_move_with_the_image_are_refused() {
    let place = Workplace::new();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/segmentation/data");
    let rows = |split: &str| data.join(format!("*-{split}-*.parquet")).display().to_string();
    let recipe = json!({
        "version": 1,
        "model": {"path": "model.onnx"},
        "data": {
            "train": rows("train"),
            "evaluate": rows("test"),
            "inputs": {"image": {"image": {"column": "image"}}},
            "targets": {"digits": {"mask": {"column": "mask", "classes": ["photograph", "digit"]}}},
        },
        "transforms": {"train": [{"resize": {"size": 16}}], "evaluate": [{"resize": {"size": 16}}]},
        "training": {"loss": "sparse_cross_entropy", "metrics": ["mean_iou"], "epochs": 1},
        "evaluation": {"test_time_augmentation": {"views": 3}},
        "output": {"folder": "run"},
    });
    place.write("masks.yaml", &recipe.to_string());
    for command in ["check", "train"] {
        place.run(&[command, "masks.yaml"]).failed_with(&[
            "evaluation.test_time_augmentation: target `data.targets.digits` moves with the image or text",
            "leave it out",
        ]);
    }
}

#[test]
fn views_that_the_model_cannot_take_are_refused_before_the_first_step() {
    let place = Workplace::new();
    let views = "evaluation.test_time_augmentation={views: 2, transforms: [{resize: {size: 20}}]}";
    for command in ["check", "train"] {
        place.run_with(command, &[views]).failed_with(&["evaluation.test_time_augmentation.transforms", "20×20"]);
    }
    assert!(!place.path("run/model.onnx").exists());
}

/// "--data: 3 classes, and the model … has 4".
#[test]
fn rows_in_which_the_highest_class_does_not_occur_measure_a_model_that_names_no_classes() {
    if !has_runtime() {
        return;
    }
    const CLASSES: i64 = 4;
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::new(ElementType::F32, [Length::named("batch"), 4.into()]));
    let scores = graph.add("Relu", &[x], &[]).unwrap();
    graph.rename(scores, "scores").unwrap();
    graph.set_outputs(&[scores]);
    let place = Workplace::bare();
    std::fs::write(place.path("model.onnx"), graph.to_onnx("scores")).unwrap();
    let columns = |classes: i64| {
        let of = |at: usize| numbers((0..24).map(|row| Some(f64::from(noise(10 * row + at)))));
        let labels = whole((0..24).map(|row| row % classes));
        vec![("a", of(0)), ("b", of(1)), ("c", of(2)), ("d", of(3)), ("label", labels)]
    };
    dataset::write_columns(&place.path("train.parquet"), &columns(CLASSES), false);
    dataset::write_columns(&place.path("low.parquet"), &columns(CLASSES - 1), false);
    dataset::write_columns(&place.path("high.parquet"), &columns(CLASSES + 1), false);
    let data = json!({"inputs": {"x": {"number": {"column": ["a", "b", "c", "d"]}}}, "label": "label"});
    place.write("recipe.yaml", &recipe(data, json!({"epochs": 1})).to_string());
    let measure =
        |rows: &str| place.run(&["evaluate", "recipe.yaml", "--model", "model.onnx", "--data", rows, "--json"]);
    let report = measure("low.parquet").json();
    assert_eq!(report["classes"], json!(["0", "1", "2", "3"]), "{report}");
    assert!(report["notes"].to_string().contains("3 classes, and the model has 4, which it does not name"), "{report}");
    measure("high.parquet").failed_with(&["--data", "5 classes, and the model", "has 4"]);
}
