//! Runs made again.

use serde_json::Value;

use crate::dataset;
use crate::workplace::{Workplace, has_runtime};

fn trained() -> Option<Workplace> {
    has_runtime().then(|| {
        let place = Workplace::new();
        place.run_with("train", &[]).done();
        place
    })
}

#[test]
fn a_run_made_again_is_the_same_bit_by_bit() {
    let Some(place) = trained() else { return };
    let said = place.run(&["reproduce", "run"]).done();
    assert!(said.contains("the same, bit by bit: model.onnx, labels.txt, the loss of every step"), "{said}");
    assert!(place.read("run/model.onnx") == place.read("run-again/model.onnx"));
    // a folder that holds a run is not written over
    place.run(&["reproduce", "run"]).failed_with(&["run-again", "--overwrite"]);
    place.run(&["reproduce", "run", "-o", "run"]).failed_with(&["it is the run itself"]);
    let found = place.run(&["reproduce", "run", "-o", "other", "--json"]).json();
    assert_eq!((&found["same"], &found["inputs_same"]), (&Value::from(true), &Value::from(true)), "{found}");
    assert_eq!(found["surroundings"], Value::from(Vec::<Value>::new()), "{found}");
    // data that lie elsewhere now
    std::fs::create_dir(place.path("moved")).unwrap();
    std::fs::rename(place.path("test.parquet"), place.path("moved/test.parquet")).unwrap();
    place.run(&["reproduce", "run", "-o", "third"]).failed_with(&["test.parquet"]);
    place.run(&["reproduce", "run", "-o", "third", "--set", "data.evaluate=moved/test.parquet"]).done();
}

#[test]
fn what_differs_is_told_from_the_first_step_to_the_last_figure() {
    let Some(place) = trained() else { return };
    place.run_with("train", &["output.folder=other", "seed=4"]).done();
    for file in ["model.onnx", "metrics.json"] {
        std::fs::copy(place.path(&format!("other/{file}")), place.path(&format!("run/{file}"))).unwrap();
    }
    let origin = String::from_utf8(place.read("run/origin.json")).unwrap();
    let then: Value = serde_json::from_str(&origin).unwrap();
    let version = then["software"].as_str().unwrap();
    place.write("run/origin.json", &origin.replace(version, "millstream 0.0.1"));
    let ran = place.run(&["reproduce", "run"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for part in [
        "not the same, from the same recipe, data and base model",
        "millstream 0.0.1",
        version,
        "the losses part at step 1: then",
        "model.onnx is another file",
        "tensors differ",
        "accuracy",
    ] {
        assert!(ran.stdout.contains(part), "wanted {part} in\n{}", ran.stdout);
    }
    let found: Value = serde_json::from_str(&place.run(&["reproduce", "run", "-o", "third", "--json"]).stdout).unwrap();
    assert_eq!(found["course"]["step"], 1, "{found}");
    let tensors = found["model"]["tensors"].as_array().unwrap();
    assert!(!tensors.is_empty() && tensors.iter().all(|tensor| tensor["largest"].as_f64().unwrap() > 0.0), "{found}");
    let loss = found["figures"].as_array().unwrap().iter().find(|figure| figure["name"] == "loss").unwrap();
    let of = |key: &str| loss[key].as_f64().unwrap();
    assert!((of("now") - of("then") - of("difference")).abs() < 1e-12 && of("difference") != 0.0, "{loss}");
}

#[test]
fn what_the_run_is_made_of_is_held_against_what_it_began_with_before_the_first_step() {
    let Some(place) = trained() else { return };
    place.run(&["reproduce", "run", "--set", "seed=9"]).failed_with(&["cannot be repeated", "`seed`", "then 3, now 9"]);
    let mut rows = dataset::rows(100, 18);
    rows[0].label = 2;
    dataset::write(&place.path("test.parquet"), &rows);
    place.run(&["reproduce", "run"]).failed_with(&["cannot be repeated", "`data.evaluate`"]);
    assert!(!place.path("run-again").exists());
    place.run(&["reproduce", "."]).failed_with(&["metrics.json"]);
}
