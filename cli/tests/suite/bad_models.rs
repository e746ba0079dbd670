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
fn a_file_that_is_no_model_is_named_for_what_it_is() {
    let place = Workplace::new();
    let rows: [(&[u8], &str); 4] = [
        (b"PK\x03\x04and so on", "a ZIP archive, as PyTorch"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"Entry not found", "a text"),
    ];
    for (bytes, wanted) in rows {
        fs::write(place.path("other.onnx"), bytes).unwrap();
        let set = ["model.path=other.onnx"];
        let ran = [
            place.run_with("check", &set),
            place.run_with("train", &set),
            place.run(&["evaluate", "recipe.yaml", "--model", "other.onnx"]),
            place.run(&["inspect", "other.onnx"]),
        ];
        for ran in ran {
            let text = ran.failed_with(&["other.onnx", wanted]);
            assert!(!text.contains("wire type") && !text.contains("underflow"), "{text}");
        }
    }
    fs::create_dir(place.path("folder.onnx")).unwrap();
    place.run(&["inspect", "folder.onnx"]).failed_with(&["folder.onnx", "it is a folder"]);
}

#[test]
fn no_name_in_a_model_steers_the_terminal() {
    let place = Workplace::new();
    fs::write(place.path("model.onnx"), onnx::fixed_batch(1, "\u{1b}[31m\r\u{202e}")).unwrap();
    let multipliers = "training.learning_rate_multipliers=[{match: x, multiplier: 0.5}]";
    let mut ran = vec![
        place.run(&["inspect", "model.onnx", "--pattern", "*conv*", "--pattern", "conv"]),
        place.run_with("check", &[]),
        place.run_with("check", &["model.train={match: [nothing]}"]),
        place.run_with("check", &["model.output=nothing"]),
        place.run_with("check", &[multipliers]),
        place.run_with("check", &["model.head=keep"]),
    ];
    if has_runtime() {
        ran.push(place.run_with("train", &["training.epochs=1"]));
        ran.push(place.run(&["evaluate", "recipe.yaml"]));
    }
    for ran in ran {
        for text in [&ran.stdout, &ran.stderr] {
            let steers = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
            assert!(!text.contains(steers), "{text:?}");
        }
    }
}

#[test]
fn a_model_with_a_fixed_batch_is_trained_with_the_recipes_batch() {
    let place = Workplace::new();
    for rows in [1, 5] {
        fs::write(place.path("model.onnx"), onnx::fixed_batch(rows, "")).unwrap();
        let text = place.run_with("check", &[]).done();
        assert!(text.contains(&format!("fixes its batch at {rows}; the axis was freed")), "{text}");
        if has_runtime() {
            place.run(&["train", "recipe.yaml", "--overwrite"]).done();
            let text = place.run(&["inspect", "run/model.onnx"]).done();
            assert!(text.contains("input image [?, 3, 16, 16]") && text.contains("output logits [?, 3]"), "{text}");
            place.run(&["evaluate", "recipe.yaml"]).done();
        }
    }
}

#[test]
fn a_batch_of_length_nothing_is_one_of_any_length() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    std::fs::write(place.path("model.onnx"), onnx::fixed_batch(0, "")).unwrap();
    place.run_with("train", &["training.epochs=1"]).done();
    let said = place.run(&["evaluate", "recipe.yaml"]).done();
    assert!(said.contains("of 18 rows"), "{said}");
}

#[test]
fn evaluation_under_other_preprocessing_than_in_training_is_told() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let normalize = "{normalize: {mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}}";
    let train = format!("transforms.train=[{{resize: {{size: 16}}}}, {normalize}]");
    let evaluate = format!("transforms.evaluate=[{{resize: {{size: 16}}}}, {normalize}]");
    let ran = place.run_with("train", &[&train, &evaluate, "training.epochs=1"]);
    assert!(!ran.stderr.contains("normalize"), "{}", ran.stderr);
    ran.done();
    assert!(!place.run_with("evaluate", &[&evaluate]).stderr.contains("warning"));
    let wanted = "the model was trained to be evaluated with `normalize: {";
    let without = place.run(&["evaluate", "recipe.yaml"]);
    assert!(without.stderr.contains(wanted), "{}", without.stderr);
    without.done();
    let report = place.run(&["evaluate", "recipe.yaml", "--json"]).json();
    assert!(report["warnings"][0].as_str().is_some_and(|warning| warning.contains("no `normalize`")), "{report}");
    // going on from the tuned model, and one split of a recipe normalized without the other
    let text = place.run_with("check", &["model.path=run/model.onnx", "output.folder=second"]).done();
    assert!(text.contains(wanted), "{text}");
    let text = place.run_with("check", &[&train, "output.folder=second"]).done();
    assert!(text.contains("`transforms.evaluate` has no `normalize`"), "{text}");
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
    fs::write(place.path("model.onnx"), onnx::network("Unique")).unwrap();
    let report = place.run_with("check", &[]);
    assert_eq!(report.code, Some(1), "{}", report.stderr);
    for part in
        ["no gradient for operator Unique", "`bent`", "<- mean (GlobalAveragePool) <- ", "cannot be trained like this"]
    {
        assert!(report.stdout.contains(part), "wanted {part} in {}", report.stdout);
    }
    if has_runtime() {
        place.run_with("train", &[]).failed_with(&[
            "no gradient for operator Unique",
            "`bent`",
            "The last of 2 layers can be trained: `train: {last: 1}`",
        ]);
        // Behind the head nothing of it is on the path.
        let said = place.run_with("check", &["model.train=head"]).done();
        assert!(!said.contains("no gradient for operator"), "{said}");
    }
}

#[test]
fn inspect_says_what_to_change_in_an_export_and_which_gradients_are_zero() {
    let place = Workplace::new();
    let ending = |last| onnx::network_with("Relu", onnx::weight("conv.weight", &[8, 3, 3, 3]), Some(last));
    for (bytes, wanted) in [
        (
            onnx::network("Relu"),
            vec![
                "the export has nothing that is known to train badly",
                "a step that trains all layers:\n  memory: about ",
                "on the CPU for one row, with AdamW and without the data (weights ",
            ],
        ),
        (onnx::network("Round"), vec!["zero: constant between halves"]),
        (ending("Softmax"), vec!["output `probabilities` ends in Softmax", "→ return the scores themselves"]),
        (onnx::fixed_batch(2, ""), vec!["the file fixes its batch at 2 rows", "{0: torch.export.Dim(\"batch\")}"]),
    ] {
        fs::write(place.path("other.onnx"), bytes).unwrap();
        let said = place.run(&["inspect", "other.onnx"]).done();
        for part in wanted {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
    }
    let advice = place.run(&["inspect", "other.onnx", "--json"]).json()["advice"].take();
    assert!(advice[0]["change"].as_str().is_some_and(|change| change.contains("dynamic_axes")), "{advice}");
}

#[test]
fn a_pattern_that_matches_nothing_is_answered_with_the_nearest_layer() {
    let place = Workplace::new();
    let ran = place.run(&["inspect", "model.onnx", "--pattern", "conv*", "--pattern", "heat"]);
    // As `train` would end with such a pattern.
    assert_eq!(ran.code, Some(1));
    let text = ran.stdout;
    assert!(text.contains("`conv*` matches 1 layer with 224 parameters"), "{text}");
    assert!(text.contains("`heat` matches 0 layers") && text.contains("did you mean `head`?"), "{text}");
}

#[test]
fn the_operators_that_models_may_have_are_listed_without_a_model() {
    let place = Workplace::bare();
    let known = place.run(&["inspect", "--operators", "--json"]).json();
    let rows = known["operators"].as_array().unwrap();
    let way = |name: &str| rows.iter().find(|row| row["operator"] == name).unwrap_or_else(|| panic!("{name}"));
    for (name, wanted) in [("Gemm", "defined"), ("Floor", "zero"), ("Unique", "none"), ("SplitToSequence", "resolved")]
    {
        assert_eq!(way(name)["gradient"], wanted, "{name}");
    }
    assert!(rows.len() > 250 && way("Floor")["reason"].is_string() && known["oldest_opset"] == 7, "{known}");
    let listed = place.run(&["inspect", "--operators"]).done();
    assert!(listed.contains("models of opset 7 to 25 are read") && listed.contains("Relu"), "{listed}");
    assert_eq!(place.run(&["inspect"]).code, Some(2));
    assert_eq!(place.run(&["inspect", "model.onnx", "--operators"]).code, Some(2));
}

#[test]
fn what_other_tools_save_is_named_by_inspect_as_what_it_is() {
    let place = Workplace::new();
    for (name, bytes, wanted) in [
        ("net.pt", &b"PK\x03\x04 and more"[..], "as PyTorch and Keras save networks"),
        ("net.pkl", b"\x80\x04 and more", "a Python pickle"),
        ("net.safetensors", b"\x08\0\0\0\0\0\0\0{      }", "holds weights and no graph"),
    ] {
        std::fs::write(place.path(name), bytes).unwrap();
        place.run(&["inspect", name]).failed_with(&[name, wanted]);
    }
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
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let started = events.into_iter().find(|event| event["event"] == "started").expect("it says how far the run was");
    assert_eq!(started["steps_done"], 1, "{}", ran.stdout);
    ran.failed_with(&wanted);
}
