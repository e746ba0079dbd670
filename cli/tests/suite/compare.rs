//! Runs held against each other.

use crate::dataset;
use crate::workplace::{Workplace, has_runtime};

/// Two runs on the same rows, of which every fifth has another label than its colour says: `a` of new heads, `b` of all layers.
fn runs() -> Workplace {
    let place = Workplace::new();
    let mut rows = dataset::rows(100, 60);
    rows.iter_mut().enumerate().filter(|(at, _)| at % 5 == 0).for_each(|(_, row)| row.label = (row.label + 1) % 3);
    dataset::write(&place.path("test.parquet"), &rows);
    let a = [
        "output.folder=a",
        "model.train=head",
        "training.epochs=1",
        "training.optimizer={adamw: {learning_rate: 1e-6}}",
    ];
    place.run_with("train", &a).done();
    place.run_with("train", &["output.folder=b"]).done();
    place
}

#[test]
fn runs_differ_by_their_settings_and_by_what_they_answer_row_by_row() {
    if !has_runtime() {
        return;
    }
    let place = runs();
    // nothing was kept: settings and figures are told all the same
    let ran = place.run(&["compare", "a", "b"]);
    assert!(ran.stderr.contains("a has kept no predictions; `millstream evaluate"), "{}", ran.stderr);
    let said = ran.done();
    for part in ["training.optimizer.adamw.learning_rate", "training.epochs", "model.train", "accuracy"] {
        assert!(said.contains(part), "wanted {part} in\n{said}");
    }
    assert!(!said.contains("output.folder") && !said.contains("data.batch") && !said.contains("McNemar"), "{said}");
    let found = place.run(&["compare", "a", "b", "--predict", "--json", "--html", "compare.html"]).json();
    let (pair, runs) = (&found["pairs"][0], &found["runs"]);
    assert_eq!((pair["rows"].as_u64(), pair["left_out"].as_u64()), (Some(60), Some(0)), "{found}");
    let of = |key: &str| pair["right"][key].as_u64().unwrap();
    assert_eq!(of("both") + of("first_only") + of("second_only") + of("neither"), 60);
    let accuracy = &pair["figures"][0];
    assert_eq!(accuracy["kind"]["name"], "accuracy");
    for (run, key) in [(0, "first"), (1, "second")] {
        let (paired, measured) = (&accuracy[key], &runs[run]["evaluation"]["accuracy"]);
        assert!((paired.as_f64().unwrap() - measured.as_f64().unwrap()).abs() < 1e-12, "{paired} {measured}");
    }
    let difference = accuracy["difference"].as_f64().unwrap();
    assert!((difference - (of("second_only") as f64 - of("first_only") as f64) / 60.0).abs() < 1e-12, "{accuracy}");
    let interval: Vec<f64> = serde_json::from_value(accuracy["interval"].clone()).unwrap();
    assert!(interval[0] <= difference && difference <= interval[1] && interval[0] < interval[1], "{accuracy}");
    // the cross-entropy of kept answers is the loss that the run has measured
    let (last, loss) = (pair["figures"].as_array().unwrap().last().unwrap(), &runs[1]["evaluation"]["loss"]);
    assert!((last["second"].as_f64().unwrap() - loss.as_f64().unwrap()).abs() < 1e-5, "{last} {loss}");
    let page = String::from_utf8(place.read("compare.html")).unwrap();
    for part in ["row by row", "McNemar", "training.epochs", "<table>", "interval of 95 %"] {
        assert!(page.contains(part), "wanted {part} in\n{page}");
    }
    let said = place.run(&["compare", "a", "b", "a", "--resamples", "50"]).done();
    assert!(said.contains("McNemar's exact test") && said.contains("after Holm"), "{said}");
    assert_eq!(said, place.run(&["compare", "a", "b", "a", "--resamples", "50"]).done());
}

#[test]
fn a_run_that_is_named_twice_is_told_as_one_run_and_its_notes_once() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &["output.folder=a", "training.epochs=1"]).done();
    for (other, wanted) in [("a", "a is named more than once"), ("./a", "a and ./a are one run")] {
        let ran = place.run(&["compare", "a", other]);
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("has kept no predictions").count(), 1, "{}", ran.stderr);
        ran.done();
    }
}

#[test]
fn rows_that_are_not_the_same_and_models_that_have_changed_are_told() {
    if !has_runtime() {
        return;
    }
    let place = runs();
    place.run(&["evaluate", "a/recipe.yaml", "--predictions", "a/predictions.parquet"]).done();
    let other = ["--data", "train-0.parquet", "--predictions", "b/predictions.parquet"];
    place.run(&[&["evaluate", "b/recipe.yaml"][..], &other].concat()).done();
    let ran = place.run(&["compare", "a", "b"]);
    assert!(ran.stderr.contains("a and b: their predictions are not of the same rows"), "{}", ran.stderr);
    assert!(!ran.done().contains("McNemar"));
    std::fs::copy(place.path("a/model.onnx"), place.path("b/model.onnx")).unwrap();
    let ran = place.run(&["compare", "a", "b"]);
    assert!(ran.stderr.contains("is of another model than the one beside it"), "{}", ran.stderr);
    place.run(&["compare", "a", "nothing"]).failed_with(&["cannot read nothing", "lie the runs a, b"]);
    let ran = place.run(&["compare", "a"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn a_run_without_rows_to_evaluate_on_is_told_with_the_command_that_takes_others() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for folder in ["a", "b"] {
        let folder = format!("output.folder={folder}");
        place.run_with("train", &[folder.as_str(), "data.evaluate=null", "training.epochs=1"]).done();
    }
    let wanted =
        ["names no rows to evaluate on", "`millstream evaluate a/recipe.yaml --model a/model.onnx --data FILES "];
    place.run(&["compare", "a", "b", "--predict"]).failed_with(&wanted);
}
