//! Models that are wrong: exit code 1, the file, node or tensor, and what to do.

use std::fs;

use crate::onnx;
use crate::workplace::{Workplace, has_runtime};

#[test]
fn a_truncated_model() {
    let place = Workplace::new();
    let mut bytes = onnx::network("Relu");
    bytes.truncate(bytes.len() - 300);
    fs::write(place.path("model.onnx"), bytes).unwrap();
    for command in ["check", "train"] {
        place.run_with(command, &[]).failed_with(&["model.onnx", "not a whole ONNX model"]);
    }
    place.run(&["inspect", "model.onnx"]).failed_with(&["model.onnx"]);
    place.write("model.onnx", "");
    place.run_with("check", &[]).failed_with(&["model.onnx", "empty"]);
    place.run_with("check", &["model.path=other.onnx"]).failed_with(&["other.onnx", "No such file"]);
}

#[test]
fn weights_outside_the_models_folder() {
    let place = Workplace::new();
    for location in ["../secret.bin", "/etc/passwd", "a/../../secret.bin"] {
        let weight = onnx::external("conv.weight", &[8, 3, 3, 3], location);
        fs::write(place.path("model.onnx"), onnx::network_with("Relu", weight, None)).unwrap();
        place.run_with("check", &[]).failed_with(&["`conv.weight`", location, "refused"]);
    }
}

#[test]
fn an_operator_without_gradient_is_named_with_the_path_from_the_loss() {
    let place = Workplace::new();
    fs::write(place.path("model.onnx"), onnx::network("Hardmax")).unwrap();
    let report = place.run_with("check", &[]);
    assert_eq!(report.code, Some(1), "{}", report.stderr);
    for part in
        ["no gradient for operator Hardmax", "`bent`", "<- mean (GlobalAveragePool) <- ", "cannot be trained like this"]
    {
        assert!(report.stdout.contains(part), "wanted {part} in {}", report.stdout);
    }
    if has_runtime() {
        place.run_with("train", &[]).failed_with(&["no gradient for operator Hardmax", "`bent`", "`train: head`"]);
        // Behind the head nothing of it is on the path.
        place.run_with("check", &["model.train=head"]).done();
    }
}

#[test]
fn a_pattern_that_matches_nothing_is_answered_with_the_nearest_layer() {
    let place = Workplace::new();
    let text = place.run(&["inspect", "model.onnx", "--pattern", "conv*", "--pattern", "heat"]).done();
    assert!(text.contains("`conv*` matches 1 layer with 224 parameters"), "{text}");
    assert!(text.contains("`heat` matches 0 layers") && text.contains("did you mean `head`?"), "{text}");
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = ["training.optimizer={sgd: {learning_rate: 1e30}}", "output.checkpoint.every_steps=1"];
    let wanted = ["A smaller learning rate", "checkpoints/step-1"];
    place.run_with("train", &changes).failed_with(&wanted);
    assert!(!place.path("run/model.onnx").exists());
    // What is left says how far it came, and the checkpoint is whole: from there it fails the same way again.
    let metrics: serde_json::Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    assert_eq!(metrics["ending"], "failed");
    assert!(place.path("run/report.html").exists());
    let mut again = vec!["train", "recipe.yaml", "--resume", "--json"];
    again.extend(changes.iter().flat_map(|change| ["--set", *change]));
    let ran = place.run(&again);
    let started: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(started["steps_done"], 1, "{}", ran.stdout);
    ran.failed_with(&wanted);
}
