//! `output.logs`: what stands in the logs of runs that were killed, resumed, replaced; and what other programs read in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::dataset;
use crate::running::Running;
use crate::workplace::{Workplace, has_runtime, text};

/// An interpreter of Python that has `tensorboard` and `mlflow-skinny`.
const READERS: &str = "MILLSTREAM_LOG_READERS";
const ALL: &str = "output.logs=[tensorboard, csv, jsonl, {mlflow: {experiment: flowers}}]";
/// 6 steps an epoch.
const EPOCHS: &str = "training.epochs=40";
const STEPS: u64 = 240;

/// Kills a run when it says that a checkpoint is saved, and resumes it.
fn killed_and_resumed(place: &Workplace, changes: &[&str]) {
    let arguments = |flag: &'static str| {
        let mut arguments = vec!["train", "recipe.yaml", flag];
        arguments
            .extend(changes.iter().flat_map(|change| ["--set", *change]).map(|text| text.to_owned().leak() as &str));
        arguments
    };
    let mut running = Running::start(place, &arguments("--json"));
    running.until_saved(28);
    running.killed();
    let resumed = place.run(&arguments("--resume"));
    assert!(!resumed.stderr.contains("what lies between"), "{}", resumed.stderr);
    resumed.done();
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}

fn column(table: &[String], name: &str) -> Vec<String> {
    let at = table[0].split(',').position(|column| column == name).unwrap();
    table[1..].iter().map(|line| line.split(',').nth(at).unwrap().to_owned()).collect()
}

/// The folder of the one run in a store of MLflow's.
fn run_of(store: &Path) -> PathBuf {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let runs: Vec<PathBuf> = folders(store).iter().flat_map(|experiment| folders(experiment)).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

#[test]
fn after_a_kill_and_a_resume_no_step_is_missing_or_double_in_any_log() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    killed_and_resumed(&place, &[ALL, EPOCHS]);
    let whole = [ALL, EPOCHS, "output.folder=whole"];
    place.run_with("train", &whole).done();
    let (resumed, whole) = (place.path("run/logs"), place.path("whole/logs"));
    let numbers: Vec<String> = (1..=STEPS).map(|step| step.to_string()).collect();
    let same = |file: &str, columns: &[&str]| {
        let tables = [lines(&resumed.join(file)), lines(&whole.join(file))];
        for name in columns {
            assert_eq!(column(&tables[0], name), column(&tables[1], name), "{name} of {file}");
        }
        tables[0].clone()
    };
    let steps = same("steps.csv", &["step", "epoch", "loss", "mean_loss", "learning_rate", "rows", "gradient_norm"]);
    assert_eq!(column(&steps, "step"), numbers);
    let evaluations = same("evaluations.csv", &["step", "epoch", "loss", "accuracy", "best", "better_than_start"]);
    assert_eq!(evaluations.len(), 1 + 1 + 40);
    let events: Vec<Value> =
        lines(&resumed.join("events.jsonl")).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    events.iter().for_each(|event| *counts.entry(event["event"].as_str().unwrap()).or_default() += 1);
    let wanted =
        [("ended", 1), ("epoch_ended", 40), ("evaluated", 40), ("resumed", 1), ("start_evaluated", 1), ("started", 1)];
    assert!(wanted.iter().all(|(name, count)| counts[name] == *count) && counts["step"] == STEPS, "{counts:?}");
    assert_eq!(events[0]["hyperparameters"]["training.optimizer.adamw.learning_rate"], 0.01);
    let run = run_of(&resumed.join("mlruns"));
    let of_metric = |name: &str, field: usize| -> Vec<String> {
        let lines = lines(&run.join("metrics").join(name));
        lines.iter().map(|line| line.split(' ').nth(field).unwrap().to_owned()).collect()
    };
    assert_eq!(of_metric("train/loss", 2), numbers);
    assert_eq!(of_metric("train/loss", 1), column(&steps, "loss"));
    assert_eq!(of_metric("evaluation/accuracy", 1), column(&evaluations, "accuracy"));
    assert!(std::fs::read_to_string(run.join("meta.yaml")).unwrap().contains("status: 3"));
    for artifact in ["recipe.yaml", "metrics.json", "report.html", "labels.txt"] {
        assert!(run.join("artifacts").join(artifact).is_file(), "{artifact}");
    }
}

#[test]
fn logs_of_an_earlier_run_are_replaced_with_it_and_those_of_nobody_are_not() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let train = |flag: &str, changes: &[&str]| {
        let mut arguments = vec!["train", "recipe.yaml", flag];
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        place.run(&arguments)
    };
    std::fs::create_dir_all(place.path("run/logs")).unwrap();
    place.write("run/logs/steps.csv", "mine");
    for flag in ["--json", "--overwrite"] {
        train(flag, &[ALL]).failed_with(&["steps.csv: it has the name of a result"]);
    }
    assert_eq!(place.read("run/logs/steps.csv"), b"mine");
    std::fs::remove_file(place.path("run/logs/steps.csv")).unwrap();
    place.write("run/logs/other.txt", "mine");
    let store = format!("output.logs=[csv, tensorboard, {{mlflow: {{folder: {}}}}}]", text(&place.path("all/mlruns")));
    train("--json", &[&store]).done();
    assert!(place.path("run/logs/tensorboard").is_dir() && !place.path("run/logs/mlruns").exists());
    assert_eq!(lines(&place.path("run/logs/steps.csv")).len(), 1 + 18);
    let first = run_of(&place.path("all/mlruns"));
    train("--overwrite", &["training.epochs=1", "output.logs=[{csv: {every_steps: 2}}]"]).done();
    assert_eq!(column(&lines(&place.path("run/logs/steps.csv")), "step"), ["2", "4", "6"]);
    assert!(!place.path("run/logs/tensorboard").exists() && !place.path("run/logs/mlflow.json").exists());
    // What was written elsewhere stays: it is what several runs are compared by.
    assert_eq!(run_of(&place.path("all/mlruns")), first);
    assert_eq!(place.read("run/logs/other.txt"), b"mine");
    // A log that is added to a run that goes on says what it lacks.
    let added = train("--resume", &["training.epochs=1", "output.logs=[csv, jsonl]"]);
    assert!(added.stderr.contains("events.jsonl: the log ends at step 0"), "{}", added.stderr);
    added.done();
}

#[test]
fn logs_are_checked_before_anything_is_written() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let checked = place.run_with("check", &[ALL]).done();
    assert!(checked.contains("logs: tensorboard, csv, jsonl, mlflow"), "{checked}");
    place.run_with("train", &["training.epochs=1"]).done();
    let model = place.read("run/model.onnx");
    place.write("file", "");
    let elsewhere = "output.logs=[{mlflow: {folder: file/mlruns}}]";
    let checked = place.run_with("check", &[elsewhere]);
    assert!(checked.code == Some(1) && checked.stdout.contains("file/mlruns"), "{}", checked.stdout);
    let arguments = ["train", "recipe.yaml", "--overwrite", "--set", elsewhere];
    place.run(&arguments).failed_with(&["file/mlruns"]);
    assert!(place.read("run/model.onnx") == model);
    for (change, wanted) in [
        ("output.logs=[tensorbord]", "did you mean `tensorboard`?"),
        ("output.logs=[csv, csv]", "`csv` is named twice"),
        ("output.logs=[{csv: {every_steps: 0}}]", "output.logs[0].csv.every_steps"),
        ("output.logs=[{mlflow: {experimnt: a}}]", "did you mean `experiment`?"),
        ("output.tensorboard=true", "logs: [tensorboard]"),
    ] {
        place.run_with("check", &[change]).failed_with(&[wanted]);
    }
}

#[test]
fn a_run_that_fails_before_its_first_step_does_not_stay_under_way_in_mlflow() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut rows = dataset::rows(0, 24);
    rows[2].image = Some(b"no image".to_vec());
    dataset::write(&place.path("train-0.parquet"), &rows);
    let store = format!("output.logs=[{{mlflow: {{folder: {}}}}}]", text(&place.path("all/mlruns")));
    place.run_with("train", &[&store, "data.batch=48"]).failed_with(&["train-0.parquet"]);
    assert!(!place.path("run/recipe.yaml").exists());
    let meta = std::fs::read_to_string(run_of(&place.path("all/mlruns")).join("meta.yaml")).unwrap();
    assert!(meta.contains("status: 4"), "{meta}");
}

#[test]
fn tensorboard_and_mlflow_read_what_was_logged() {
    let Some(python) = std::env::var_os(READERS) else {
        println!("left out, {READERS} is not set");
        return;
    };
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    killed_and_resumed(&place, &[ALL, EPOCHS]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/read_logs.py");
    let read = |folder: &str, more: &[&str]| {
        let read =
            Command::new(&python).arg(&script).arg(place.path(folder)).args(more).output().expect("Python starts");
        let said = String::from_utf8_lossy(&read.stdout).into_owned() + &String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{folder}: {said}");
        said
    };
    let of_this_run = "--setting training.optimizer.adamw.learning_rate=0.01 --epochs 40 --all-steps --write";
    let of_this_run: Vec<&str> = of_this_run.split(' ').chain(["--ended", "finished after"]).collect();
    let said = read("run/logs", &of_this_run);
    assert!(said.contains(&format!("{STEPS} steps, 41 evaluations")), "{said}");
    assert!(said.contains("series in TensorBoard") && said.contains("series in MLflow"), "{said}");
    // any other run: another rate, logs of other steps, a store elsewhere, no evaluation, no tables
    let store = text(&place.path("all/mlruns")).to_owned();
    let some = format!(
        "output.logs=[tensorboard, {{csv: {{every_steps: 4}}}}, {{mlflow: {{folder: {store}, every_steps: 3}}}}]"
    );
    let others = ["output.folder=some", "training.optimizer={sgd: {learning_rate: 0.1}}", "training.epochs=2"];
    place.run_with("train", &[&others[..], &[some.as_str(), "data.evaluate=null"]].concat()).done();
    let said = read("some/logs", &[]);
    assert!(said.contains("3 steps, 0 evaluations") && said.contains("series in MLflow"), "{said}");
    place.run_with("train", &["output.folder=one", "training.epochs=1", "output.logs=[tensorboard]"]).done();
    let said = read("one/logs", &[]);
    assert!(said.contains("series in TensorBoard") && !said.contains("MLflow"), "{said}");
}
