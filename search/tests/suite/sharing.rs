//! Several workers on one study, those that get lost, and what other programs read of it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use millstream_schemas::Choice;
use millstream_search::journal::{csv, optuna};
use millstream_search::{
    Asked, AskedTrial, Assignment, Catalogs, Decision, Objective, Outcome, SearchError, SharedStudy, Sharing, Space,
    StudySettings, TrialState,
};
use serde_json::{Value, json};

use crate::quality::OPTUNA;

fn settings() -> StudySettings {
    let recipe = json!({
        "rate": {"log_uniform": [1e-5, 1]},
        "layers": {"integer": [1, 8]},
        "dropout": {"uniform": [0.0, 0.5], "step": 0.1},
        "optimizer": {"choose": ["sgd", {"adam": {"beta": {"uniform": [0.8, 0.99]}}}]},
    });
    let (space, _) = Space::extract(&recipe).unwrap();
    StudySettings::new("shared", space, vec![Objective::maximize("accuracy")])
}

fn open(path: &Path, sharing: Sharing) -> SharedStudy {
    SharedStudy::open(path, settings(), &Catalogs::default(), sharing).unwrap()
}

fn trial(study: &mut SharedStudy) -> AskedTrial {
    match study.ask().unwrap() {
        Asked::Trial(trial) => trial,
        other => panic!("{other:?}"),
    }
}

#[test]
fn workers_get_trials_of_their_own_and_see_what_the_others_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let sharing = Sharing { most_trials: Some(3), ..Sharing::default() };
    let (mut first, mut second) = (open(&path, sharing), open(&path, sharing));
    let (a, b, c) = (trial(&mut first), trial(&mut second), trial(&mut first));
    assert_eq!([a.number, b.number, c.number], [0, 1, 2]);
    assert_eq!(second.ask().unwrap(), Asked::Wait);
    second.tell(b.number, Outcome::complete(0.7)).unwrap();
    first.tell(a.number, Outcome::complete(0.8)).unwrap();
    assert_eq!(first.ask().unwrap(), Asked::Wait);
    first.tell(c.number, Outcome::Failed { reason: "no memory".into() }).unwrap();
    assert_eq!(second.ask().unwrap(), Asked::Done);
    assert_eq!(second.study().best().unwrap().number, 0);
    assert_eq!(second.study().history().in_order().map(|trial| trial.number).collect::<Vec<_>>(), [1, 0, 2]);
    for (number, message) in [(0, "nobody works on it"), (9, "there are 3 trials")] {
        let error = first.tell(number, Outcome::complete(1.0)).unwrap_err().to_string();
        assert_eq!(error, format!("trial {number}: {message}"));
    }
}

#[test]
fn a_trial_of_a_silent_worker_is_had_by_another_with_the_same_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let patient = Sharing::default();
    let mut silent = open(&path, patient);
    let lost = trial(&mut silent);
    silent.report(lost.number, 1, 0.5).unwrap();
    assert_ne!(trial(&mut open(&path, patient)).number, lost.number);
    let impatient = Sharing { silence: Duration::ZERO, ..patient };
    std::thread::sleep(Duration::from_millis(3));
    let mut other = open(&path, impatient);
    let again = trial(&mut other);
    assert_eq!((again.number, &again.assignment, again.reported), (lost.number, &lost.assignment, Some(1)));
    let error = silent.report(lost.number, 2, 0.6).unwrap_err();
    assert!(matches!(error, SearchError::Taken { number: 0, by: Some(_), .. }), "{error}");
    // A step that was reported is decided; its first value stays.
    assert_eq!(other.report(again.number, 1, 0.4).unwrap(), Decision::Continue);
    other.report(again.number, 2, 0.6).unwrap();
    other.tell(again.number, Outcome::complete(0.6)).unwrap();
    let known = &other.study().trials()[0];
    assert_eq!((known.reports[&1], known.losses, known.state), (0.5, 0, TrialState::Complete));
    // The second one was lost as well; after the retries it has failed.
    for _ in 0..3 {
        other.ask().unwrap();
        std::thread::sleep(Duration::from_millis(3));
    }
    let failed = &other.study().trials()[1];
    assert_eq!(
        (failed.state, failed.reason.as_deref()),
        (
            TrialState::Failed,
            Some("the process that worked on it was lost 3 times, and no new step was reported in between")
        )
    );
    assert!(failed.is_given_up);
    // Queued again it waits as one that was never lost, with what was reported.
    let mut third = open(&path, patient);
    assert!(third.requeue(&[1, 0]).unwrap_err().to_string().contains("it has not failed"));
    assert!(third.requeue(&[1, 1]).unwrap_err().to_string().contains("it has not failed"), "named twice");
    assert_eq!(third.study().trials()[1].state, TrialState::Failed, "all of them or none");
    assert_eq!(open(&path, patient).study().trials()[1].state, TrialState::Failed, "nothing was written");
    third.requeue(&[1]).unwrap();
    // Who was only silent hears that it was lost, not that there was never anything.
    let error = other.report(1, 3, 0.5).unwrap_err();
    assert!(matches!(error, SearchError::Taken { number: 1, by: None, .. }), "{error}");
    assert_eq!(trial(&mut third).number, 1);
    third.tell(1, Outcome::complete(0.7)).unwrap();
    let known = &third.study().trials()[1];
    assert_eq!((known.state, known.losses, known.is_given_up), (TrialState::Complete, 0, false));
}

#[test]
fn a_trial_that_gets_on_between_losses_is_not_given_up_and_old_journals_that_gave_it_up_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    for step in 1..=6 {
        let mut study = open(&path, Sharing::default());
        let asked = trial(&mut study);
        assert_eq!((asked.number, asked.reported), (0, (step > 1).then(|| step - 1)));
        study.report(0, step, 0.5).unwrap();
        let dead = study.worker().to_owned();
        open(&path, Sharing::default()).give_up(|worker| worker == dead).unwrap();
    }
    // whoever reads the journal has the same study
    let known = SharedStudy::read(&path, &Catalogs::default()).unwrap();
    assert_eq!((known.trials()[0].state, known.trials()[0].losses), (TrialState::Waiting, 1));
    // a step that was reported before is no progress
    for _ in 0..2 {
        let mut study = open(&path, Sharing::default());
        assert_eq!(trial(&mut study).number, 0);
        study.report(0, 6, 0.5).unwrap();
        let dead = study.worker().to_owned();
        open(&path, Sharing::default()).give_up(|worker| worker == dead).unwrap();
    }
    assert!(SharedStudy::read(&path, &Catalogs::default()).unwrap().trials()[0].is_given_up);
    // of a build that had given it up after three losses in all, and was told to try it again
    let text = std::fs::read_to_string(&path).unwrap();
    let third = text.match_indices("\"lost\"").nth(2).unwrap().0;
    let end = third + text[third..].find('\n').unwrap() + 1;
    std::fs::write(&path, format!("{}{}\n", &text[..end], r#"{"event":"requeued","trial":0,"time":1.5}"#)).unwrap();
    let known = SharedStudy::read(&path, &Catalogs::default()).unwrap();
    assert_eq!((known.trials()[0].state, known.trials()[0].losses), (TrialState::Waiting, 0));
}

#[test]
fn seconds_of_work_are_without_those_in_which_a_trial_waited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let mut study = open(&path, Sharing::default());
    let began = Instant::now();
    let asked = trial(&mut study);
    std::thread::sleep(Duration::from_millis(40));
    study.release(asked.number).unwrap();
    let first = began.elapsed();
    std::thread::sleep(Duration::from_millis(400));
    let began = Instant::now();
    let again = trial(&mut study);
    assert_eq!(again.number, asked.number);
    study.tell(again.number, Outcome::complete(0.5)).unwrap();
    // however long the machine took for it; times in the journal are whole milliseconds
    let most = (first + began.elapsed()).as_secs_f64() + 0.004;
    let worked = study.study().trials()[0].worked_seconds().unwrap();
    assert!((0.036..most).contains(&worked), "{worked} of at most {most}");
}

#[test]
fn a_trial_that_is_given_back_or_whose_worker_is_known_to_be_dead_is_had_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let (mut first, mut second) = (open(&path, Sharing::default()), open(&path, Sharing::default()));
    let given = trial(&mut first);
    first.report(given.number, 1, 0.5).unwrap();
    first.release(given.number).unwrap();
    assert!(first.tell(given.number, Outcome::complete(0.5)).is_err());
    let again = trial(&mut second);
    assert_eq!((again.number, &again.assignment, again.reported), (given.number, &given.assignment, Some(1)));
    // That is no loss, and who lives keeps what it has.
    first.give_up(|worker| worker == "nobody").unwrap();
    assert_ne!(trial(&mut first).number, again.number);
    let dead = second.worker().to_owned();
    first.give_up(|worker| worker == dead).unwrap();
    assert_eq!(trial(&mut first).number, again.number);
    assert_eq!(first.study().trials()[again.number as usize].losses, 1);
    assert!(matches!(second.report(again.number, 2, 0.5), Err(SearchError::Taken { .. })));
    // The last report of a trial ends nothing, and is told once.
    first.report_last(again.number, 2, 0.4).unwrap();
    first.report_last(again.number, 2, 0.3).unwrap();
    assert_eq!(first.study().trials()[again.number as usize].reports[&2], 0.4);
}

#[test]
fn a_heart_keeps_a_trial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let a_day = Sharing { silence: Duration::from_secs(86_400), ..Sharing::default() };
    let mut slow = open(&path, a_day);
    let kept = trial(&mut slow);
    // What was heard of it so far is years old: a sign in place of the first digit, so that no line becomes longer.
    let text = std::fs::read_to_string(&path).unwrap();
    let old = text.replace("\"time\":1", "\"time\":-");
    assert_eq!(old.matches("\"time\":-").count(), 2, "{old}");
    std::fs::write(&path, old).unwrap();
    // Without a heart it is lost.
    let silent = folder.path().join("silent.jsonl");
    std::fs::copy(&path, &silent).unwrap();
    assert_eq!(trial(&mut open(&silent, a_day)).number, kept.number);
    let heart = slow.heart(Duration::from_millis(20)).unwrap();
    let (began, beats) = (Instant::now(), || std::fs::read_to_string(&path).unwrap().matches("\"alive\"").count());
    while beats() < 3 {
        assert!(began.elapsed() < Duration::from_secs(240), "it beats no more than {} times", beats());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_ne!(trial(&mut open(&path, a_day)).number, kept.number);
    heart.stop().unwrap();
    slow.tell(kept.number, Outcome::complete(0.5)).unwrap();
    assert_eq!(slow.study().trials()[0].losses, 0);
}

#[test]
fn what_was_asked_for_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut study = open(&folder.path().join("study.jsonl"), Sharing::default());
    let wanted = json!({"rate": 0.01, "layers": 4, "dropout": 0.1, "optimizer": "sgd"});
    let assignment = study.study().settings().space.assignment(wanted.as_object().unwrap()).unwrap();
    assert_eq!(study.enqueue(assignment.clone()).unwrap(), 0);
    assert_eq!(trial(&mut study).assignment, assignment);
    assert_eq!(trial(&mut study).number, 1);
    let error = study.enqueue(Assignment::default()).unwrap_err().to_string();
    assert_eq!(error, "parameter `rate`: it has no setting");
}

#[test]
fn another_study_is_refused_and_what_differs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    drop(open(&path, Sharing::default()));
    let with = |change: &dyn Fn(&mut StudySettings)| {
        let mut settings = settings();
        change(&mut settings);
        SharedStudy::open(&path, settings, &Catalogs::default(), Sharing::default()).map(drop)
    };
    // What means the same is the same.
    with(&|settings| settings.proposer = Choice::new("tpe", json!({"candidates": 32}))).unwrap();
    for (error, message) in [
        (with(&|settings| settings.name = "other".into()), "its study has the name `shared`, not `other`"),
        (with(&|settings| settings.seed = 3), "its study has the seed 0, not 3"),
        (
            with(&|settings| settings.space = Space::extract(&json!({"rate": {"log_uniform": [1e-4, 1]}})).unwrap().0),
            "its study has the parameter {\"name\":\"rate\",\"distribution\":{\"log_uniform\":[0.00001,1.0]}}, not {\"name\":\"rate\"",
        ),
        (
            with(&|settings| settings.proposer = Choice::named("random")),
            "its study has the proposer {\"tpe\":{\"startup\":\"sobol\",\"startup_trials\":8,",
        ),
        (
            with(&|settings| settings.stopping = vec![Choice::named("median")]),
            "its study has the stopping rules [], not [{\"median\"",
        ),
        (
            with(&|settings| settings.objectives = vec![Objective::minimize("loss")]),
            "its study has the objectives [{\"figure\":\"accuracy\"",
        ),
        (with(&|settings| settings.retries = 9), "its study has 2 retries, not 9"),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("study.jsonl: {message}")), "{error}");
    }
}

#[test]
fn a_note_of_the_beginning_is_read_again_and_a_journal_of_before_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let note = json!({"training": {"epochs": 3}});
    for (name, noted) in [("noted", note.clone()), ("of-before", json!(null))] {
        let path = folder.path().join(name);
        assert_eq!(SharedStudy::note_of(&path).unwrap(), json!(null), "{name}: no study has begun");
        let begin = |note: &Value| {
            SharedStudy::open_noting(&path, settings(), note.clone(), &Catalogs::default(), Sharing::default()).unwrap()
        };
        assert_eq!(trial(&mut begin(&noted)).number, 0);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next().unwrap().contains("\"note\""), name == "noted", "{text}");
        // whoever opens it later reads what was noted first, and adds nothing
        let mut again = begin(&json!({"training": {"epochs": 30}}));
        assert_eq!(again.note(), &noted, "{name}");
        assert_eq!(trial(&mut again).number, 1, "{name}");
        assert_eq!(SharedStudy::note_of(&path).unwrap(), noted, "{name}");
        assert_eq!(SharedStudy::read(&path, &Catalogs::default()).unwrap().trials().len(), 2, "{name}");
    }
}

#[test]
fn what_cannot_happen_is_refused_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let mut study = open(&path, Sharing::default());
    trial(&mut study);
    let whole = std::fs::read_to_string(&path).unwrap();
    for (line, message) in [
        (
            r#"{"event":"finished","trial":0,"state":"complete","values":[1,2],"worker":"w","time":0}"#,
            "looks for 1 figure, got 2",
        ),
        (
            r#"{"event":"finished","trial":0,"state":"complete","values":["nan"],"worker":"w","time":0}"#,
            "a figure or constraint of a complete trial is no number",
        ),
        (r#"{"event":"finished","trial":7,"state":"stopped","worker":"w","time":0}"#, "there are 1 trials"),
        (r#"{"event":"taken","trial":0,"worker":"w","time":0}"#, "it neither waits nor is it paused"),
        (r#"{"event":"enqueued","trial":1,"assignment":{"rate":9},"time":0}"#, "parameter `rate`"),
        (r#"{"event":"enqueued","trial":5,"assignment":{},"time":0}"#, "the next trial is 1"),
        (r#"{"event":"lost","trial":18446744073709551615,"time":0}"#, "there are 1 trials"),
    ] {
        std::fs::write(&path, format!("{whole}{line}\n")).unwrap();
        let error = SharedStudy::read(&path, &Catalogs::default()).unwrap_err().to_string();
        assert!(error.contains("study.jsonl:3: ") && error.contains(message), "{error}");
    }
    std::fs::write(&path, "").unwrap();
    let error = SharedStudy::read(&path, &Catalogs::default()).unwrap_err().to_string();
    assert!(error.ends_with("study.jsonl:1: the journal is empty"), "{error}");
    std::fs::write(&path, whole.lines().nth(1).unwrap().to_owned() + "\n").unwrap();
    let error = SharedStudy::read(&path, &Catalogs::default()).unwrap_err().to_string();
    assert!(error.ends_with("a journal begins with the event `study`"), "{error}");
    std::fs::write(&path, whole.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = SharedStudy::read(&path, &Catalogs::default()).unwrap_err().to_string();
    assert!(error.contains("a journal of format 2; this version reads 1"), "{error}");
}

/// A study with trials of every kind.
fn of_every_kind(path: &Path) -> SharedStudy {
    let mut settings = settings();
    settings.stopping = vec![Choice::named("asha")];
    let sharing = Sharing::default();
    let mut study = SharedStudy::open(path, settings, &Catalogs::default(), sharing).unwrap();
    let wanted = json!({"rate": 0.01, "layers": 4, "dropout": 0.1, "optimizer": {"adam": {"beta": {"uniform": [0.8, 0.99]}}}, "optimizer.adam.beta": 0.9});
    let assignment = study.study().settings().space.assignment(wanted.as_object().unwrap()).unwrap();
    study.enqueue(assignment.clone()).unwrap();
    let first = trial(&mut study);
    study.report(first.number, 1, f64::NAN).unwrap();
    study.tell(first.number, Outcome::with(vec![0.75], vec![-1.0, 0.5])).unwrap();
    let second = trial(&mut study);
    assert_eq!(study.report(second.number, 1, 0.5).unwrap(), Decision::Pause);
    study.pause(second.number).unwrap();
    let third = trial(&mut study);
    study.tell(third.number, Outcome::Failed { reason: "no memory".into() }).unwrap();
    let fourth = trial(&mut study);
    study.tell(fourth.number, Outcome::Stopped).unwrap();
    let fifth = trial(&mut study);
    study.tell(fifth.number, Outcome::complete(f64::NEG_INFINITY)).unwrap();
    trial(&mut study);
    study.enqueue(assignment).unwrap();
    study
}

#[test]
fn other_programs_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let study = of_every_kind(&folder.path().join("study.jsonl"));
    let text = csv(study.study());
    let states: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(states, ["complete", "paused", "failed", "stopped", "complete", "running", "waiting"]);
    let lines = optuna(study.study());
    assert!(lines.contains("\"intermediate_values\":{\"1\":NaN}") && lines.contains("\"values\":[-Infinity]"));
    let finite = lines.replace("NaN", "null").replace("-Infinity", "null");
    let lines: Vec<Value> = finite.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"op_code": 0, "worker_id": "millstream", "study_name": "shared", "directions": [2]}));
    let states: Vec<i64> = lines[2..].iter().map(|line| line["state"].as_i64().unwrap()).collect();
    assert_eq!(states, [1, 2, 3, 2, 1, 0, 4]);
    assert_eq!(
        lines[2]["params"],
        json!({"rate": 0.01, "layers": 4.0, "dropout": 0.1, "optimizer": 1.0, "optimizer.adam.beta": 0.9})
    );
    assert_eq!(lines[2]["system_attrs"], json!({"constraints": [-1.0, 0.5]}));
    let beta: Value = serde_json::from_str(lines[2]["distributions"]["optimizer.adam.beta"].as_str().unwrap()).unwrap();
    assert_eq!(
        beta,
        json!({"name": "FloatDistribution", "attributes": {"step": null, "low": 0.8, "high": 0.99, "log": false}})
    );
}

/// Needs a Python with Optuna: `MILLSTREAM_OPTUNA_PYTHON=…/bin/python cargo nextest run -p millstream-search optuna`.
#[test]
fn optuna_opens_what_is_exported() {
    let Some(python) = std::env::var_os(OPTUNA) else {
        println!("left out, {OPTUNA} (a Python with optuna) is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let study = of_every_kind(&folder.path().join("study.jsonl"));
    let path = folder.path().join("optuna.log");
    std::fs::write(&path, optuna(study.study())).unwrap();
    let program = "
import sys, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
study = optuna.load_study(study_name='shared', storage=JournalStorage(JournalFileBackend(sys.argv[1])))
print(' '.join(trial.state.name for trial in study.trials), study.metric_names, study.direction.name)
print(study.trials[0].params, study.trials[0].values, study.trials[0].constraints, study.trials[1].intermediate_values)
print(len(study.best_trials))
study.add_trial(study.trials[0])
trial = study.ask()
print(trial.number)
";
    let output = Command::new(python).args(["-c", program]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "COMPLETE PRUNED FAIL PRUNED COMPLETE RUNNING WAITING ['accuracy'] MAXIMIZE");
    let choice = r#"{"adam":{"beta":{"uniform":[0.8,0.99]}}}"#;
    let parameters =
        format!("{{'dropout': 0.1, 'layers': 4, 'optimizer': '{choice}', 'optimizer.adam.beta': 0.9, 'rate': 0.01}}");
    assert!(lines[1].contains("[0.75] {'0': -1.0, '1': 0.5} {1: 0.5}"), "{said}");
    assert_eq!(lines[1].split(" [0.75]").next().unwrap().len(), parameters.len(), "{said}");
}
