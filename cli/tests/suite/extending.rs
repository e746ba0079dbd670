//! Runs that go on with other settings than they had.

use std::process::Command;

use serde_json::Value;

use crate::running::Running;
use crate::workplace::{Ran, Workplace, has_runtime};

fn train(place: &Workplace, flag: &str, changes: &[&str]) -> Ran {
    let mut arguments = vec!["train", "recipe.yaml", flag];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments)
}

/// A run of two epochs, six steps each.
fn trained(changes: &[&str]) -> Option<Workplace> {
    has_runtime().then(|| {
        let place = Workplace::new();
        train(&place, "--overwrite", &[&["training.epochs=2"], changes].concat()).done();
        place
    })
}

/// The model of a run that nobody disturbed, and the losses of its steps.
fn whole(place: &Workplace, changes: &[&str]) -> (Vec<u8>, Value) {
    train(place, "--overwrite", &[&["output.folder=whole"], changes].concat()).done();
    (place.read("whole/model.onnx"), points(place, "whole"))
}

fn record(place: &Workplace, run: &str) -> Value {
    serde_json::from_slice(&place.read(&format!("{run}/metrics.json"))).unwrap()
}

fn points(place: &Workplace, run: &str) -> Value {
    record(place, run)["history"]["curve"]["points"].clone()
}

#[test]
fn a_finished_run_that_is_given_epochs_is_one_that_had_them_from_the_start() {
    // what is averaged, masked and drawn by epoch goes on too
    for more in [&[][..], &["training.average=ema"], &["training.average=swa"], &["training.average={last: 2}"]] {
        let Some(place) = trained(more) else { return };
        let said = train(&place, "--resume", &[&["training.epochs=3"], more].concat());
        assert!(
            said.stderr.contains("after step 12 the run went on with other settings: `training.epochs` 3 (2 before)"),
            "{}",
            said.stderr
        );
        said.done();
        let (model, losses) = whole(&place, more);
        assert_eq!(points(&place, "run"), losses, "{more:?}");
        assert!(place.read("run/model.onnx") == model, "{more:?}: the models differ");
        // of what it was it is not the same run any more
        train(&place, "--resume", &[&["training.epochs=2"], more].concat())
            .failed_with(&["training.epochs: 2 are fewer than what is done already: 3 are done"]);
        train(&place, "--resume", &[&["training.epochs=3"], more].concat()).done();
    }
}

#[test]
fn a_run_killed_in_its_extension_goes_on_to_the_bits_of_one_that_was_not() {
    let Some(place) = trained(&[]) else { return };
    let more = ["training.epochs=30", "training.schedule=linear", "output.checkpoint.every_steps=1"];
    Command::new("cp").arg("-r").arg(place.path("run")).arg(place.path("other")).status().unwrap();
    let mut whole = more.to_vec();
    whole.push("output.folder=other");
    train(&place, "--resume", &whole).done();
    for step in [12, 13, 40] {
        let mut arguments = vec!["train", "run", "--resume", "--json"];
        arguments.extend(more.iter().flat_map(|change| ["--set", *change]));
        let mut running = Running::start(&place, &arguments);
        if step == 12 {
            running.until("\"started\"")
        } else {
            running.until_saved(step)
        }
        running.killed();
    }
    // the recipe in the folder is the new one
    place.run(&["train", "run", "--resume"]).done();
    assert_eq!(points(&place, "run"), points(&place, "other"));
    assert!(place.read("run/model.onnx") == place.read("other/model.onnx"), "the models differ");
    let parts: Value = serde_json::from_slice(&place.read("run/parts.json")).unwrap();
    assert_eq!(
        (parts["parts"].as_array().unwrap().len(), &parts["parts"][0]["after_step"]),
        (1, &Value::from(12)),
        "{parts}"
    );
}

#[test]
fn another_rate_and_schedule_hold_from_the_step_on_at_which_the_run_stood() {
    let Some(place) = trained(&[]) else { return };
    let changes = [
        "training.epochs=4",
        "training.schedule=linear",
        "training.optimizer.adamw.learning_rate=0.002",
        "training.gradient_clip_norm=1",
        "evaluation.every={steps: 4}",
        "training.metrics=[accuracy, f1]",
        "training.average={best: 2}",
        "training.early_stopping={patience: 50}",
    ];
    let ran = train(&place, "--resume", &changes);
    assert!(ran.stderr.contains("The next step has the learning rate 0.001"), "{}", ran.stderr);
    ran.done();
    let losses = points(&place, "run");
    let rates: Vec<f64> =
        losses.as_array().unwrap().iter().map(|point| point["learning_rate"].as_f64().unwrap()).collect();
    assert_eq!(rates.len(), 24);
    // 12 of 24 steps are done: half of the way down, and on
    for (at, wanted) in [(0, 0.01), (11, 0.01), (12, 0.001), (18, 0.0005)] {
        assert!((rates[at] - wanted).abs() < 1e-8, "step {}: {}, wanted {wanted}", at + 1, rates[at]);
    }
    let record = record(&place, "run");
    let evaluated: Vec<u64> =
        record["history"]["evaluations"].as_array().unwrap().iter().map(|one| one["step"].as_u64().unwrap()).collect();
    assert_eq!(evaluated, [6, 12, 16, 20, 24]);
    let notes = record["notes"].to_string();
    for part in ["after step 12", "`training.schedule`", "`training.optimizer.adamw.learning_rate` 0.002", "(0.01"] {
        assert!(notes.contains(part), "{part} in {notes}");
        assert!(String::from_utf8(place.read("run/report.html")).unwrap().contains("after step 12"));
    }
    // it is said where the run is told of, and made again in its parts
    train(&place, "--overwrite", &["output.folder=other"]).done();
    let said = place.run(&["compare", "run", "other"]);
    assert!(said.stderr.contains("after step 12 the run went on"), "{}", said.stderr);
    place.run(&["document", "run"]).done();
    let card = String::from_utf8(place.read("run/documents/README.md")).unwrap_or_default();
    assert!(card.contains("after step 12"), "{card}");
    let said = place.run(&["reproduce", "run"]).done();
    assert!(said.contains("the same, bit by bit"), "{said}");
    assert!(place.read("run/model.onnx") == place.read("run-again/model.onnx"));
}

#[test]
fn what_was_done_depends_on_is_refused_with_what_to_do() {
    let Some(place) = trained(&[]) else { return };
    for (change, wanted) in [
        ("seed=4", "`seed` changed"),
        ("data.batch=4", "`data.batch` changed"),
        ("data.train=train-0.parquet", "`data.train` changed"),
        ("model.train=head", "`model.train` changed"),
        ("training.optimizer=sgd", "`training.optimizer` changed since that run began (then adamw, now sgd)"),
        ("training.best=loss", "`training.best` changed"),
        ("transforms.train=[{resize: {size: 16}}]", "`transforms.train` changed"),
    ] {
        let said = train(&place, "--resume", &["training.epochs=2", change]).failed_with(&[wanted, "`--overwrite`"]);
        assert!(said.replace('\n', " ").contains("run/model.onnx"), "{said}");
    }
    for (change, wanted) in [
        ("training.max_steps=5", "training.max_steps: 5 are fewer than the 12 that are done already"),
        ("training.metrics=[log_loss]", "training.metrics: the best state so far was chosen by `accuracy`"),
        ("training.average={swa: {from: 0.1}}", "the epochs that are over"),
    ] {
        train(&place, "--resume", &["training.epochs=4", change]).failed_with(&[wanted]);
    }
    // nothing was changed by what was refused
    assert!(!place.path("run/parts.json").exists());
    train(&place, "--resume", &["training.epochs=2"]).done();
    std::fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    train(&place, "--resume", &["training.epochs=3"]).failed_with(&["has no checkpoint any more", "run/model.onnx"]);
}

/// "what the optimizer remembers of `0.lora_A.weight` differs: it has mean, mean_scale, …".
#[test]
fn a_setting_that_what_is_remembered_follows_from_is_named_when_it_has_changed() {
    for (before, after, wanted, inner) in [
        (&[][..], "training.penalties={l2_sp: 0.1}", "the penalties differs", "l2_sp"),
        (
            &["training.optimizer={adamw_8bit: {min_8bit_size: 1}}"],
            "training.optimizer={adamw_8bit: {min_8bit_size: 1000000}}",
            "the optimizer differs",
            "min_8bit_size",
        ),
    ] {
        let Some(place) = trained(before) else { return };
        let said = train(&place, "--resume", &["training.epochs=4", after]).failed_with(&[inner]);
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(wanted) && !flat.contains("mean_scale"), "{said}");
    }
}

#[test]
fn a_run_that_stopped_early_goes_on_with_more_patience() {
    let early = ["training.epochs=40", "training.early_stopping={patience: 1, least_gain: 0.9}"];
    let Some(place) = trained(&early) else { return };
    let steps = |place: &Workplace| record(place, "run")["history"]["steps"].as_u64().unwrap();
    let before = steps(&place);
    assert!(before < 240, "{before}");
    // by more epochs alone it is at its end all the same, and that is said
    let ran = train(&place, "--resume", &[&early[1..], &["training.epochs=50"]].concat());
    assert!(ran.stderr.contains("By these it is at its end already"), "{}", ran.stderr);
    ran.done();
    train(&place, "--resume", &["training.epochs=50", "training.early_stopping={patience: 3, least_gain: 0.9}"]).done();
    assert!(steps(&place) > before);
    assert!(record(&place, "run")["notes"].to_string().contains("stopped after"));
}
