//! Means of weights whose members have gathered running statistics of their own.

use serde_json::Value;

use crate::onnx;
use crate::workplace::{Workplace, has_runtime};

#[test]
fn a_soup_of_runs_whose_normalizations_followed_their_batches_has_statistics_of_its_own_weights() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    std::fs::write(place.path("normalized.onnx"), onnx::network_with_normalization()).unwrap();
    for (name, rate) in [("one", "0.01"), ("two", "0.05")] {
        let (folder, optimizer) =
            (format!("output.folder={name}"), format!("training.optimizer={{adamw: {{learning_rate: {rate}}}}}"));
        let changes = ["model.path=normalized.onnx", "model.batch_normalization=training", "training.epochs=1"];
        place.run_with("train", &[&changes[..], &[&folder, &optimizer]].concat()).done();
        let (recipe, file) = (format!("{name}/recipe.yaml"), format!("{name}/predictions.parquet"));
        place.run(&["evaluate", &recipe, "--predictions", &file]).done();
    }
    let fit = |to: &str| {
        let line = ["ensemble", "fit", "one", "two", "--method", "uniform_soup", "--holdout", "0", "--json", "-o", to];
        place.run(&line).json()
    };
    let fitted = fit("soup");
    let notes = fitted["ensemble"]["notes"].to_string();
    assert!(notes.contains("those of the mean (2 tensors) are computed anew from 48 training rows"), "{notes}");
    assert!(!notes.contains("were averaged"), "{notes}");
    // what was measured is what was written
    let evaluate = ["evaluate", "one/recipe.yaml", "--json", "--model", "soup/ensemble.onnx"];
    let found = place.run(&evaluate).json()["evaluation"]["loss"].as_f64().unwrap();
    let told = fitted["ensemble"]["report"]["ensemble"]["loss"].as_f64().unwrap();
    assert!((found - told).abs() < 1e-5, "{found} {told}");
    // the same twice, and when it is written again
    let soup = place.read("soup/ensemble.onnx");
    fit("again");
    place.run(&["ensemble", "export", "soup", "-o", "exported.onnx"]).done();
    assert!(soup == place.read("again/ensemble.onnx") && soup == place.read("exported.onnx"));
    // what cannot be computed anew is averaged, and a note says why
    let averaged = |more: &[&str]| {
        let ran = place.run(&[&["ensemble", "export", "soup", "--json", "-o", "averaged.onnx"][..], more].concat());
        let notes = ran.json()["notes"].to_string();
        assert!(notes.contains("were averaged") && notes.contains("cannot be computed anew"), "{notes}");
        assert!(soup != place.read("averaged.onnx"), "those of the members differ");
    };
    averaged(&["--runtime", "nowhere.so"]);
    std::fs::rename(place.path("train-1.parquet"), place.path("gone")).unwrap();
    std::fs::rename(place.path("train-0.parquet"), place.path("gone-too")).unwrap();
    averaged(&[]);
    std::fs::rename(place.path("gone"), place.path("train-1.parquet")).unwrap();
    std::fs::rename(place.path("gone-too"), place.path("train-0.parquet")).unwrap();
    // statistics that a run computes anew for these very weights, which it does not move, are the same
    let as_they_are = [
        "model.path=soup/ensemble.onnx",
        "model.head=keep",
        "model.batch_normalization=reestimated",
        "training.optimizer={sgd: {learning_rate: 1.0e-30, weight_decay: 0}}",
        "training.epochs=1",
        "output.folder=still",
    ];
    place.run_with("train", &as_they_are).done();
    let still = place.run(&["evaluate", "still/recipe.yaml", "--json", "--model", "still/model.onnx"]).json();
    let still: &Value = &still["evaluation"]["loss"];
    assert!((still.as_f64().unwrap() - found).abs() < 1e-5, "{still} {found}");
}
