//! Groups of parameters, freezing over time, a rate that follows the evaluations, the search for a learning rate.

use millstream::recipes::{Compiled, Opened, Run, RunOptions, Silent, StartMode, Stop, load};
use millstream::schemas::recipe::RecipeText;
use millstream::training::Until;
use millstream::{Catalogs, Recipe};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::workplace::{Workplace, has_runtime, text};

/// The recipe of a place with these changes, its results under a name of its own.
fn recipe(place: &Workplace, folder: &str, changes: &[&str]) -> Recipe {
    let mut changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    changes.push(format!("output.folder={}", text(&place.path(folder))));
    let text = RecipeText::read(&place.path("recipe.yaml"), &changes).unwrap();
    load(&text, &Catalogs::default()).unwrap()
}

fn compiled(place: &Workplace, folder: &str, changes: &[&str]) -> Compiled {
    Opened::open(&recipe(place, folder, changes), &Catalogs::default()).unwrap().compile().unwrap()
}

fn started(compiled: &Compiled, start: StartMode) -> Run {
    compiled.run(&RunOptions { start, ..RunOptions::default() }, &mut Silent).unwrap()
}

#[test]
fn check_prints_groups_and_what_is_trained_when() {
    let place = Workplace::new();
    let changes = [
        "training.groups=[{kind: biases, weight_decay: 0.2}, {match: 'conv*', learning_rate: ×0.1}]",
        "training.head_first={epochs: 1}",
        "training.freeze=[{at: {epoch: 3}, layers: {match: head}}]",
    ];
    let said = place.run_with("check", &changes).done();
    for line in said.lines().filter(|line| line.starts_with("  ")) {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
    for part in
        ["parameter groups:", "kind: biases", "match: conv*", "others", "trained over time:", "epoch 2", "epoch 3"]
    {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let report = place.run(&["check", "recipe.yaml", "--json", "--set", changes[0], "--set", changes[1]]).json();
    let groups = report["groups"].as_array().unwrap();
    let numbers: u64 = groups.iter().map(|group| group["numbers"].as_u64().unwrap()).sum();
    assert_eq!(numbers, report["model"]["trained"].as_u64().unwrap(), "{groups:?}");
    let rates = |group: &Value| group["learning_rates"][0].as_f64().unwrap() as f32;
    assert_eq!(groups.iter().map(rates).collect::<Vec<_>>(), [0.01, 0.001, 0.01]);
    assert_eq!(groups[0]["weight_decays"][1].as_f64().unwrap() as f32, 0.2);
    // norms and biases have no decay unless that is asked for, and a group's own goes first
    for (decay_all, group, wanted) in [
        (false, "{kind: biases, learning_rate: x1}", 0.0_f32),
        (true, "{kind: biases, learning_rate: x1}", 0.01),
        (true, "{kind: biases, weight_decay: 0}", 0.0),
    ] {
        let changes = [format!("training.decay_all={decay_all}"), format!("training.groups=[{group}]")];
        let report = place.run(&["check", "recipe.yaml", "--json", "--set", &changes[0], "--set", &changes[1]]).json();
        let decays = report["groups"][0]["weight_decays"].as_array().unwrap();
        assert!(decays.iter().all(|decay| decay.as_f64().unwrap() as f32 == wanted), "{changes:?}: {decays:?}");
    }
    let stages = report["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 2, "{stages:?}");
    assert_eq!(stages[0]["layers"], serde_json::json!(["head"]));
    assert_eq!(stages[1]["frozen"], 0);
}

#[test]
fn what_is_wrong_with_groups_and_freezing_is_told_at_its_place() {
    let place = Workplace::new();
    for (change, wanted) in [
        (
            "training.groups=[{kind: norms, weight_decay: 0}]",
            "training.groups[0]: no parameter that is trained fits it",
        ),
        (
            "training.groups=[{match: hed, weight_decay: 0}]",
            "`hed` matches no layer that is trained; did you mean `head`?",
        ),
        ("training.groups=[{match: head}]", "training.groups[0]: it changes nothing"),
        ("training.groups=[{match: head, learning_rate: 0}]", "training.groups[0].learning_rate: wanted"),
        ("training.groups=[{weight_decay: 0}, {match: head, weight_decay: 1}]", "training.groups[1]: it does nothing"),
        ("training.unfreeze=[{at: {epoch: 9}, layers: {last: 1}}]", "the run is at its end by then: it has 3 epochs"),
        ("training.unfreeze=[{at: {epoch: 2}, layers: {}}]", "from epoch 1 on nothing would be trained"),
        ("training.freeze=[{at: {epoch: 2}, layers: {}}]", "from epoch 2 on nothing would be trained; freeze less"),
        ("training.unfreeze=[{at: {epoch: 0}, layers: {last: 1}}]", "training.unfreeze[0].at"),
        ("training.head_first={epochs: 3}", "training.head_first: the run is at its end by then"),
        ("training.unfreeze=[{at: {epoch: 2}}]", "missing key `layers`"),
    ] {
        place.run_with("check", &[change]).failed_with(&[wanted]);
    }
    let changes = ["model.train=head", "training.head_first={epochs: 1}"];
    place.run_with("check", &changes).failed_with(&["nothing but the head is trained"]);
    let changes = [
        "training.unfreeze=[{at: {epoch: 2}, layers: {match: conv}}]",
        "training.freeze=[{at: {epoch: 2}, layers: {kind: weights}}]",
    ];
    place.run_with("check", &changes).failed_with(&["is frozen and unfrozen at once: see training.unfreeze[0]"]);
    let changes = ["training.schedule=reduce_on_plateau", "data.evaluate=null"];
    place.run_with("check", &changes).failed_with(&["training.schedule: nothing tells whether the run gets better"]);
}

#[test]
fn a_moment_that_max_steps_comes_before_is_refused_and_not_passed_over() {
    let place = Workplace::new();
    // six steps an epoch
    for (change, place_of_it) in [
        ("training.head_first={epochs: 2}", "training.head_first: the run is at its end by then"),
        ("training.unfreeze=[{at: {step: 9}, layers: {last: 1}}]", "training.unfreeze[0].at: the run is at its end"),
        ("training.freeze=[{at: {epoch: 3}, layers: {last: 1}}]", "training.freeze[0].at: the run is at its end"),
    ] {
        place.run_with("check", &[change, "training.max_steps=8"]).failed_with(&[place_of_it, "it ends after 8 steps"]);
        place.run_with("check", &[change, "training.max_steps=13"]).done();
    }
    // an average of the ends of epochs: the only one is that of step 6
    let swa = |from: &str| format!("training.average={{swa: {{from: {from}}}}}");
    place
        .run_with("check", &[&swa("0.8"), "training.max_steps=8"])
        .failed_with(&["training.average.swa.from: it takes the weights at the ends of epochs"]);
    place.run_with("check", &[&swa("0.5"), "training.max_steps=8"]).done();
}

#[test]
fn the_head_is_trained_alone_first_and_a_run_is_resumed_to_the_bit() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // six steps an epoch
    let changes = [
        "training.head_first={epochs: 1}",
        "training.freeze=[{at: {step: 15}, layers: {kind: weights, match: conv*}}]",
        "training.groups=[{kind: weights, weight_decay: 0.1, learning_rate: x0.5}]",
        "training.schedule={reduce_on_plateau: {patience: 0, factor: 0.5, threshold: 0.9}}",
        "training.average=ema",
    ];
    let plan = compiled(&place, "whole", &changes);
    let is_head: Vec<bool> = plan.program().manifest.parameters.iter().map(|entry| entry.layer == "head").collect();
    let mut whole = started(&plan, StartMode::New);
    let (mut events, stop) = (Silent, Stop::default());
    whole.advance(Until::Step(6), &mut events, &stop).unwrap();
    let first = whole.parameters().unwrap();
    for (index, is_head) in is_head.iter().enumerate() {
        assert_eq!(first[index] != plan.program().parameters[index], *is_head, "parameter {index}");
    }
    let mut before = Vec::new();
    for until in [14, 18] {
        whole.advance(Until::Step(until), &mut events, &stop).unwrap();
        let now = whole.parameters().unwrap();
        if until == 18 {
            for (entry, (before, now)) in plan.program().manifest.parameters.iter().zip(std::iter::zip(&before, &now)) {
                let stays = entry.layer == "conv" && entry.shape.len() >= 2;
                assert_eq!(before == now, stays, "{}", entry.name);
            }
        }
        before = now;
    }
    whole.advance(Until::End, &mut events, &stop).unwrap();
    whole.finish(&mut events).unwrap();

    let cut = compiled(&place, "cut", &changes);
    for (until, start) in [(4, StartMode::New), (10, StartMode::Resume), (16, StartMode::Resume)] {
        let mut run = started(&cut, start);
        run.advance(Until::Step(until), &mut events, &stop).unwrap();
        run.finish(&mut events).unwrap();
    }
    let mut run = started(&cut, StartMode::Resume);
    run.advance(Until::End, &mut events, &stop).unwrap();
    run.finish(&mut events).unwrap();
    assert!(place.read("whole/model.onnx") == place.read("cut/model.onnx"), "other bits");
    let plateau = |folder: &str| {
        let metrics: Value = serde_json::from_slice(&place.read(&format!("{folder}/metrics.json"))).unwrap();
        metrics["history"]["plateau"].clone()
    };
    assert_eq!(plateau("whole"), plateau("cut"));
    assert!(plateau("whole")["factor"].as_f64().unwrap() < 1.0, "{}", plateau("whole"));
}

#[test]
fn a_learning_rate_is_looked_for_and_nothing_of_the_run_is_touched() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let said = place.run(&["lr-find", "recipe.yaml", "--from", "1e-5", "--to", "100"]).done();
    assert!(said.contains("suggestion: ") && said.contains("then the loss grew away"), "{said}");
    for line in said.lines().filter(|line| line.starts_with("  ")) {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
    let picture = String::from_utf8(place.read("lr-find.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("steepest"), "{picture}");
    assert!(!place.path("run").exists());
    let find = |extra: &[&str]| {
        let arguments = ["lr-find", "recipe.yaml", "--from", "1e-5", "--to", "100", "-n", "40", "--json"];
        place.run(&[&arguments[..], extra].concat()).json()
    };
    let report = find(&["-o", "rates.svg"]);
    let points = report["points"].as_array().unwrap();
    assert!(points.len() < 40 && report["ending"] == "diverged", "{report}");
    let suggested = report["suggestion"]["steepest"].as_f64().unwrap();
    assert!((1e-4..1.0).contains(&suggested), "{suggested}");
    assert!(!place.read("rates.svg").is_empty());
    // the same again, and of several batches to a step
    assert_eq!(find(&[])["points"], report["points"]);
    let gathered = find(&["--set", "training.accumulate=2", "--set", "training.head_first={epochs: 1}"]);
    assert_ne!(gathered["points"], report["points"]);
    assert!(gathered["notes"][0].as_str().unwrap().starts_with("all that is trained at some time"), "{gathered}");
    let wrong = place.run(&["lr-find", "recipe.yaml", "--from", "1", "--to", "0.1"]);
    wrong.failed_with(&["to is 0.1: wanted a learning rate above the first"]);
    assert_eq!(place.run(&["lr-find", "recipe.yaml", "-n", "3"]).code, Some(2));
}
