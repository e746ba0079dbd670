//! Data that is wrong: exit code 1, the file, row or column, and what to do.

use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

use crate::dataset::{self, Row};
use crate::workplace::{Workplace, has_runtime};

#[test]
fn missing_and_empty_files() {
    let place = Workplace::new();
    place.run_with("check", &["data.train=nowhere.parquet"]).failed_with(&["nowhere.parquet", "no such file"]);
    place.run_with("check", &["data.train=none-*.parquet"]).failed_with(&["none-*.parquet", "matches no file"]);
    place.write("empty.parquet", "");
    place.run_with("check", &["data.train=empty.parquet"]).failed_with(&["empty.parquet"]);
    place.write("text.parquet", "this is not a Parquet file at all");
    place.run_with("check", &["data.train=text.parquet"]).failed_with(&["text.parquet", "Parquet"]);
    dataset::write(&place.path("zero.parquet"), &[]);
    place.run_with("check", &["data.train=zero.parquet"]).failed_with(&["no rows", "zero.parquet"]);
    let mut cut = place.read("train-0.parquet");
    cut.truncate(cut.len() / 2);
    fs::write(place.path("cut.parquet"), cut).unwrap();
    place.run_with("check", &["data.train=cut.parquet"]).failed_with(&["cut.parquet"]);
}

#[test]
fn shards_that_differ() {
    let place = Workplace::new();
    let rows = dataset::rows(0, 8);
    let mut columns = dataset::columns(&rows);
    columns[1].1 = dataset::narrow_labels(&rows);
    columns.push(("more", dataset::narrow_labels(&rows)));
    dataset::write_columns(&place.path("train-2.parquet"), &columns, true);
    assert!(place.run_with("check", &[]).done().contains("56 rows in 3 files"), "only columns in use are compared");
    columns[1].1 = Arc::new(StringArray::from(vec!["red"; 8]));
    dataset::write_columns(&place.path("train-2.parquet"), &columns, false);
    let wanted = ["`label` differs", "train-0.parquet has numbers (Int64)", "train-2.parquet has strings (Utf8)"];
    place.run_with("check", &[]).failed_with(&wanted);
    dataset::write_columns(&place.path("train-2.parquet"), &dataset::columns(&rows)[..1], true);
    place.run_with("check", &[]).failed_with(&["train-2.parquet: no column `label`"]);
}

#[test]
fn classes_that_differ_between_the_splits() {
    let place = Workplace::new();
    let rows = dataset::rows(0, 6);
    let mut columns = dataset::columns(&rows);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["red", "green", "blue", "red", "green", "black"]));
    columns[1].1 = names;
    dataset::write_columns(&place.path("named.parquet"), &columns, false);
    let change = ["data.evaluate=named.parquet"];
    place.run_with("check", &change).failed_with(&["data.evaluate", "`black`", "training data"]);
}

#[test]
fn numbers_that_count_in_another_order_are_refused() {
    let place = Workplace::new();
    dataset::write_named(&place.path("other.parquet"), &dataset::rows(0, 6), &["green", "red", "blue"]);
    let wanted = ["data.evaluate", "class 0 is `green` here and `red` in the training data"];
    place.run_with("check", &["data.evaluate=other.parquet"]).failed_with(&wanted);
    if has_runtime() {
        place.run_with("train", &["training.epochs=1"]).done();
        let wanted = ["--data", "class 0 is `green` here and `red` in the model"];
        place.run(&["evaluate", "recipe.yaml", "--data", "other.parquet"]).failed_with(&wanted);
    }
    // Without names the numbers are taken as they are.
    dataset::write_columns(&place.path("bare.parquet"), &dataset::columns(&dataset::rows(0, 6)), false);
    if has_runtime() {
        place.run_with("check", &["data.evaluate=bare.parquet"]).done();
    }
}

#[test]
fn rows_without_any_class_are_told_before_and_stop_the_run() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let rows: Vec<Row> = dataset::rows(0, 16).into_iter().map(|row| Row { label: -1, ..row }).collect();
    dataset::write(&place.path("none.parquet"), &rows);
    for (split, key) in [("training", "data.train"), ("evaluation", "data.evaluate")] {
        let change = format!("{key}=none.parquet");
        let report = place.run_with("check", &[&change]);
        assert_eq!(report.code, Some(1));
        assert!(report.stdout.contains(&format!("no row of the {split} data has a class")), "{}", report.stdout);
        let folder = format!("output.folder={split}");
        place.run_with("train", &[&change, "training.epochs=1", &folder]).failed_with(&["class"]);
    }
}

#[test]
fn a_label_out_of_range_names_the_row() {
    let place = Workplace::new();
    let mut rows = dataset::rows(0, 16);
    rows[11].label = 7;
    dataset::write(&place.path("train-0.parquet"), &rows);
    if has_runtime() {
        let report = place.run_with("check", &[]);
        assert_eq!(report.code, Some(1));
        assert!(report.stdout.contains("1 row of the training data has no usable label"), "{}", report.stdout);
        let report = place.run_with("check", &["data.damaged=skip"]).done();
        assert!(report.contains("1 row of the training data has no usable label; it is left out"), "{report}");
        let wanted = ["train-0.parquet, row group 1, row 3", "label 7 is out of range", "3 classes", "`damaged: skip`"];
        place.run_with("train", &[]).failed_with(&wanted);
    }
}

/// Rows 2 and 5 of the first file do not decode, row 9 is null.
fn damaged() -> Workplace {
    let place = Workplace::new();
    let mut rows = dataset::rows(0, 24);
    rows[2].image.as_mut().unwrap().truncate(60);
    rows[5].image = Some(b"no image".to_vec());
    rows[9] = Row { image: None, label: 0 };
    dataset::write(&place.path("train-0.parquet"), &rows);
    place
}

#[test]
fn damaged_rows_fail_by_default() {
    if !has_runtime() {
        return;
    }
    let place = damaged();
    let wanted = ["train-0.parquet, row group 0, row 2", "`--set data.damaged=skip`"];
    place.run_with("train", &["data.order=sequential"]).failed_with(&wanted);
    let preview = place.run(&["preview", "recipe.yaml", "-n", "48"]);
    preview.failed_with(&["train-0.parquet, row group"]);
}

#[test]
fn damaged_rows_are_skipped_and_counted() {
    if !has_runtime() {
        return;
    }
    let place = damaged();
    let ran = place.run_with("train", &["data.damaged=skip"]);
    assert!(ran.stderr.contains("3 damaged rows were left out of training (9 times in all epochs)"), "{}", ran.stderr);
    ran.done();
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    assert!(metrics["notes"].to_string().contains("3 damaged rows"), "{}", metrics["notes"]);
    assert_eq!(metrics["history"]["epochs"][0]["rows"], 45);
}

#[test]
fn damaged_rows_are_quarantined_with_the_reason() {
    if !has_runtime() {
        return;
    }
    let place = damaged();
    place.run_with("train", &["data.damaged={quarantine: bad.jsonl}", "training.epochs=1"]).done();
    let text = String::from_utf8(place.read("bad.jsonl")).unwrap();
    let mut rows: Vec<(u64, u64)> = text
        .lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(entry["file"], "train-0.parquet");
            assert!(!entry["reason"].as_str().unwrap().is_empty());
            (entry["row_group"].as_u64().unwrap(), entry["row"].as_u64().unwrap())
        })
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [(0, 2), (0, 5), (1, 1)]);
}

#[test]
fn rows_without_an_image_are_told_by_check_before_train_meets_them() {
    let place = Workplace::new();
    for (from, wanted) in [
        (0, "no row of the evaluation data has an input: column `image` is null in all"),
        (16, "2 rows of the evaluation data have no input (null in column `image`)"),
    ] {
        let mut rows = dataset::rows(100, 18);
        rows[from..].iter_mut().for_each(|row| row.image = None);
        dataset::write(&place.path("nulls.parquet"), &rows);
        let ran = place.run_with("check", &["data.evaluate=nulls.parquet"]);
        assert_eq!(ran.code, Some(1));
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(wanted), "{}{}", ran.stdout, ran.stderr);
    }
    place.run_with("check", &["data.evaluate=nulls.parquet", "data.damaged=skip"]).done();
}
