//! Processes that are killed at any moment lose nothing that was told, and change nothing about what is proposed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use millstream_schemas::Choice;
use millstream_search::{
    Asked, Catalogs, Decision, Objective, Outcome, Random, SharedStudy, Sharing, Space, Study, StudySettings,
    TrialState,
};
use serde_json::json;

const JOURNAL: &str = "MILLSTREAM_SEARCH_TEST_JOURNAL";
const SILENCE: &str = "MILLSTREAM_SEARCH_TEST_SILENCE_SECONDS";
/// After so many reports a process stands still, in the middle of a trial, until it is killed.
const STANDS_AFTER: &str = "MILLSTREAM_SEARCH_TEST_STANDS_AFTER";
/// Seconds of silence where one process works at a time: whoever worked before it is dead.
const NONE: u64 = 0;
/// Seconds in which a process that lives is heard of, however busy the machine is.
const LONG: u64 = 600;
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
    let sharing = Sharing { silence: Duration::from_secs(silence), most_trials: Some(TRIALS) };
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
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let (mut reports, stands_after) = (0, number(STANDS_AFTER));
    let mut study = open(&path, number(SILENCE).unwrap());
    loop {
        match study.ask().unwrap() {
            Asked::Done => return,
            Asked::Wait => std::thread::sleep(Duration::from_millis(20)),
            Asked::Trial(trial) => {
                let outcome = work(&trial, |step, value| {
                    std::thread::sleep(Duration::from_millis(4));
                    let decision = study.report(trial.number, step, value).unwrap();
                    reports += 1;
                    if stands_after == Some(reports) {
                        std::fs::write(stands(&path), "").unwrap();
                        // whoever is to kill it may be dead itself
                        std::thread::sleep(Duration::from_secs(LONG));
                        std::process::exit(1);
                    }
                    decision
                });
                study.tell(trial.number, outcome).unwrap();
            }
        }
    }
}

/// A file that is there once a process stands still.
fn stands(path: &Path) -> PathBuf {
    path.with_extension("stands")
}

/// A process that ends with the test at the latest.
struct Working(Child);

impl Working {
    fn start(path: &Path, silence: u64, stands_after: Option<u64>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["killing::child", "--exact", "--nocapture"]).env(JOURNAL, path).env(SILENCE, silence.to_string());
        command.envs(stands_after.map(|reports| (STANDS_AFTER, reports.to_string())));
        Self(command.stdout(std::process::Stdio::null()).spawn().unwrap())
    }

    /// Waits until this holds, or it has ended by itself.
    fn wait_until(&mut self, holds: impl Fn() -> bool) {
        while !holds() && self.0.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    /// Kills it, unless it has ended by itself.
    fn kill(&mut self) {
        let _ = self.0.kill();
        self.wait();
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        // After a failed assertion only: it has ended otherwise.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    let mut random = Random::of(7, 0, "killing");
    for round in 0..12 {
        let length = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let before = length();
        let mut child = Working::start(&path, NONE, Some(1 + random.below(20) as u64));
        let moment = Duration::from_millis(random.below(120) as u64);
        // In the middle of a trial, or at any moment of its work, as the machine has it.
        if round % 3 == 0 {
            child.wait_until(|| stands(&path).exists());
        } else {
            child.wait_until(|| length() != before);
            std::thread::sleep(moment);
        }
        child.kill();
        let _ = std::fs::remove_file(stands(&path));
        // As if it had been killed while it wrote a line.
        if path.exists() && random.below(2) == 0 {
            let line = br#"{"event":"finished","trial":0,"state":"#;
            let torn = &line[..random.below(line.len())];
            std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();
        }
    }
    assert!(Working::start(&path, NONE, None).wait().success());
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
    let mut children: Vec<Working> = (0..3).map(|at| Working::start(&path, LONG, (at == 0).then_some(7))).collect();
    // Where it comes late, the others have left it nothing to do.
    children[0].wait_until(|| stands(&path).exists());
    children[0].kill();
    // Workers are called by their processes. Nobody waits until this one was silent for long.
    let dead = format!("{}-", children[0].0.id());
    open(&path, LONG).give_up(|worker| worker.starts_with(&dead)).unwrap();
    for child in &mut children[1..] {
        assert!(child.wait().success());
    }
    let study = SharedStudy::read(&path, &Catalogs::default()).unwrap();
    assert_eq!(study.trials().len() as u64, TRIALS);
    assert!(study.trials().iter().all(|trial| matches!(trial.state, TrialState::Complete | TrialState::Stopped)));
    let mut finished: Vec<u64> = study.history().in_order().map(|trial| trial.number).collect();
    finished.sort_unstable();
    assert_eq!(finished, (0..TRIALS).collect::<Vec<_>>());
}
