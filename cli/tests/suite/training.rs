//! A whole run on small data: what is written, what is said, the same bytes for any number of workers.

use millstream::schemas::recipe::RecipeText;
use serde_json::{Value, json};

use crate::dataset;
use crate::onnx;
use crate::workplace::{Workplace, has_runtime, text};

#[test]
fn a_run_leaves_a_model_its_figures_and_a_report() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let said = place.run(&["train", "recipe.yaml", "--keep-graph", "--set", "training.epochs=8"]).done();
    assert!(said.contains("accuracy 100.0 % of 18 rows"), "{said}");
    for file in [
        "model.onnx",
        "labels.txt",
        "metrics.json",
        "report.html",
        "recipe.yaml",
        "graph/training_step.onnx",
        "graph/evaluation.onnx",
        "graph/parameters.safetensors",
        "graph/manifest.json",
    ] {
        assert!(!place.read(&format!("run/{file}")).is_empty(), "{file}");
    }
    assert_eq!(place.read("run/labels.txt"), b"red\ngreen\nblue\n");
    let evaluated = place.run(&["evaluate", "recipe.yaml", "--json"]).json();
    assert_eq!(evaluated["evaluation"]["accuracy"], 1.0);
    assert_eq!(evaluated["evaluation"]["rows"], 18);
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let difference =
        metrics["evaluation"]["loss"].as_f64().unwrap() - evaluated["evaluation"]["loss"].as_f64().unwrap();
    assert!(difference.abs() < 1e-5, "{difference}");
    let said = place.run(&["evaluate", "recipe.yaml", "--data", "train-1.parquet"]).done();
    assert!(said.contains("of 24 rows") && said.contains("confusion matrix"), "{said}");
    place.run(&["report", "run", "run", "-o", "both.html"]).done();
    let page = String::from_utf8(place.read("both.html")).unwrap();
    assert!(
        page.contains("<svg") && !page.contains("http://") && !page.replace("src=\"data:", "").contains("src="),
        "one self-contained page"
    );
    // What was used can be used again, from anywhere.
    place.run(&["check", text(&place.path("run/recipe.yaml"))]).done();
}

#[test]
fn evaluation_rows_that_are_trained_on_too_are_told_by_check_by_training_and_by_the_report() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // of these, rows 30 to 47 are in `train-1.parquet` too
    dataset::write(&place.path("test.parquet"), &dataset::rows(30, 24));
    let wanted = "18 of 24 evaluation rows have an image that is trained on too, byte by byte";
    let checked = place.run(&["check", "recipe.yaml"]);
    assert!(format!("{}{}", checked.stdout, checked.stderr).contains(wanted), "{}{}", checked.stdout, checked.stderr);
    let ran = place.run(&["train", "recipe.yaml", "--set", "training.epochs=1"]);
    assert_eq!(ran.stderr.matches(wanted).count(), 1, "{}", ran.stderr);
    assert!(String::from_utf8(place.read("run/report.html")).unwrap().contains(wanted));
}

#[test]
fn a_model_that_ends_in_probabilities_has_the_same_loss_in_training_and_after() {
    if !has_runtime() {
        return;
    }
    for last in ["Softmax", "LogSoftmax"] {
        let place = Workplace::new();
        std::fs::write(
            place.path("model.onnx"),
            onnx::network_with("Relu", onnx::weight("conv.weight", &[8, 3, 3, 3]), Some(last)),
        )
        .unwrap();
        place.run_with("train", &[]).done();
        let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
        let evaluated = place.run(&["evaluate", "recipe.yaml", "--json"]).json();
        let loss = |report: &Value| report["evaluation"]["loss"].as_f64().unwrap();
        assert!((loss(&metrics) - loss(&evaluated)).abs() < 1e-5, "{last}: {} {}", loss(&metrics), loss(&evaluated));
    }
}

#[test]
fn the_number_of_workers_changes_nothing() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let models = ["1", "2", "4"].map(|workers| {
        let (workers_change, folder) = (format!("data.workers={workers}"), format!("output.folder=run-{workers}"));
        place.run_with("train", &[&workers_change, &folder]).done();
        place.read(&format!("run-{workers}/model.onnx"))
    });
    assert!(models[0] == models[1] && models[0] == models[2], "the tuned models differ");
}

#[test]
fn events_are_json_lines() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let lines = place.run(&["train", "recipe.yaml", "--json"]).done();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((count("started"), count("step"), count("evaluated"), count("finished")), (1, 18, 3, 1));
    assert_eq!(events.last().unwrap()["steps"], 18);
}

#[test]
fn a_new_head_with_soft_labels_learns_too() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = [
        "transforms.train=[{resize: {size: 16}}, {mix_up: {alpha: 0.2}}]",
        "training.label_smoothing=0.1",
        "training.schedule={cosine: {warmup: 0.1}}",
        "training.gradient_clip_norm=1",
        "training.optimizer={sgd: {learning_rate: 0.3}}",
        "training.epochs=8",
        "model.train={last: 1}",
    ];
    let said = place.run_with("train", &changes).done();
    assert!(said.contains("27 parameters trained, 224 frozen"), "{said}");
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let epochs = metrics["history"]["epochs"].as_array().unwrap();
    let loss = |index: usize| epochs[index]["training_loss"].as_f64().unwrap();
    assert!(loss(7) < loss(0), "{} is not below {}", loss(7), loss(0));
}

#[test]
fn the_loss_that_a_recipe_chooses_is_minimized_and_written_down() {
    if !has_runtime() {
        return;
    }
    for (loss, written) in [
        ("focal", json!({"focal": {"gamma": 2.0, "alpha": []}})),
        ("{focal: {gamma: 1, alpha: [1, 2, 0.5]}}", json!({"focal": {"gamma": 1.0, "alpha": [1.0, 2.0, 0.5]}})),
    ] {
        let place = Workplace::new();
        place.run_with("train", &[&format!("training.loss={loss}"), "training.epochs=8"]).done();
        let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
        let epochs = metrics["history"]["epochs"].as_array().unwrap();
        let loss = |index: usize| epochs[index]["training_loss"].as_f64().unwrap();
        assert!(loss(7) < 0.5 * loss(0), "{} is not far below {}", loss(7), loss(0));
        assert!(metrics["evaluation"]["accuracy"].as_f64().unwrap() > 0.9);
        let recipe = RecipeText::read(&place.path("run/recipe.yaml"), &[]).unwrap().recipe().unwrap();
        assert_eq!(serde_json::to_value(&recipe.training.loss).unwrap(), written);
    }
}

#[test]
fn what_a_recipe_measures_is_told_written_down_and_decides() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = [
        "training.metrics=[{f1: {average: micro}}, {top_k: {k: 2}}, log_loss, confusion_matrix]",
        "training.best=log_loss",
        "training.label_smoothing=0.1",
    ];
    let ran = place.run_with("train", &changes);
    assert!(ran.stderr.contains("epoch 3/3: log-loss 0."), "{}", ran.stderr);
    let said = ran.done();
    assert!(said.contains("f1-micro 100.0 % of 18 rows, top-2 100.0 % (82.4 % to 100.0 %), log-loss 0."), "{said}");
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let (history, evaluation) = (&metrics["history"], &metrics["evaluation"]);
    assert_eq!((&history["decides"]["name"], &history["decides"]["better"]), (&json!("log_loss"), &json!("lower")));
    let keys: Vec<&String> = evaluation.as_object().unwrap().keys().collect();
    let wanted =
        ["rows", "not_finite", "loss", "f1_micro", "top_2", "log_loss", "confusion_matrix", "majority", "intervals"];
    assert_eq!(keys, wanted);
    assert_eq!(history["best"]["log_loss"], evaluation["log_loss"]);
    let (loss, log_loss) = (evaluation["loss"].as_f64().unwrap(), evaluation["log_loss"].as_f64().unwrap());
    assert!(loss > log_loss + 0.01, "the loss is smoothed: {loss}, and {log_loss} is not");
    // The exported model has the same figures.
    let mut again = vec!["evaluate", "recipe.yaml", "--json"];
    again.extend(changes.iter().flat_map(|change| ["--set", change]));
    let evaluated = place.run(&again).json();
    for name in ["loss", "log_loss", "f1_micro", "top_2"] {
        let (then, now) = (evaluation[name].as_f64().unwrap(), evaluated["evaluation"][name].as_f64().unwrap());
        assert!((then - now).abs() < 1e-5, "{name}: {then}, then {now}");
    }
    assert_eq!(evaluated["evaluation"]["confusion_matrix"], evaluation["confusion_matrix"]);
    let text = place.run_with("evaluate", &changes).done();
    assert!(text.contains("confusion matrix") && !text.contains("precision"), "{text}");
}

#[test]
fn without_evaluation_rows_the_last_weights_are_exported() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let said = place.run_with("train", &["data.evaluate=null", "training.epochs=1"]).done();
    assert!(said.contains("nothing was measured"), "{said}");
    assert!(place.path("run/model.onnx").exists());
    place.run(&["evaluate", "recipe.yaml"]).done();
}

#[test]
fn a_diverged_run_is_told_and_nothing_worse_than_the_start_is_praised() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = ["--set", "training.optimizer={adamw: {learning_rate: 30}}", "--set", "training.epochs=6"];
    let ran = place.run(&[&["train", "recipe.yaml", "--json"], &changes[..]].concat());
    let events: Vec<Value> = ran.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    let start = named("start_evaluated").next().unwrap()["accuracy"].as_f64().unwrap();
    for epoch in named("evaluated").filter(|epoch| epoch["best"] == true) {
        assert!(epoch["accuracy"].as_f64().unwrap() >= start && epoch["better_than_start"] == true, "{epoch}");
    }
    let finished = events.last().unwrap();
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    for notes in [&finished["notes"], &metrics["notes"]] {
        assert!(notes.to_string().contains("the training has diverged: from step "), "{notes}");
    }
    assert!(String::from_utf8(place.read("run/report.html")).unwrap().contains("the training has diverged"));
    let warned = named("warning").filter(|event| event["message"].as_str().unwrap().contains("has diverged"));
    assert_eq!(warned.count(), 2, "as it happens, and at the end");
}

#[test]
fn evaluations_that_are_no_numbers_end_in_an_error_and_export_nothing() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let change = "transforms.evaluate=[{resize: {size: 16}}, {normalize: {mean: [0, 0, 0], std: [0.000001, 0.000001, 0.000001]}}]";
    // Its scores leave the range of floats on pictures that are far brighter than those it is trained on.
    std::fs::write(place.path("model.onnx"), onnx::network("Exp")).unwrap();
    let ran = place.run_with("train", &[change]);
    assert!(ran.stderr.contains("before the first step 18 of 18 evaluation rows have scores"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("the best so far"), "{}", ran.stderr);
    ran.failed_with(&["after each of the 3 epochs the loss on the evaluation rows is no number", "step-18"]);
    assert!(!place.path("run/model.onnx").exists());
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    assert_eq!((&metrics["ending"], metrics["history"]["epochs"].as_array().unwrap().len()), (&"failed".into(), 3));
}

/// Watched from outside: what the stream counts is not all that a process takes.
#[test]
#[cfg(target_os = "linux")]
fn a_process_takes_no_more_than_the_ceiling_and_what_a_small_run_takes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let peak = |changes: &[&str]| {
        let said = place.run_with("train", &[changes, &["training.epochs=1", "output.folder=memory"]].concat()).done();
        std::fs::remove_dir_all(place.path("memory")).unwrap();
        let figure = said.split_once("at most ").and_then(|(_, rest)| rest.split_once(" MB of memory")).unwrap().0;
        figure.replace(',', "").parse::<u64>().unwrap() * 1_000_000 / (1 << 20)
    };
    let small = peak(&[]);
    // What threads hold at the same time depends on when they get a processor; too much in all of several runs is a fault.
    let least = |changes: &[&str], most: u64| {
        let mut least = u64::MAX;
        for _ in 0..4 {
            least = least.min(peak(changes));
            if least <= most {
                break;
            }
        }
        least
    };
    // Pictures with something behind their end: 240 MiB in one row group, under a ceiling of 64 MiB.
    let mut rows = dataset::rows(0, 3840);
    let mut random = 1_u64;
    for row in &mut rows {
        let bytes = row.image.as_mut().unwrap();
        bytes.extend((0..8192).flat_map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random.rotate_left(24).to_le_bytes()
        }));
    }
    dataset::write_one_group(&place.path("large.parquet"), &rows);
    dataset::write_one_group(&place.path("other.parquet"), &rows[..1920]);
    for order in ["sequential", "windowed", "global"] {
        let order_is = format!("data.order={order}");
        let changes = ["data.train=large.parquet", "data.evaluate=other.parquet", "data.batch=64", &order_is];
        let taken = least(&changes, small + 64 + 32);
        assert!(taken <= small + 64 + 32, "{order}: {taken} MiB, and a small run takes {small} MiB");
    }
}

#[test]
fn lora_is_trained_beside_the_model_and_exported_in_it_or_beside_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let lora = "model.methods=[{lora: {rank: 2, layers: convolution}}]";
    let settings = [lora, "model.train=head", "training.epochs=6"];
    let said = place.run_with("check", &settings).done();
    assert!(said.contains("`lora` adds 70 numbers beside 1 layer, `conv` first"), "{said}");
    let trained = |adapters: &str| {
        let (folder, adapters) = (format!("output.folder={adapters}"), format!("output.adapters={adapters}"));
        let changes = [&settings[..], &[&*folder, &*adapters]].concat();
        place.run_with("train", &changes).done();
        place.run(&["evaluate", "recipe.yaml", "--json", "--set", &folder]).json()["evaluation"].clone()
    };
    let (merged, unmerged) = (trained("merged"), trained("unmerged"));
    assert_eq!(merged["accuracy"], unmerged["accuracy"]);
    let difference = merged["loss"].as_f64().unwrap() - unmerged["loss"].as_f64().unwrap();
    assert!(difference.abs() < 1e-5, "{merged}, {unmerged}");
    let holds = |file: &str, name: &[u8]| place.read(file).windows(name.len()).any(|bytes| bytes == name);
    assert!(!holds("merged/model.onnx", b"lora") && holds("unmerged/model.onnx", b"conv.lora_A.weight"));

    let mistake = place.run_with("check", &["model.methods=[{lora: {layers: {match: [cnv]}}}]"]);
    mistake.failed_with(&["layers.match", "matches `cnv`; did you mean `conv`?", "--> --set model.methods"]);
}
