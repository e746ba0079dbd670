//! Classes that are not equally many: factors of the loss from their counts, and rows drawn by them.

use std::fs;

use crate::dataset;
use crate::running::Running;
use crate::workplace::{Workplace, has_runtime};

/// 24 rows of red, 4 of green and 2 of blue.
fn unbalanced() -> Workplace {
    let place = Workplace::new();
    let all = dataset::rows(0, 72);
    let of = |label: i64, count: usize| all.iter().filter(move |row| row.label == label).take(count).cloned();
    let rows: Vec<dataset::Row> = of(0, 24).chain(of(1, 4)).chain(of(2, 2)).collect();
    dataset::write(&place.path("train-0.parquet"), &rows[..18]);
    dataset::write(&place.path("train-1.parquet"), &rows[18..]);
    place
}

const BALANCED: &str = "training.loss={cross_entropy: {class_weights: balanced}}";
/// 30 / (3 · 24), 30 / (3 · 4), 30 / (3 · 2).
const WRITTEN: &str = "training.loss={cross_entropy: {class_weights: [0.4166666666666667, 2.5, 5.0]}}";

#[test]
fn balanced_class_weights_are_those_of_the_counts_and_stay_in_the_record() {
    let place = unbalanced();
    let report = place.run(&["check", "recipe.yaml", "--json", "--set", BALANCED]).json();
    let notes = report["notes"].to_string();
    let told = "training.loss.cross_entropy.class_weights: `balanced` by the rows of training is red 0.4167, green 2.5000, blue 5.0000";
    assert!(notes.contains(told), "{notes}");
    let number = ["data.targets={colour: {number: {column: label}}}", "training.loss=mse", "data.sampling=balanced"];
    place.run_with("check", &number).failed_with(&["data.sampling", "the target is no column of classes"]);
    place.run_with("check", &["training.loss={cross_entropy: {class_weights: even}}"]).failed_with(&["balanced"]);
    if !has_runtime() {
        return;
    }
    place.run_with("train", &[BALANCED]).done();
    place.run_with("train", &[WRITTEN, "output.folder=written"]).done();
    place.run_with("train", &["output.folder=plain"]).done();
    let [own, written, plain] = ["run", "written", "plain"].map(|folder| place.read(&format!("{folder}/model.onnx")));
    assert!(own == written, "the word is another than the numbers");
    assert!(own != plain, "the weights count for nothing");
    let record = String::from_utf8(place.read("run/recipe.yaml")).unwrap();
    assert!(record.contains("2.5") && !record.contains("balanced"), "{record}");
    place.run_with("train", &[BALANCED, "data.workers=1"]).failed_with(&["holds a run already"]);
    place.run(&["train", "recipe.yaml", "--resume", "--set", BALANCED]).done();
    place.run(&["evaluate", "run"]).done();
}

#[test]
fn a_loss_that_says_balanced_is_measured_as_it_was_trained() {
    let place = unbalanced();
    if !has_runtime() {
        return;
    }
    place.run_with("train", &[BALANCED]).done();
    let loss = |changes: &[&str]| {
        let mut arguments = vec!["evaluate", "recipe.yaml", "--json"];
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        let report = place.run(&arguments).json();
        (report["evaluation"]["loss"].clone(), report["notes"].to_string())
    };
    let ((wanted, _), (plain, _), (own, notes)) = (loss(&[WRITTEN]), loss(&[]), loss(&[BALANCED]));
    assert_ne!(plain, wanted, "the factors count for nothing");
    assert_eq!(own, wanted);
    assert!(notes.contains("red 0.4167, green 2.5000, blue 5.0000"), "{notes}");
    for file in ["train-0.parquet", "train-1.parquet"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    let (noted, notes) = loss(&[BALANCED]);
    assert_eq!(noted, wanted, "the run has noted the numbers");
    for told in ["training cannot be opened (no Parquet file matches `", "); the factors are those in "] {
        assert!(notes.contains(told), "wanted: {told}\n   got: {notes}");
    }
    fs::remove_file(place.path("run/recipe.yaml")).unwrap();
    let wanted = ["training.loss.cross_entropy.class_weights", "they cannot be opened", "write the factors"];
    place.run_with("evaluate", &[BALANCED]).failed_with(&wanted);
}

#[test]
fn rows_without_a_class_leave_an_epoch_balanced() {
    let place = unbalanced();
    let unlabelled = |row| dataset::Row { label: -1, ..row };
    let rows: Vec<dataset::Row> = dataset::rows(0, 30).into_iter().map(unlabelled).collect();
    dataset::write(&place.path("train-2.parquet"), &rows);
    let report = place.run(&["check", "recipe.yaml", "--json", "--set", "data.sampling=balanced"]).json();
    let notes = report["notes"].to_string();
    assert!(notes.contains("in an epoch: red 20 (has 24), green 20 (has 4), blue 20 (has 2)"), "{notes}");
}

#[test]
fn rows_drawn_by_class_are_told_and_killed_and_resumed_give_the_same_bytes() {
    let place = unbalanced();
    let drawn = "data.sampling=balanced";
    let report = place.run(&["check", "recipe.yaml", "--json", "--set", drawn]).json();
    let notes = report["notes"].to_string();
    let told =
        "data.sampling: rows of each class that come in an epoch: red 10 (has 24), green 10 (has 4), blue 10 (has 2)";
    assert!(notes.contains(told), "{notes}");
    for (weights, wanted) in [
        ("[1, 2]", "there are 3 classes, got 2 weights"),
        ("[0, 0, 0]", "no class has a weight above 0"),
        ("[1, -1, 1]", "a finite number of 0 or more"),
    ] {
        let change = format!("data.sampling={{classes: {weights}}}");
        place.run_with("check", &[&change]).failed_with(&["data.sampling", wanted]);
    }
    if !has_runtime() {
        return;
    }
    let changes = [drawn, "training.epochs=12", "output.checkpoint.every_steps=1"];
    let sets = || changes.iter().flat_map(|change| ["--set", *change]);
    // in the middle of an epoch of four batches
    let mut arguments = vec!["train", "recipe.yaml", "--json"];
    arguments.extend(sets());
    let mut running = Running::start(&place, &arguments);
    running.until_saved(14);
    running.killed();
    arguments.push("--resume");
    place.run(&arguments).done();
    place.run_with("train", &[&changes[..], &["output.folder=whole", "data.workers=1"]].concat()).done();
    place.run_with("train", &[&changes[1..], &["output.folder=plain"]].concat()).done();
    let [own, whole, plain] = ["run", "whole", "plain"].map(|folder| place.read(&format!("{folder}/model.onnx")));
    assert!(own == whole, "the tuned models differ");
    assert!(own != plain, "rows came as without");
}
