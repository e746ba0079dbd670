//! What documents say of the data of a run: counted where they are there, as the run noted them where they are gone.

use std::sync::Arc;

use arrow_array::StringArray;
use serde_json::{Value, json};

use crate::dataset;
use crate::workplace::{Workplace, has_runtime};

fn ledger(place: &Workplace, folder: &str) -> Value {
    serde_json::from_slice(&place.read(&format!("{folder}/ledger.json"))).unwrap()
}

#[test]
fn a_run_whose_data_are_gone_has_all_documents_with_the_data_as_it_noted_them() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &["output.folder=run", "training.epochs=1"]).done();
    place.run(&["document", "run", "-o", "before"]).done();
    let before = ledger(&place, "before");
    std::fs::create_dir(place.path("away")).unwrap();
    for name in ["train-0.parquet", "train-1.parquet", "test.parquet"] {
        std::fs::rename(place.path(name), place.path("away").join(name)).unwrap();
    }
    let ran = place.run(&["document", "run", "-o", "after"]);
    let said = ran.stderr.clone();
    ran.done();
    assert!(said.contains("the data were not found") && said.contains("as the run noted them at its end"), "{said}");
    let after = ledger(&place, "after");
    assert_eq!((&before["unchanged"], &after["unchanged"]), (&json!(true), &Value::Null));
    for key in ["exported", "base", "results", "task"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["training"]["transforms"], before["training"]["transforms"]);
    for (then, now) in before["data"].as_array().unwrap().iter().zip(after["data"].as_array().unwrap()) {
        for key in ["split", "files", "rows", "columns", "nulls", "label", "classes"] {
            assert_eq!(now[key], then[key], "{key}");
        }
        assert!(now["files"][0]["sha256"].is_string() && now["inputs"].is_null(), "{now}");
    }
    for name in ["README.md", "datasheet.md", "model-card.html", "datasheet.html", "model.cdx.json", "croissant.json"] {
        assert!(!place.read(&format!("after/{name}")).is_empty(), "{name}");
    }
    let card = String::from_utf8(place.read("after/README.md")).unwrap();
    assert!(card.contains("the data were not found"), "{card}");
    // a run of an older build has what it began with
    std::fs::remove_file(place.path("run/data_facts.json")).unwrap();
    let ran = place.run(&["document", "run", "-o", "older"]);
    let said = ran.stderr.clone();
    ran.done();
    assert!(said.contains("as the run noted them when it began"), "{said}");
    let older = ledger(&place, "older");
    let (file, noted) = (&older["data"][0]["files"][1], &before["data"][0]["files"][1]);
    assert_eq!([&file["name"], &file["rows"], &file["bytes"]], [&noted["name"], &noted["rows"], &noted["bytes"]]);
    assert!(file["sha256"].is_null() && older["unchanged"].is_null(), "{older}");
}

#[test]
fn rows_that_any_two_splits_share_and_nulls_that_no_file_tells_are_counted() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // the last six rows of `test.parquet` and six behind them, all of which are trained on too
    let rows = dataset::rows(112, 12);
    let mut columns = dataset::columns(&rows);
    let notes: StringArray = (0..12).map(|row| (row % 4 != 0).then_some("seen")).collect();
    columns.push(("note", Arc::new(notes)));
    dataset::write_without_statistics(&place.path("night.parquet"), &columns);
    let sets = ["output.folder=run", "training.epochs=1", "evaluation.sets={night: night.parquet}"];
    place.run_with("train", &sets).done();
    place.run(&["document", "run"]).done();
    let ledger = ledger(&place, "run/documents");
    let shared = ledger["shared_between"].as_array().unwrap().iter();
    let shared: Vec<Value> =
        shared.map(|pair| json!([pair["first"], pair["second"], pair["rows"]["shared"]])).collect();
    assert_eq!(shared, [json!(["train", "night", 12]), json!(["evaluate", "night", 6])]);
    let nulls = ledger["data"][2]["nulls"].as_array().unwrap();
    assert!(nulls.contains(&json!(["note", 3])) && nulls.contains(&json!(["label", 0])), "{nulls:?}");
    let sheet = String::from_utf8(place.read("run/documents/datasheet.md")).unwrap();
    assert!(sheet.contains("6 of 12 rows of night have an input that is one of evaluate"), "{sheet}");
    assert!(!sheet.contains("not counted in the files"), "{sheet}");
    let card = String::from_utf8(place.read("run/documents/README.md")).unwrap();
    assert!(card.contains("12 of 12 rows of night have an input that is one of train"), "{card}");
}
