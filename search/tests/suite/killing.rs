//! Processes that are killed at any moment lose nothing that was told, and change nothing about what is proposed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use millstream_schemas::Choice;
use millstream_search::{
    Asked, Catalogs, Decision, Objective, Outcome, Random, SharedStudy, Sharing, Space, Study, StudySettings,
    TrialState,
};
use serde_json::json;

const JOURNAL: &str = "MILLSTREAM_SEARCH_TEST_JOURNAL";
const SILENCE: &str = "MILLSTREAM_SEARCH_TEST_SILENCE_MILLISECONDS";
/// So short that nobody waits for it, where one process works at a time.
const SHORT: u64 = 300;
/// So long that a process that lives is heard of, however busy the machine is.
const LONG: u64 = 10_000;
const TRIALS: u64 = 40;

fn settings() -> StudySettings {
    let recipe = json!({"x": {"uniform": [0, 1]}, "y": {"choose": ["a", {"b": {"integer": [1, 9]}}]}});
    let mut settings =
        StudySettings::new("killed", Space::extract(&recipe).unwrap().0, vec![Objective::minimize("loss")]);
    settings.stopping = vec![Choice::new("median", json!({"startup_trials": 4}))];
    settings.retries = u32::MAX;
    settings
}

fn open(path: &Path, silence: u64) -> SharedStudy {
    let sharing = Sharing { silence: Duration::from_millis(silence), most_trials: Some(TRIALS) };
    SharedStudy::open(path, settings(), &Catalogs::default(), sharing).unwrap()
}

/// One trial of five steps. What it reports depends on the settings alone, as that of a run that is exact.
fn work(trial: &millstream_search::AskedTrial, mut report: impl FnMut(u64, f64) -> Decision) -> Outcome {
    let loss = trial.assignment.get("x").unwrap() + 0.1 * trial.assignment.get("y.b").unwrap_or(0.0);
    for step in trial.reported.unwrap_or(0).max(1)..=5 {
        if report(step, loss + 1.0 / step as f64) == Decision::Stop {
            return Outcome::Stopped;
        }
    }
    Outcome::complete(loss)
}

/// What the processes do that are killed. By itself it is no test.
#[test]
fn child() {
    let Some(path) = std::env::var_os(JOURNAL).map(PathBuf::from) else { return };
    let mut study = open(&path, std::env::var(SILENCE).unwrap().parse().unwrap());
    loop {
        match study.ask().unwrap() {
            Asked::Done => return,
            Asked::Wait => std::thread::sleep(Duration::from_millis(20)),
            Asked::Trial(trial) => {
                let outcome = work(&trial, |step, value| {
                    std::thread::sleep(Duration::from_millis(4));
                    study.report(trial.number, step, value).unwrap()
                });
                study.tell(trial.number, outcome).unwrap();
            }
        }
    }
}

fn start(path: &Path, silence: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["killing::child", "--exact", "--nocapture"]).env(JOURNAL, path).env(SILENCE, silence.to_string());
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

fn undisturbed() -> Study {
    let mut study = Study::new(settings(), &Catalogs::default()).unwrap();
    for _ in 0..TRIALS {
        let Asked::Trial(trial) = study.ask().unwrap() else { panic!("there is always another") };
        let outcome = work(&trial, |step, value| study.report(trial.number, step, value).unwrap());
        study.tell(trial.number, outcome).unwrap();
    }
    study
}

#[test]
fn a_study_whose_processes_are_killed_is_the_same_as_one_that_was_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let mut random = Random::of(std::process::id().into(), 0, "killing");
    for _ in 0..12 {
        let length = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let before = length();
        let mut child = start(&path, SHORT);
        // However busy the machine is, it is killed at its work.
        while length() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(random.below(120) as u64));
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(SHORT + 20));
        // As if it had been killed while it wrote a line.
        if path.exists() && random.below(2) == 0 {
            let line = br#"{"event":"finished","trial":0,"state":"#;
            let torn = &line[..random.below(line.len())];
            std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();
        }
    }
    assert!(start(&path, SHORT).wait().unwrap().success());
    let study = SharedStudy::read(&path, &Catalogs::default()).unwrap();
    let wanted = undisturbed();
    assert_eq!(study.trials().len(), wanted.trials().len());
    for (got, wanted) in study.trials().iter().zip(wanted.trials()) {
        assert_eq!((got.number, &got.assignment, &got.note), (wanted.number, &wanted.assignment, &wanted.note));
        assert_eq!((got.state, &got.values, &got.reports), (wanted.state, &wanted.values, &wanted.reports));
    }
    assert!(study.trials().iter().any(|trial| trial.state == TrialState::Stopped));
    let journal = std::fs::read_to_string(&path).unwrap();
    assert!(journal.contains("{\"event\":\"lost\""), "no process was lost");
}

#[test]
fn several_processes_at_once_do_every_trial_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let mut children: Vec<Child> = (0..3).map(|_| start(&path, LONG)).collect();
    std::thread::sleep(Duration::from_millis(300));
    let _ = children[0].kill();
    children[0].wait().unwrap();
    for child in &mut children[1..] {
        assert!(child.wait().unwrap().success());
    }
    let study = SharedStudy::read(&path, &Catalogs::default()).unwrap();
    assert_eq!(study.trials().len() as u64, TRIALS);
    assert!(study.trials().iter().all(|trial| matches!(trial.state, TrialState::Complete | TrialState::Stopped)));
    let mut finished: Vec<u64> = study.history().in_order().map(|trial| trial.number).collect();
    finished.sort_unstable();
    assert_eq!(finished, (0..TRIALS).collect::<Vec<_>>());
}
