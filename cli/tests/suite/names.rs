//! Class names of any kind: tables fit the screen, files keep one name a line, JSON has them whole.

use arrow_array::StringArray;
use unicode_width::UnicodeWidthStr;

use crate::dataset;
use crate::workplace::{Workplace, has_runtime};

const LONG: &str =
    "a name that goes on and on, as the names of catalogues do, until it is wider than any screen that it is on";
const NAMES: [&str; 3] = [
    "two\nlines <script>",
    LONG,
    "龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍龍",
];

fn place() -> Workplace {
    let place = Workplace::new();
    for (file, first, count) in [("train-0", 0, 24), ("train-1", 24, 24), ("test", 100, 18)] {
        dataset::write_named(&place.path(&format!("{file}.parquet")), &dataset::rows(first, count), &NAMES);
    }
    place
}

#[track_caller]
fn check_that_tables_fit(text: &str) {
    // Sentences with paths are not tables: they begin at the margin.
    for line in text.lines().filter(|line| line.starts_with("  ")) {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
}

#[test]
fn long_and_wide_class_names_do_not_push_numbers_off_the_screen() {
    let place = place();
    for arguments in [&["inspect", "train-0.parquet"][..], &["check", "recipe.yaml"]] {
        let said = place.run(arguments).done();
        check_that_tables_fit(&said);
        assert!(said.contains("two\\nlines <script>"), "{said}");
    }
}

#[test]
fn a_class_name_of_two_lines_is_one_line_of_labels_and_is_evaluated_as_itself() {
    if !has_runtime() {
        return;
    }
    let place = place();
    check_that_tables_fit(&place.run_with("train", &["training.epochs=1"]).done());
    let labels = String::from_utf8(place.read("run/labels.txt")).unwrap();
    assert_eq!(labels, format!("\"two\\nlines <script>\"\n{}\n{}\n", NAMES[1], NAMES[2]));
    let said = place.run(&["evaluate", "recipe.yaml"]).done();
    check_that_tables_fit(&said);
    let found = place.run(&["evaluate", "recipe.yaml", "--json"]).json();
    assert_eq!(found["classes"], serde_json::json!(NAMES));
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(page.contains("two\\nlines &lt;script&gt;") && page.matches("<script").count() == 1);
}

/// Rows whose classes are texts: their order is that of the alphabet, not that of the model.
fn write_texts(path: &std::path::Path, rows: &[dataset::Row]) {
    let mut columns = dataset::columns(rows);
    let names: StringArray = rows.iter().map(|row| Some(dataset::CLASSES[row.label as usize])).collect();
    columns[1].1 = std::sync::Arc::new(names);
    dataset::write_columns(path, &columns, false);
}

#[test]
fn a_copied_model_is_measured_by_the_class_names_inside_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &["training.epochs=8"]).done();
    std::fs::create_dir(place.path("copy")).unwrap();
    std::fs::copy(place.path("run/model.onnx"), place.path("copy/m.onnx")).unwrap();
    write_texts(&place.path("texts.parquet"), &dataset::rows(100, 18));
    write_texts(&place.path("two.parquet"), &dataset::rows(100, 2));
    for data in ["texts.parquet", "two.parquet", "test.parquet"] {
        let measured = place.run(&["evaluate", "recipe.yaml", "-m", "copy/m.onnx", "--data", data, "--json"]).json();
        assert_eq!(measured["evaluation"]["accuracy"], 1.0, "{data}");
        assert_eq!(measured["classes"], serde_json::json!(dataset::CLASSES), "{data}");
    }
    place.write("copy/labels.txt", "green\nred\nblue\n");
    let wanted = ["class 0 is `red` inside and `green` beside it", "labels.txt"];
    place.run(&["evaluate", "recipe.yaml", "-m", "copy/m.onnx"]).failed_with(&wanted);
}

#[test]
fn a_kept_head_keeps_its_classes_whatever_the_order_in_the_data() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &["training.epochs=8"]).done();
    write_texts(&place.path("more.parquet"), &dataset::rows(0, 24));
    write_texts(&place.path("texts.parquet"), &dataset::rows(100, 18));
    std::fs::copy(place.path("run/model.onnx"), place.path("tuned.onnx")).unwrap();
    let changes = [
        "model.path=tuned.onnx",
        "model.head=keep",
        "data.train=more.parquet",
        "data.evaluate=texts.parquet",
        "training.epochs=1",
        "output.folder=again",
    ];
    let ran = place.run_with("train", &changes);
    assert!(ran.stderr.contains("before training: accuracy 100.0 %"), "{}", ran.stderr);
    ran.done();
    assert_eq!(place.read("again/labels.txt"), b"red\ngreen\nblue\n");
    let other = ["green", "red", "blue"];
    dataset::write_named(&place.path("other.parquet"), &dataset::rows(0, 24), &other);
    let changes = [&changes[..], &["data.train=other.parquet", "data.evaluate=null"]].concat();
    place
        .run_with("check", &changes)
        .failed_with(&["class 0 is `green` here and `red` in the model, whose head is kept"]);
}

#[test]
fn nobody_is_told_about_cuda_who_did_not_ask() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = ["--set", "training.device=auto", "--set", "training.epochs=1"];
    let quiet = [
        [&["check", "recipe.yaml"][..], &changes].concat(),
        [&["train", "recipe.yaml"][..], &changes].concat(),
        [&["evaluate", "recipe.yaml"][..], &changes].concat(),
    ];
    for arguments in quiet {
        let ran = place.run(&arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains("CUDA"), "{said}");
        assert!(said.contains("the CPU") || said.contains("cuda"), "{said}");
    }
    let said = place.run(&[&["check", "recipe.yaml", "-v"][..], &changes].concat()).done();
    assert!(said.contains("device: the CPU (`auto` took the CPU: no CUDA") || said.contains("device: cuda"), "{said}");
}
