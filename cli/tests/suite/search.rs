//! Searches: a study of two methods and three rates, killed and gone on with, by several processes, exported.

use std::process::Command;

use serde_json::Value;

use crate::running::Running;
use crate::workplace::{Ran, Workplace, forget_wishes_about_colour, has_runtime, text};

/// Two methods, each with three rates.
pub(crate) const OPEN: [&str; 7] = [
    "training.optimizer={choose: [{adamw: {learning_rate: {choose: [0.001, 0.003, 0.01]}}}, {sgd: {learning_rate: {choose: [0.01, 0.03, 0.1]}}}]}",
    "search={objective: accuracy, proposer: grid, trials: 6, retries: 100}",
    "transforms.train=[{resize: {size: 16}}]",
    "output.folder=study",
    "output.checkpoint.every_steps=2",
    "training.epochs=3",
    "seed=1",
];

pub(crate) fn arguments<'a>(command: &'a str, changes: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["search", command, "recipe.yaml"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    arguments
}

pub(crate) fn status(place: &Workplace, folder: &str) -> Value {
    place.run(&["search", "status", folder, "--json"]).json()
}

/// What is the same however a study was disturbed.
pub(crate) fn outcome(status: &Value) -> Vec<Value> {
    let trials = status["trials"].as_array().unwrap().iter();
    trials
        .map(|trial| serde_json::json!([trial["state"], trial["values"], trial["settings"], trial["reports"]]))
        .collect()
}

#[test]
fn a_study_of_two_methods_and_three_rates_is_done_shown_exported_and_its_best_recipe_trained() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let said = place.run(&arguments("run", &OPEN)).done();
    for part in ["6 of 6 trials finished (6 complete)", "best: trial", "optimizer", "page: ", "opened 1 time"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // Of one method, three rates share a training step.
    assert!(said.contains("training steps compiled 1 time"), "{said}");
    let study = status(&place, "study");
    assert_eq!(study["trials"].as_array().unwrap().len(), 6);
    let page = String::from_utf8(place.read("study/search.html")).unwrap();
    assert!(page.contains("<title>trial 5: accuracy") && page.contains("Parallel coordinates"), "{page}");
    // A trial is an ordinary run.
    let best = study["best"].as_u64().unwrap();
    let trial = format!("study/trials/{best:04}");
    place.run(&["evaluate", &format!("{trial}/recipe.yaml")]).done();
    place.run(&["document", &trial]).done();
    // The winner's recipe leaves nothing open, and gives the same model.
    place.run(&["search", "best", "study"]).done();
    place.run(&["train", "study/best.yaml", "--quiet"]).done();
    assert!(place.read("study/best/model.onnx") == place.read(&format!("{trial}/model.onnx")), "the models differ");
    let refit = place.run(&["search", "best", "study", "--refit"]).done();
    assert!(refit.contains("66 rows of 3 files") && place.path("study/refit/model.onnx").exists(), "{refit}");
    // Of its runs the best trial, and what was trained of its recipe, came from the study; a folder with a journal alone is none.
    std::fs::create_dir(place.path("foreign")).unwrap();
    place.write("foreign/journal.jsonl", "{}");
    let found = place.run(&["runs", ".", "--json"]).json();
    let name = |run: &Value| found["runs"][run.as_u64().unwrap() as usize]["name"].as_str().unwrap().to_owned();
    let of_study = found["lineage"].as_array().unwrap().iter().filter(|descent| descent["through"] == "study");
    let mut of_study: Vec<_> = of_study.map(|one| (name(&one["from"]["run"]), name(&one["to"]))).collect();
    of_study.sort();
    let wanted = ["study/best", "study/refit", trial.as_str()].map(|to| ("study".to_owned(), to.to_owned()));
    assert_eq!(of_study, wanted, "{found}");
    assert!(!found.to_string().contains("foreign"), "{found}");
    place.run(&["search", "export", "study", "--csv", "trials.csv", "--optuna", "trials.log"]).done();
    let csv = String::from_utf8(place.read("trials.csv")).unwrap();
    assert_eq!(csv.lines().count(), 7, "{csv}");
    assert!(csv.lines().next().unwrap().contains("accuracy,training.optimizer,"), "{csv}");
    // More trials than there are combinations there are not.
    let again = place.run(&["search", "resume", "study", "--trials", "9"]).done();
    assert!(again.contains("6 of 6 trials finished"), "{again}");
    place.run(&arguments("run", &OPEN)).failed_with(&["holds a study already", "millstream search resume"]);
}

/// Needs a Python with Optuna: `MILLSTREAM_OPTUNA_PYTHON=…/bin/python cargo nextest run -p millstream-cli optuna`.
#[test]
fn optuna_opens_an_exported_study() {
    const OPTUNA: &str = "MILLSTREAM_OPTUNA_PYTHON";
    let Some(python) = std::env::var_os(OPTUNA).filter(|_| has_runtime()) else {
        println!("left out, {OPTUNA} (a Python with optuna) is not set");
        return;
    };
    let place = Workplace::new();
    place.run(&arguments("run", &OPEN)).done();
    place.run(&["search", "export", "study", "--optuna", "trials.log"]).done();
    let program = "
import sys, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
study = optuna.load_study(study_name='study', storage=JournalStorage(JournalFileBackend(sys.argv[1])))
print(len(study.trials), study.best_trial.number, study.best_value, study.direction.name)
";
    let output = Command::new(python).args(["-c", program, text(&place.path("trials.log"))]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let study = status(&place, "study");
    let best = study["best"].as_u64().unwrap() as usize;
    let value = study["trials"][best]["values"][0].as_f64().unwrap();
    assert_eq!(said.trim(), format!("6 {best} {value} MAXIMIZE"));
}

#[test]
fn a_trial_that_was_killed_too_often_is_told_and_can_be_queued_again() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut changes = OPEN;
    changes[1] = "search={objective: accuracy, proposer: grid, trials: 2, retries: 0}";
    // so many steps that it is killed in its first trial however late
    changes[5] = "training.epochs=20";
    let whole = [&changes[..], &["output.folder=whole"]].concat();
    place.run(&arguments("run", &whole)).done();
    let mut first = arguments("run", &changes);
    first.push("--json");
    let mut running = Running::start(&place, &first);
    running.until("\"step\":3,");
    running.killed();
    place.run(&["search", "resume", "study"]).done();
    let known = status(&place, "study");
    assert_eq!((&known["trials"][0]["state"], &known["trials"][0]["is_given_up"]), (&"failed".into(), &true.into()));
    let told = place.run(&["search", "status", "study"]).done();
    let page = String::from_utf8(place.read("study/search.html")).unwrap();
    for said in [&told, &page] {
        assert!(said.contains("trial 0 was given up") && said.contains("millstream search retry"), "{said}");
    }
    let listed = place.run(&["runs", "study"]).done();
    assert!(listed.contains("given up") && !listed.contains("under way"), "{listed}");
    place.run(&["search", "retry", "study", "1"]).failed_with(&["trial 1: it has not failed"]);
    let said = place.run(&["search", "retry", "study"]).done();
    assert!(said.contains("trial 0 is queued; to go on:  millstream search resume "), "{said}");
    assert!(said.trim_end().ends_with("study"), "{said}");
    place.run(&["search", "resume", "study"]).done();
    // It went on from its checkpoint, to the same bits.
    assert_eq!(outcome(&status(&place, "study")), outcome(&status(&place, "whole")));
    let again = place.run(&["search", "retry", "study"]).done();
    assert!(again.contains("no trial has failed"), "{again}");
}

/// Reads events until one holds this text, and signals the process, which may have ended by itself.
fn kill_at(mut running: Running, at: &str, signal: &str) {
    running.reaches(|line| line.contains(at));
    running.signal(signal);
    running.ended();
}

#[test]
fn a_study_that_is_killed_again_and_again_loses_no_finished_trial_and_ends_as_if_nothing_had_been() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let whole: Vec<&str> = OPEN
        .iter()
        .map(|change| if *change == "output.folder=study" { "output.folder=whole" } else { *change })
        .collect();
    place.run(&arguments("run", &whole)).done();
    let undisturbed = status(&place, "whole");

    let mut first = arguments("run", &OPEN);
    first.push("--json");
    let resume = ["search", "resume", "study", "--json"];
    let mut finished = 0;
    // At a step, while a checkpoint is written, after a report, at the end of a trial, and twice by a signal that saves.
    for (round, (at, signal)) in [
        ("\"step\":3,", "KILL"),
        ("\"saved\"", "KILL"),
        ("\"reported\"", "KILL"),
        ("\"step\":5,", "TERM"),
        ("\"trial_ended\"", "KILL"),
        ("\"trial\":3,\"of\":{\"event\":\"step\"", "KILL"),
        ("\"step\":7,", "INT"),
    ]
    .into_iter()
    .enumerate()
    {
        kill_at(Running::start(&place, if round == 0 { &first } else { &resume }), at, signal);
        let now = status(&place, "study");
        let done = now["trials"].as_array().unwrap().iter().filter(|trial| trial["state"] == "complete").count();
        assert!(done >= finished, "round {round}: {done} of {finished} finished trials are left");
        finished = done;
    }
    place.run(&["search", "resume", "study"]).done();
    let study = status(&place, "study");
    assert_eq!(outcome(&study), outcome(&undisturbed));
    for trial in 0..6 {
        let model = |folder: &str| place.read(&format!("{folder}/trials/{trial:04}/model.onnx"));
        assert!(model("study") == model("whole"), "the models of trial {trial} differ");
    }
}

#[test]
fn two_processes_share_a_study_and_each_trial_is_done_once() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // The first begins it, and both work on it.
    let mut first = arguments("run", &OPEN);
    first.push("--json");
    let mut first = Running::start(&place, &first);
    first.until("trial_began");
    // The first waits meanwhile for who reads its events, so that there is work left.
    let mut other = Running::start(&place, &["search", "worker", "study", "--json"]);
    other.until("trial_began");
    let [own, others] = Running::all_ended([first, other]).map(Ran::done);
    let began = |text: &str| text.matches("\"trial_ended\"").count();
    assert_eq!(began(&own) + began(&others), 6, "{own}\n{others}");
    assert!(began(&others) > 0, "{others}");
    let study = status(&place, "study");
    assert!(study["trials"].as_array().unwrap().iter().all(|trial| trial["state"] == "complete"), "{study}");
    // What came of a trial does not depend on who did it.
    let alone = [&OPEN[..], &["output.folder=alone"]].concat();
    place.run(&arguments("run", &alone)).done();
    assert_eq!(outcome(&study), outcome(&status(&place, "alone")));
    place.run(&["document", "study"]).done();
    let card = String::from_utf8(place.read("study/documents/README.md")).unwrap();
    assert!(card.contains("2 processes worked on it, some of them at the same time."), "{card}");
}

/// Where this binary and stand-ins are found by their names.
pub(crate) fn search_path(place: &Workplace) -> String {
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_millstream")).parent().unwrap();
    format!("{}:{}:{}", text(&place.path("bin")), text(own), std::env::var("PATH").unwrap())
}

/// A script of `examples/search`, which finds this binary and `ray` by their names.
pub(crate) fn script(place: &Workplace, name: &str, arguments: &[&str]) -> Command {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/search").join(name);
    let mut command = Command::new("bash");
    command.arg(script).args(arguments).env("PATH", search_path(place)).current_dir(place.path(""));
    forget_wishes_about_colour(&mut command);
    command
}

#[test]
fn the_scripts_for_slurm_and_ray_start_workers_that_share_a_study_though_one_is_killed() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    std::fs::create_dir(place.path("bin")).unwrap();
    // stands in for Ray: a job is what follows `--`
    place.write(
        "bin/ray",
        "#!/bin/bash\nwhile [ \"$1\" != -- ]; do shift; done\nshift\n\"$@\" > \"job-$$.log\" 2>&1 &\n",
    );
    assert!(Command::new("chmod").args(["+x", text(&place.path("bin/ray"))]).status().unwrap().success());
    let (slurm, ray) = ([&OPEN[..], &["output.folder=slurm"]].concat(), [&OPEN[..], &["output.folder=ray"]].concat());
    place.run(&[&arguments("run", &slurm)[..], &["--trials", "1"]].concat()).done();
    let start = |number: &str| {
        let mut command = script(&place, "slurm.sh", &["slurm", "--json"]);
        command.env("SLURM_ARRAY_TASK_ID", number);
        Running::of(command)
    };
    let killed = start("1");
    let others = [start("2"), start("3")];
    let others = std::thread::spawn(move || Running::all_ended(others));
    kill_at(killed, "\"event\":\"step\"", "KILL");
    others.join().unwrap().into_iter().for_each(|other| drop(other.done()));
    place.run(&[&arguments("run", &ray)[..], &["--trials", "1"]].concat()).done();
    assert!(script(&place, "ray.sh", &["2", "ray"]).status().unwrap().success());
    let is_done = || {
        let study = status(&place, "ray");
        let trials = study["trials"].as_array().unwrap();
        trials.len() == 6 && trials.iter().all(|trial| trial["state"] == "complete")
    };
    let began = std::time::Instant::now();
    while !is_done() && began.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    place.run(&arguments("run", &OPEN)).done();
    let alone = outcome(&status(&place, "study"));
    for folder in ["slurm", "ray"] {
        assert_eq!(outcome(&status(&place, folder)), alone, "{folder}");
    }
}

#[test]
fn rules_end_trials_and_pause_them_and_promote_those_that_turn_out_well() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let rates = "training.optimizer={sgd: {learning_rate: {log_uniform: [1.0e-6, 0.1]}}}";
    let stopped = [
        rates,
        "search={objective: loss, proposer: random, trials: 8, stopping: {median: {least_trials: 2}}}",
        "training.epochs=4",
        "output.folder=median",
    ];
    place.run(&arguments("run", &stopped)).done();
    let states = |study: &Value, state: &str| {
        study["trials"].as_array().unwrap().iter().filter(|trial| trial["state"] == state).count()
    };
    let study = status(&place, "median");
    assert!(states(&study, "stopped") > 0 && states(&study, "complete") > 0, "{study}");
    let paused = [
        rates,
        "search={objective: loss, proposer: random, trials: 8, stopping: {asha: {reduction_factor: 2, max_steps: 4}}}",
        "training.epochs=4",
        "output.folder=asha",
    ];
    let said = place.run(&[&arguments("run", &paused)[..], &["--json"]].concat()).done();
    let study = status(&place, "asha");
    assert!(states(&study, "paused") > 0 && states(&study, "complete") > 0, "{study}");
    let told = place.run(&["search", "status", "asha"]).done();
    assert!(told.contains("done; ") && told.contains("set aside"), "{told}");
    let listed = place.run(&["runs", "asha"]).done();
    assert!(!listed.contains("under way") && !listed.contains("interrupted"), "{listed}");
    // One that was set aside was taken up again, where it stood.
    assert!(said.contains("\"event\":\"trial_paused\"") && said.contains("\"resumed\":true"), "{said}");
}

#[test]
fn rules_look_at_evaluations_within_epochs_and_trials_are_set_aside_and_taken_up_there() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // six steps an epoch, of which the fourth and the eighth end none
    let changes = [
        "training.optimizer={sgd: {learning_rate: {log_uniform: [1.0e-6, 0.1]}}}",
        "search={objective: loss, proposer: random, trials: 8, retries: 100, stopping: {asha: {reduction_factor: 2, max_steps: 4}}}",
        "evaluation.every={steps: 4}",
        "training.epochs=2",
    ];
    let in_folder = |folder: &'static str| arguments("run", &[&changes[..], &[folder]].concat());
    place.run(&in_folder("output.folder=whole")).done();
    let study = status(&place, "whole");
    let trials = study["trials"].as_array().unwrap();
    let told = |trial: &Value| -> Vec<u64> {
        trial["reports"].as_array().unwrap().iter().map(|report| report[0].as_u64().unwrap()).collect()
    };
    let of_state = |state: &str| trials.iter().filter(|trial| trial["state"] == state).map(told).collect::<Vec<_>>();
    let (complete, paused) = (of_state("complete"), of_state("paused"));
    assert!(!complete.is_empty() && complete.iter().all(|steps| *steps == [1, 2, 3]), "{study}");
    assert!(!paused.is_empty() && paused.iter().all(|steps| steps.len() < 3), "{study}");
    let page = String::from_utf8(place.read("whole/search.html")).unwrap();
    assert!(page.contains("On the way: loss by evaluation, of 4 steps each"), "{page}");
    // killed where a trial was set aside within an epoch
    let line = in_folder("output.folder=killed");
    kill_at(Running::start(&place, &[&line[..], &["--json"]].concat()), "\"trial_paused\"", "KILL");
    place.run(&["search", "resume", "killed"]).done();
    assert_eq!(outcome(&status(&place, "killed")), outcome(&study));
}

#[test]
fn a_study_has_documents_and_stands_among_runs_with_its_winner() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let team = [&OPEN[..], &["output.folder=team/flowers"]].concat();
    place.run(&arguments("run", &team)).done();
    place.run(&["search", "best", "team/flowers", "--refit"]).done();
    place.run(&["note", "team/flowers", "grid, since there are few combinations"]).done();
    let best = status(&place, "team/flowers")["best"].as_u64().unwrap();
    let said = place.run(&["document", "team/flowers"]).done();
    assert!(said.contains("search-card.html") && said.contains("not stated yet"), "{said}");
    let ledger: Value = serde_json::from_slice(&place.read("team/flowers/documents/ledger.json")).unwrap();
    assert_eq!(ledger["winner"]["trial"], best);
    assert_eq!(ledger["study"]["trials"].as_array().unwrap().len(), 6);
    assert_eq!(ledger["settings"]["proposer"]["grid"]["shuffle"], false);
    assert_eq!(ledger["selection"]["among"], 6);
    assert_eq!(ledger["machines"].as_array().unwrap().len(), 1);
    // nothing is kept yet that the best could be told apart by
    assert_eq!(ledger["told_apart"]["untested"].as_array().unwrap().len(), 5);
    assert!(
        ledger["study"]["trials"][0]["interval"][0].is_f64() && ledger["study"]["about"]["epochs"] == 3,
        "{ledger}"
    );
    assert_eq!(ledger["winner"]["ledger"]["study"]["role"], serde_json::json!({"trial": best}));
    assert!(ledger["winner"]["refit"].is_string() && ledger["changes"].as_array().unwrap().len() == 8, "{ledger}");
    let hash = ledger["winner"]["ledger"]["base"]["sha256"].as_str().unwrap();
    let card = String::from_utf8(place.read("team/flowers/documents/README.md")).unwrap();
    for part in [
        "pipeline_tag: image-classification",
        "- hyperparameter-search",
        "the complete trial with the largest accuracy",
        hash,
        "grid, since there are few",
        "## Trials",
        "| seconds of work | values |",
        "| main effect |",
        "Seconds of work are by the clock of the machine that ran the trial",
        "- **Task:** image-classification\n- **Classes:** 3: ",
        "the 18 rows of the split evaluate; the state that its run exports was chosen by them too\n",
        "*not stated*",
        "## What it is of",
        "- **Epochs:** 3",
        "is told by a test on the same rows: millstream compare",
    ] {
        assert!(card.contains(part), "wanted {part} in\n{card}");
    }
    let found = place.run(&["runs", "team", "--json"]).json();
    let runs = found["runs"].as_array().unwrap();
    let number = |name: &str| runs.iter().position(|run| run["name"] == name).unwrap_or_else(|| panic!("{found}"));
    let (study, winner) = (number("flowers"), number(&format!("flowers/trials/{best:04}")));
    assert_eq!((&runs[study]["kind"], runs.len()), (&"study".into(), 8));
    let lineage = found["lineage"].as_array().unwrap();
    for to in [winner, number("flowers/refit")] {
        let wanted = serde_json::json!({"from": {"run": study}, "to": to, "through": "study"});
        assert!(lineage.contains(&wanted), "{found}");
    }
    assert_eq!(lineage.iter().filter(|descent| descent["through"] == "study").count(), 2);
    let said = place.run(&["runs", "team"]).done();
    assert!(said.contains("(search)") && said.contains("grid, 6 of"), "{said}");
    // without a terminal what is told of a run is in one line, however long it is
    let told = said.lines().filter(|line| line.contains("flowers")).count();
    assert_eq!(told, 8, "{said}");
    for run in runs {
        let (name, how) = (run["name"].as_str().unwrap(), run["how"].as_str().unwrap());
        let how: String = how.chars().take(100).collect();
        let is_line = |line: &str| line.trim_start().starts_with(name) && line.contains(&how);
        assert!(said.lines().any(is_line), "{name}, {how}:\n{said}");
    }
    assert!(String::from_utf8(place.read("team/runs.html")).unwrap().contains("1 search"));
    let page = String::from_utf8(place.read("team/flowers/search.html")).unwrap();
    assert!(page.contains("<th>Base model</th>") && page.contains("millstream compare"), "{page}");
    let other = (best + 1) % 6;
    for trial in [best, other] {
        let run = format!("team/flowers/trials/{trial:04}");
        place
            .run(&["evaluate", &format!("{run}/recipe.yaml"), "--predictions", &format!("{run}/predictions.parquet")])
            .done();
    }
    place.run(&["document", "team/flowers"]).done();
    let ledger: Value = serde_json::from_slice(&place.read("team/flowers/documents/ledger.json")).unwrap();
    let tests = ledger["told_apart"]["tests"].as_array().unwrap();
    assert_eq!((tests.len(), &tests[0]["trial"], &tests[0]["rows"]), (1, &other.into(), &18.into()), "{ledger}");
    let documents = |run: &str| {
        let run = format!("team/flowers/{run}");
        place.run(&["document", &run]).done();
        let of = |name: &str| String::from_utf8(place.read(&format!("{run}/documents/{name}"))).unwrap();
        ["README.md", "ledger.json", "model.cdx.json"].map(of)
    };
    // that it was chosen among others by the rows that its figures are of
    let [card, ledger, bill] = documents(&format!("trials/{best:04}"));
    assert!(card.contains(&format!("trial {best} of the study flowers")), "{card}");
    for text in [&card, &bill] {
        assert!(
            text.contains("Chosen as the best of 6 trials of the search flowers by accuracy on the same rows, those of the split evaluate"),
            "{text}"
        );
    }
    let ledger: Value = serde_json::from_str(&ledger).unwrap();
    assert_eq!((&ledger["chosen"]["trial"], &ledger["chosen"]["among"]), (&best.into(), &6.into()));
    let [card, ..] = documents(&format!("trials/{:04}", (best + 1) % 6));
    assert!(!card.contains("Chosen as the best") && card.contains(&format!("the best is trial {best}")), "{card}");
    let [card, ledger, _] = documents("refit");
    assert!(card.contains(&format!("those of trial {best} of the search flowers, the best of 6 trials")), "{card}");
    assert!(serde_json::from_str::<Value>(&ledger).unwrap()["chosen"]["value"].is_f64(), "{ledger}");
}

#[test]
fn folds_and_seeds_make_several_runs_of_a_trial_and_their_mean_counts() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = [
        "training.optimizer={adamw: {learning_rate: {choose: [0.003, 0.01]}}}",
        "search={objective: [accuracy, seconds], proposer: grid, trials: 2, repeats: 2, folds: {count: 3, stratify: label}}",
        "training.epochs=2",
        "output.folder=study",
    ];
    let said = place.run(&arguments("run", &changes)).done();
    assert!(said.contains("2 of 2 trials finished (2 complete)"), "{said}");
    let rows: u64 = (1..=3)
        .map(|fold| {
            let folds = place.run(&["inspect", &format!("study/folds/fold-{fold}.parquet"), "--json"]).json();
            assert_eq!(folds["rows"], 16);
            folds["rows"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(rows, 48);
    let study = status(&place, "study");
    for (number, trial) in study["trials"].as_array().unwrap().iter().enumerate() {
        let figures: Vec<f64> = (1..=3)
            .flat_map(|fold| (1..=2).map(move |seed| format!("fold-{fold}-seed-{seed}")))
            .map(|run| {
                let path = format!("study/trials/{number:04}/{run}/metrics.json");
                let metrics: Value = serde_json::from_slice(&place.read(&path)).unwrap();
                metrics["evaluation"]["accuracy"].as_f64().unwrap()
            })
            .collect();
        let mean = figures.iter().sum::<f64>() / 6.0;
        assert!((trial["values"][0].as_f64().unwrap() - mean).abs() < 1e-12, "{trial}");
        match figures.iter().all(|figure| *figure == figures[0]) {
            true => assert!(trial["interval"].is_null(), "{trial}"),
            false => {
                let [low, high] = [0, 1].map(|at| trial["interval"][at].as_f64().unwrap());
                assert!(low <= mean && mean <= high, "{trial}");
            }
        }
        assert!(trial["values"][1].as_f64().unwrap() > 0.0);
    }
    // it is in the journal, so that looking at a study of many trials reads none of their runs
    let away = place.path("away");
    std::fs::rename(place.path("study/trials"), &away).unwrap();
    let alone = status(&place, "study");
    std::fs::rename(&away, place.path("study/trials")).unwrap();
    for (trial, known) in study["trials"].as_array().unwrap().iter().zip(alone["trials"].as_array().unwrap()) {
        assert_eq!(trial["interval"], known["interval"]);
    }
    // of a journal of an older build it is read from the runs
    let journal = String::from_utf8(place.read("study/journal.jsonl")).unwrap();
    assert!(journal.contains(",\"interval\":["), "{journal}");
    let without = |line: &str| match line.split_once(",\"interval\":[") {
        Some((before, behind)) => format!("{before}{}", behind.split_once(']').unwrap().1),
        None => line.to_owned(),
    };
    let older: Vec<String> = journal.lines().map(without).collect();
    place.write("study/journal.jsonl", &(older.join("\n") + "\n"));
    assert_eq!(status(&place, "study")["trials"], study["trials"]);
    place.run(&["document", "study"]).done();
    let card = String::from_utf8(place.read("study/documents/README.md")).unwrap();
    let best = study["best"].as_u64().unwrap() as usize;
    let mean = study["trials"][best]["values"][0].as_f64().unwrap();
    let said = format!("| accuracy | {:.1} % |", 100.0 * mean);
    let (_, of_mean) =
        card.split_once("The mean of its 6 runs, by which it was chosen").unwrap_or_else(|| panic!("{card}"));
    assert!(of_mean.contains(&said) && card.contains("parts of the training data, 16 rows in the first run"), "{card}");
}
