//! Runs of a folder, notes of them, and what came from what.

use serde_json::Value;

use crate::workplace::{Workplace, has_runtime};

fn words(place: &Workplace, name: &str) -> String {
    String::from_utf8(place.read(name)).unwrap()
}

#[test]
fn a_run_that_is_not_there_is_told_with_those_that_lie_beside_it() {
    let place = Workplace::bare();
    std::fs::create_dir_all(place.path("runs/flowers")).unwrap();
    place.write("runs/flowers/metrics.json", "{}");
    place.write("runs/flowers/recipe.yaml", "version: 1\n");
    let wanted = ["cannot read runs/flower", "No such file", "did you mean `runs/flowers`?"];
    for command in ["check", "document", "errors", "evaluate", "preview", "report", "reproduce", "train"] {
        place.run(&[command, "runs/flower"]).failed_with(&wanted);
    }
    place.run(&["predict", "runs/flower", "a.png"]).failed_with(&wanted);
    place.run(&["compare", "runs/flowers", "runs/flower"]).failed_with(&wanted);
    place
        .run(&["train", "elsewhere/flower"])
        .failed_with(&["there is no folder elsewhere", "`millstream runs FOLDER`"]);
}

#[test]
fn notes_and_lineage_stand_in_the_table_on_the_page_and_in_the_documents() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let short = "training.epochs=1";
    place.run_with("train", &["output.folder=team/first", short]).done();
    let from = ["output.folder=team/deep/second", short, "model.path=team/first/model.onnx"];
    place.run_with("train", &from).done();
    place.run_with("train", &["output.folder=team/apart", short, "seed=8"]).done();
    place.run(&["note", "team/deep/second", "kept one epoch: <b>two</b> were no better"]).done();
    place.run(&["note", "team/deep/second", " "]).failed_with(&["the note"]);
    place.run(&["note", "team", "x"]).failed_with(&["holds no run"]);
    let found = place.run(&["runs", "team", "--json"]).json();
    let runs = found["runs"].as_array().unwrap();
    let number =
        |name: &str| runs.iter().position(|run| run["name"] == name).unwrap_or_else(|| panic!("{name}: {found}"));
    let (first, second) = (number("first"), number("deep/second"));
    assert_eq!((runs.len(), runs[second]["noted"].as_u64()), (3, Some(1)));
    assert_eq!(found["models"].as_array().unwrap().len(), 1, "two runs began with one model: {found}");
    let lineage = found["lineage"].as_array().unwrap();
    let wanted = serde_json::json!({"from": {"run": first}, "to": second, "through": "base"});
    assert!(lineage.contains(&wanted) && lineage.len() == 3, "{found}");
    let said = place.run(&["runs", "team"]).done();
    for part in ["deep/", "first", "adamw", "accuracy", "team/runs.html"] {
        assert!(said.contains(part), "wanted {part} in\n{said}");
    }
    let page = words(&place, "team/runs.html");
    for part in
        ["<svg", "kept one epoch: &lt;b&gt;two&lt;/b&gt;", "href=\"./deep/second/report.html\"", "Filter by words"]
    {
        assert!(page.contains(part), "wanted {part} in\n{page}");
    }
    // nothing is fetched
    let apart = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!apart.contains("http:") && !apart.contains("https:") && !apart.contains("src="), "{apart}");
    // what the run noted when it began outlives the folder of its parent
    std::fs::remove_dir_all(place.path("team/apart")).unwrap();
    place.run(&["document", "team/deep/second"]).done();
    let card = words(&place, "team/deep/second/documents/README.md");
    assert!(card.contains("which came from the run `first`") && card.contains("kept one epoch"), "{card}");
    let ledger: Value = serde_json::from_str(&words(&place, "team/deep/second/documents/ledger.json")).unwrap();
    assert_eq!(ledger["lineage"][0]["run"], "first");
    assert!(ledger["origin"]["software"].as_str().unwrap().starts_with("millstream "), "{ledger}");
    place.run(&["report", "team/deep/second", "-o", "report.html"]).done();
    assert!(words(&place, "report.html").contains("kept one epoch"));
}

#[test]
fn a_run_that_cannot_be_read_is_left_out_and_told() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("broken")).unwrap();
    place.write("broken/recipe.yaml", "version: 1\n");
    place.write("broken/metrics.json", "{");
    let ran = place.run(&["runs", ".", "--no-html"]);
    assert!(ran.stderr.contains("broken is left out"), "{}", ran.stderr);
    assert!(ran.done().contains("no run lies in"));
    assert!(!place.path("runs.html").exists());
    place.run(&["runs", "nothing"]).failed_with(&["nothing"]);
}
