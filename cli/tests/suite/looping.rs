//! How a run goes on and ends: by steps and by time, measured within epochs and on several sets, tried out first.

use serde_json::{Value, json};

use crate::dataset;
use crate::onnx;
use crate::running::Running;
use crate::workplace::{Workplace, has_runtime};

fn metrics(place: &Workplace, folder: &str) -> Value {
    serde_json::from_slice(&place.read(&format!("{folder}/metrics.json"))).unwrap()
}

fn evaluated_at(metrics: &Value) -> Vec<u64> {
    let evaluations = metrics["history"]["evaluations"].as_array().unwrap();
    evaluations.iter().map(|record| record["step"].as_u64().unwrap()).collect()
}

#[test]
fn steps_and_time_end_a_run_with_its_model() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // six steps an epoch
    let said = place.run_with("check", &["training.max_steps=8", "evaluation.every={steps: 3}"]).done();
    assert!(said.contains("steps: 6 an epoch, 8 in all\nevaluations: 4, the one before the first step"), "{said}");
    let ran =
        place.run_with("train", &["training.max_steps=8", "evaluation.every={steps: 3}", "output.last_model=true"]);
    for part in ["step 3 (epoch 1/3): accuracy", "epoch 1/3: accuracy", "step 8 (epoch 2/3): accuracy"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(ran.done().contains("8 steps, "));
    assert_eq!(evaluated_at(&metrics(&place, "run")), [3, 6, 8]);
    let at = |model: &str| {
        let arguments = ["evaluate", "recipe.yaml", "--json", "--model", model];
        place.run(&arguments).json()["evaluation"]["loss"].as_f64().unwrap()
    };
    let history = &metrics(&place, "run")["history"];
    let last = history["evaluations"][2]["figures"]["loss"].as_f64().unwrap();
    assert!((at("run/last.onnx") - last).abs() < 1e-5);
    assert!((at("run/model.onnx") - history["best"]["loss"].as_f64().unwrap()).abs() < 1e-5);

    let short = ["training.epochs=100000", "training.max_time=1 s", "output.folder=short"];
    let said = place.run_with("train", &short);
    let note = "the time was up (`training.max_time`, 1 s) after step ";
    assert!(said.stderr.contains(note), "{}", said.stderr);
    said.done();
    assert!(place.path("short/model.onnx").exists());
    let then = metrics(&place, "short");
    assert_eq!(then["ending"], "finished");
    // with more time it goes on where it stands
    let steps = then["history"]["steps"].as_u64().unwrap();
    let taken = then["history"]["seconds"].as_f64().unwrap().ceil() as u64;
    let more = format!("training.max_time={} s", taken + 1);
    let mut longer = vec!["train", "recipe.yaml", "--resume", "--json"];
    longer
        .extend(["training.epochs=100000", &more, "output.folder=short"].iter().flat_map(|change| ["--set", *change]));
    let lines = place.run(&longer).done();
    assert!(lines.contains(&format!("\"step\":{},", steps + 1)), "{steps}");
    assert!(metrics(&place, "short")["history"]["steps"].as_u64().unwrap() > steps);
}

#[test]
fn before_an_average_begins_the_weights_are_evaluated_and_exported_and_no_zeros() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // of three epochs of six steps the last one is averaged
    let evaluated = "evaluation.every={steps: 3}";
    place.run_with("train", &["training.average=swa", evaluated]).done();
    place.run_with("train", &["output.folder=plain", evaluated]).done();
    let [averaged, plain] = ["run", "plain"].map(|folder| metrics(&place, folder));
    let before = |run: &Value| -> Vec<Value> {
        let all = run["history"]["evaluations"].as_array().unwrap().iter();
        all.filter(|point| point["step"].as_u64().unwrap() < 18).cloned().collect()
    };
    assert_eq!(before(&averaged).len(), 5, "{averaged}");
    assert_eq!(before(&averaged), before(&plain));
    let arguments = ["evaluate", "recipe.yaml", "--json", "--model", "run/model.onnx"];
    let loss = place.run(&arguments).json()["evaluation"]["loss"].as_f64().unwrap();
    let best = averaged["history"]["best"]["loss"].as_f64().unwrap();
    assert!((loss - best).abs() < 1e-5, "{loss}, the best state has {best}");
}

#[test]
fn a_dry_run_goes_through_everything_and_leaves_nothing_behind() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let temporary = tempfile::tempdir().unwrap();
    let tried = |changes: &[&str]| {
        let mut arguments = vec!["train", "recipe.yaml", "--dry-run"];
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        let mut command = place.command(&arguments);
        crate::workplace::Ran::of(command.env("TMPDIR", temporary.path()).output().unwrap())
    };
    // ONNX Runtime leaves a file of its own there
    let is_ours = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("millstream");
    let left = || std::fs::read_dir(temporary.path()).unwrap().filter(|entry| is_ours(entry.as_ref().unwrap())).count();
    let mut before: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let said = tried(&["training.accumulate=4", "data.damaged=quarantine", "training.average={best: 3}"]).done();
    assert!(said.starts_with("one batch went through everything: a step (loss "), "{said}");
    assert!(said.contains("8 rows evaluated, a model of ") && said.contains("nothing was left behind"), "{said}");
    // without an evaluation in front of it the step would be the first that is told
    let alone = tried(&["data.evaluate=null", "training.epochs=8"]);
    assert!(!alone.stderr.contains("steps, loss"), "{}", alone.stderr);
    alone.done();
    // what is frozen when, and averaged from when on, is counted by the length of the whole run
    tried(&["training.epochs=3", "model.train=all", "training.head_first={epochs: 2}"]).done();
    let moments = ["training.head_first={epochs: 1}", "training.average={swa: {from: 0.5}}"];
    tried(&[&moments[..], &["training.max_steps=8"]].concat()).done();
    tried(&[&moments[..], &["training.max_steps=6"]].concat()).failed_with(&["the run is at its end by then"]);
    // what does not work is told as of a run
    tried(&["model.train={match: [nothing*]}"]).failed_with(&["nothing*"]);
    let mut after: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().path()).collect();
    before.sort();
    after.sort();
    assert_eq!((after, left()), (before, 0));
    place
        .run(&["train", "recipe.yaml", "--dry-run", "--output", "train-0.parquet"])
        .failed_with(&["cannot be written"]);
}

#[test]
fn other_sets_are_measured_beside_and_one_of_them_may_decide() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    dataset::write(&place.path("more.parquet"), &dataset::rows(300, 30));
    let sets = "evaluation.sets={more: more.parquet, twice: [more.parquet, test.parquet]}";
    let said = place.run_with("check", &[sets]).done();
    assert!(said.contains("evaluation set `more`: 30 rows\nevaluation set `twice`: 48 rows"), "{said}");
    let ran = place.run_with("train", &[sets, "evaluation.best_on=more"]);
    assert!(
        ran.stderr.contains("\n  on evaluate: accuracy ") && ran.stderr.contains("\n  on twice: "),
        "{}",
        ran.stderr
    );
    let said = ran.done();
    assert!(said.contains("of 30 rows") && said.contains("on `evaluate`: accuracy "), "{said}");
    let record = metrics(&place, "run");
    assert_eq!(record["evaluation"]["rows"], 30);
    let others = record["other_evaluations"].as_array().unwrap();
    let rows: Vec<_> = others.iter().map(|set| (set["name"].as_str().unwrap(), &set["evaluation"]["rows"])).collect();
    assert_eq!(rows, [("evaluate", &json!(18)), ("twice", &json!(48))]);
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(page.contains("accuracy on twice"), "the report tells of all sets");
    // what the exported model has on them by itself
    let alone = place.run(&["evaluate", "recipe.yaml", "--json", "--data", "test.parquet"]).json();
    let difference = alone["evaluation"]["loss"].as_f64().unwrap() - others[0]["evaluation"]["loss"].as_f64().unwrap();
    assert!(difference.abs() < 1e-5, "{difference}");
    // resumed as it is; refused with another set
    place.run(&["train", "recipe.yaml", "--resume", "--set", sets, "--set", "evaluation.best_on=more"]).done();
    dataset::write(&place.path("more.parquet"), &dataset::rows(400, 29));
    place.run(&["train", "recipe.yaml", "--resume", "--set", sets, "--set", "evaluation.best_on=more"]).failed_with(&[
        "cannot resume",
        "`evaluation.sets.more`",
        "then 1 file of 30 rows",
        "now 1 file of 29 rows",
    ]);
    for (changes, wanted) in [
        (vec!["evaluation.best_on=more"], "evaluation.best_on: wanted the name of one of `evaluation.sets`"),
        (vec![sets, "data.evaluate=null"], "evaluation.sets"),
        (vec!["evaluation.sets={evaluate: more.parquet}"], "choose another"),
        (vec!["evaluation.sets={own: train-0.parquet}"], "evaluation.sets.own"),
        (vec!["training.average={last: 3}", "data.evaluate=null"], "it takes states that were evaluated"),
        (vec!["evaluation.every=200"], "{steps: 200}"),
        (vec!["training.max_time=30"], "30 min"),
    ] {
        let changes = [&["output.folder=other"][..], &changes].concat();
        place.run_with("train", &changes).failed_with(&[wanted]);
    }
}

#[test]
fn some_of_the_rows_are_evaluated_and_they_are_drawn_from_all() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // sorted by class: the first rows would be of one
    let mut rows = dataset::rows(100, 60);
    rows.sort_by_key(|row| row.label);
    dataset::write(&place.path("sorted.parquet"), &rows);
    let changes =
        ["data.evaluate=sorted.parquet", "evaluation.rows=20", "training.metrics=[accuracy, confusion_matrix]"];
    place.run_with("train", &changes).done();
    let record = metrics(&place, "run");
    // whole batches of 8
    assert_eq!(record["evaluation"]["rows"], 24);
    let of_classes = record["evaluation"]["confusion_matrix"].as_array().unwrap();
    let seen = of_classes.iter().filter(|row| row.as_array().unwrap().iter().any(|count| *count != 0)).count();
    assert_eq!(seen, 3, "{of_classes:?}");
    let notes = record["notes"].to_string();
    assert!(notes.contains("evaluated on 24 of 60 rows, the same each time (`evaluation.rows`)"), "{notes}");
}

#[test]
fn the_mean_of_several_states_is_exported_as_it_was_measured_and_after_a_kill() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (folder, average) in [("last", "training.average={last: 3}"), ("best", "training.average={best: 2}")] {
        let changes = [average, "training.epochs=8", "evaluation.every={steps: 4}"];
        let whole = format!("output.folder={folder}-whole");
        let said = place.run_with("train", &[&changes[..], &[&*whole]].concat()).done();
        assert!(said.contains("(the mean of "), "{said}");
        let record = metrics(&place, &format!("{folder}-whole"));
        let model = format!("{folder}-whole/model.onnx");
        let alone = place.run(&["evaluate", "recipe.yaml", "--json", "--model", &model]).json();
        let loss = |report: &Value| report["evaluation"]["loss"].as_f64().unwrap();
        assert!((loss(&alone) - loss(&record)).abs() < 1e-5, "{}, {}", loss(&alone), loss(&record));
        let note = "exported is the mean of the states after steps ";
        assert!(record["notes"].to_string().contains(note), "{}", record["notes"]);

        let killed = format!("output.folder={folder}-killed");
        let mut arguments = vec!["train", "recipe.yaml", "--json"];
        arguments.extend(changes.iter().chain([&&*killed]).flat_map(|change| ["--set", *change]));
        let mut running = Running::start(&place, &arguments);
        running.until_saved(28);
        running.killed();
        arguments.retain(|argument| *argument != "--json");
        arguments.push("--resume");
        place.run(&arguments).done();
        assert!(place.read(&format!("{folder}-killed/model.onnx")) == place.read(&model), "the models differ");
    }
}

#[test]
fn an_update_that_is_no_numbers_ends_a_run_or_is_left_out_and_counted() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // pixels of 255 leave the range of floats behind `Exp` where they are spread so far
    std::fs::write(place.path("model.onnx"), onnx::network("Exp")).unwrap();
    let spread =
        "transforms.train=[{resize: {size: 16}}, {normalize: {mean: [0, 0, 0], std: [0.000001, 0.000001, 0.000001]}}]";
    let changes = [spread, "training.epochs=1"];
    place.run_with("train", &changes).failed_with(&["at step 1", "8 rows (train-"]);
    let skip = [&changes[..], &["training.non_finite={skip: {most_in_a_row: 2}}"]].concat();
    let ran = place.run_with("train", &skip);
    let wanted = "the update of step 1 was no numbers and is left out, 8 rows (train-";
    assert!(ran.stderr.contains(wanted) && ran.stderr.contains("(2 in a row, 2 in the run)"), "{}", ran.stderr);
    ran.failed_with(&["3 updates one after the other were no numbers, and `training.non_finite` leaves out 2 at most"]);
}
