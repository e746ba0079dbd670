//! The same study gives the same trials, whoever asks, and however often it is opened again.

use std::path::Path;
use std::sync::{Condvar, Mutex};

use millstream_schemas::Choice;
use millstream_search::proposers::{self, standard};
use millstream_search::{
    Asked, AskedTrial, Assignment, Catalogs, Objective, Outcome, Proposer, SharedStudy, Sharing, Space, Study,
    StudySettings, Trial,
};
use serde_json::{Value, json};

const TRIALS: u64 = 24;

/// A space with everything in it.
fn space() -> Space {
    let recipe = json!({
        "rate": {"log_uniform": [1e-5, 1]},
        "layers": {"integer": [1, 8]},
        "width": {"integer": [1, 1000], "log": true},
        "dropout": {"uniform": [0.0, 0.5], "step": 0.1},
        "only": {"choose": ["this"]},
        "optimizer": {"choose": ["sgd", {"adam": {"beta": {"uniform": [0.8, 0.99]}, "amsgrad": {"choose": [true, false]}}}]},
    });
    Space::extract(&recipe).unwrap().0
}

fn figure(trial: &millstream_search::Assignment) -> f64 {
    let get = |name: &str| trial.get(name).unwrap_or(0.5);
    (get("rate").log10() + 3.0).powi(2) + (get("layers") - 3.0).abs() + get("dropout") + get("optimizer.adam.beta")
}

fn settings(proposer: Choice) -> StudySettings {
    let mut settings = StudySettings::new("exact", space(), vec![Objective::minimize("loss")]);
    (settings.proposer, settings.seed) = (proposer, 77);
    settings
}

/// Every sample of every row, with few trials that are drawn at random, so that it is seen what is learned.
fn choices() -> Vec<Choice> {
    let rows = standard().rows().iter();
    let mut choices: Vec<Choice> = rows
        .flat_map(|row| row.samples.iter().map(|sample| Choice::new(row.name, serde_json::from_str(sample).unwrap())))
        .collect();
    for choice in &mut choices {
        let options = choice.options.as_object_mut().unwrap();
        match choice.name.as_str() {
            "tpe" | "gaussian_process" => drop(options.insert("startup_trials".into(), json!(6))),
            "nsga_ii" => drop(options.insert("population".into(), json!(5))),
            "grid" => drop(options.insert("points".into(), json!(3))),
            _ => {}
        }
    }
    choices
}

fn outcome(number: u64, assignment: &millstream_search::Assignment) -> Outcome {
    match number % 9 {
        4 => Outcome::Stopped,
        7 => Outcome::Failed { reason: "out of memory".into() },
        _ => Outcome::complete(figure(assignment)),
    }
}

#[test]
fn a_proposer_says_whether_what_came_of_trials_decides_what_it_proposes() {
    for choice in choices() {
        let proposed = |sign: f64| {
            let mut study = Study::new(settings(choice.clone()), &Catalogs::default()).unwrap();
            let mut found = Vec::new();
            for _ in 0..TRIALS {
                let Asked::Trial(trial) = study.ask().unwrap() else { break };
                study.tell(trial.number, Outcome::complete(sign * figure(&trial.assignment))).unwrap();
                found.push(trial.assignment);
            }
            found
        };
        let proposer = Proposer::choose(standard(), &choice, "search.proposer").unwrap();
        assert_eq!(proposed(1.0) != proposed(-1.0), proposer.learns(), "{}", choice.name);
    }
}

fn in_memory(choice: &Choice) -> Vec<Trial> {
    let mut study = Study::new(settings(choice.clone()), &Catalogs::default()).unwrap();
    for _ in 0..TRIALS {
        let Asked::Trial(trial) = study.ask().unwrap() else { break };
        study.report(trial.number, 1, figure(&trial.assignment)).unwrap();
        study.tell(trial.number, outcome(trial.number, &trial.assignment)).unwrap();
    }
    study.trials().to_vec()
}

fn open(path: &Path, choice: &Choice) -> SharedStudy {
    SharedStudy::open(path, settings(choice.clone()), &Catalogs::default(), Sharing::default()).unwrap()
}

#[test]
fn a_study_that_is_opened_again_for_every_trial_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (at, choice) in choices().iter().enumerate() {
        let wanted = in_memory(choice);
        let path = folder.path().join(format!("{at}.jsonl"));
        for trial in &wanted {
            let Asked::Trial(asked) = open(&path, choice).ask().unwrap() else { panic!("{choice:?} ends early") };
            assert_eq!((asked.number, &asked.assignment), (trial.number, &trial.assignment), "{choice:?}");
            let mut study = open(&path, choice);
            // It is another worker's: that one is taken for lost.
            let error = study.tell(asked.number, outcome(asked.number, &asked.assignment)).unwrap_err().to_string();
            assert!(error.contains("was taken for lost"), "{error}");
            drop(study);
            let mut study = again(&path, choice);
            let Asked::Trial(same) = study.ask().unwrap() else { panic!("{choice:?} lost a trial") };
            assert_eq!((same.number, &same.assignment), (asked.number, &asked.assignment), "{choice:?}");
            study.report(same.number, 1, figure(&same.assignment)).unwrap();
            study.tell(same.number, outcome(same.number, &same.assignment)).unwrap();
        }
        let read = SharedStudy::read(&path, &Catalogs::default()).unwrap();
        for (got, wanted) in read.trials().iter().zip(&wanted) {
            assert_eq!(
                (&got.note, &got.values, got.state, &got.reports),
                (&wanted.note, &wanted.values, wanted.state, &wanted.reports)
            );
        }
    }
}

/// Opens it with so little patience that whoever else works on a trial is taken for lost.
fn again(path: &Path, choice: &Choice) -> SharedStudy {
    std::thread::sleep(std::time::Duration::from_millis(3));
    let sharing = Sharing { silence: std::time::Duration::ZERO, ..Sharing::default() };
    SharedStudy::open(path, settings(choice.clone()), &Catalogs::default(), sharing).unwrap()
}

/// The proposers that look at trials which run, and learn after few.
fn that_look_at_running_ones() -> [Choice; 2] {
    ["tpe", "gaussian_process"].map(|name| Choice::new(name, json!({"startup_trials": 3})))
}

/// Trials in the order in which two threads end them, each of which has one at a time.
const ENDS: [u64; 10] = [1, 0, 2, 4, 3, 5, 7, 6, 8, 9];

fn open_for_two(path: &Path, choice: &Choice) -> SharedStudy {
    let space = Space::extract(&json!({"x": {"uniform": [0, 1]}, "y": {"choose": ["a", "b", "c"]}})).unwrap().0;
    let settings = StudySettings { space, ..settings(choice.clone()) };
    let sharing = Sharing { most_trials: Some(ENDS.len() as u64), ..Sharing::default() };
    SharedStudy::open(path, settings, &Catalogs::default(), sharing).unwrap()
}

fn two_firsts(study: &mut SharedStudy) -> [AskedTrial; 2] {
    [(); 2].map(|()| match study.ask().unwrap() {
        Asked::Trial(trial) => trial,
        other => panic!("{other:?}"),
    })
}

/// Two threads on one study, which end trials as `ENDS` says; gives what was tried, by number.
fn by_two_threads(path: &Path, choice: &Choice) -> Vec<Assignment> {
    let mut study = open_for_two(path, choice);
    let firsts = two_firsts(&mut study);
    // the lock is free between any two calls, so that the threads come to it in whatever order they like
    let (study, told) = (Mutex::new(study), Condvar::new());
    std::thread::scope(|scope| {
        for first in firsts {
            let (study, told) = (&study, &told);
            scope.spawn(move || {
                let mut next = Some(first);
                while let Some(trial) = next.take() {
                    let is_early =
                        |study: &mut SharedStudy| ENDS[study.study().history().finished.len()] != trial.number;
                    let mut turn = told.wait_while(study.lock().unwrap(), is_early).unwrap();
                    let outcome = Outcome::complete(loss_of_two(&trial.assignment));
                    next = match turn.tell_and_ask(trial.number, outcome, |_| true).unwrap() {
                        Some(Asked::Trial(trial)) => Some(trial),
                        _ => None,
                    };
                    told.notify_all();
                }
            });
        }
    });
    let study = study.into_inner().unwrap();
    study.study().trials().iter().map(|trial| trial.assignment.clone()).collect()
}

fn loss_of_two(assignment: &Assignment) -> f64 {
    (assignment.get("x").unwrap() - 0.3).abs() + 0.1 * assignment.get("y").unwrap()
}

#[test]
fn two_threads_that_end_trials_in_the_same_order_get_the_same_trials_each_time() {
    let folder = tempfile::tempdir().unwrap();
    for choice in that_look_at_running_ones() {
        let path = |time: usize| folder.path().join(format!("{}-{time}.jsonl", choice.name));
        let wanted = by_two_threads(&path(0), &choice);
        assert_eq!(wanted.len(), ENDS.len());
        for time in 1..20 {
            assert_eq!(by_two_threads(&path(time), &choice), wanted, "{}, time {time}", choice.name);
        }
        // Each end stands right in front of what was proposed with it.
        let journal = std::fs::read_to_string(path(0)).unwrap();
        let events: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        let beginning = ["study", "proposed", "proposed"];
        let wanted = beginning.into_iter().chain(["finished", "proposed"].into_iter().cycle().take(16));
        assert_eq!(names, wanted.chain(["finished"; 2]).collect::<Vec<_>>());
    }
}

#[test]
fn a_study_of_two_at_a_time_that_is_killed_behind_any_line_of_its_journal_gets_the_same_trials() {
    let folder = tempfile::tempdir().unwrap();
    for choice in that_look_at_running_ones() {
        let whole = folder.path().join(format!("{}.jsonl", choice.name));
        let wanted = by_two_threads(&whole, &choice);
        let journal = std::fs::read_to_string(&whole).unwrap();
        let lines: Vec<&str> = journal.split_inclusive('\n').collect();
        // behind the last but one end there is no second trial to ask for
        for kept in 1..lines.len() - 1 {
            let path = folder.path().join(format!("{}-{kept}.jsonl", choice.name));
            std::fs::write(&path, lines[..kept].concat()).unwrap();
            let mut study = open_for_two(&path, &choice);
            // what ran was lost, and is had again
            study.give_up(|_| true).unwrap();
            for trial in two_firsts(&mut study) {
                let assignment = &wanted[trial.number as usize];
                assert_eq!(&trial.assignment, assignment, "{}, {kept} lines, trial {}", choice.name, trial.number);
            }
        }
    }
}

#[test]
fn what_waits_to_be_gone_on_with_counts_for_proposals_as_when_it_ran() {
    let folder = tempfile::tempdir().unwrap();
    for choice in that_look_at_running_ones() {
        // Four trials ended, and three run; the first of these is given back or is not.
        let proposed = |is_given_back: bool| {
            let path = folder.path().join(format!("{}-{is_given_back}.jsonl", choice.name));
            let mut study = open_for_two(&path, &choice);
            for number in 0..7 {
                let Asked::Trial(trial) = study.ask().unwrap() else { panic!("trial {number} is missing") };
                if number < 4 {
                    study.tell(trial.number, Outcome::complete(loss_of_two(&trial.assignment))).unwrap();
                }
            }
            if is_given_back {
                study.release(4).unwrap();
                // who asks has it first
                assert!(matches!(study.ask().unwrap(), Asked::Trial(trial) if trial.number == 4));
                study.release(4).unwrap();
            }
            let history = study.study().history();
            let space = &study.study().settings().space;
            let request = proposers::Request { space, seed: 77, number: 7, history };
            study.study().proposer().propose(&request).unwrap().assignment
        };
        assert_eq!(proposed(true), proposed(false), "{}", choice.name);
    }
}

#[test]
fn a_seed_changes_what_is_drawn_and_a_number_too() {
    for choice in choices().into_iter().filter(|choice| choice.name != "grid") {
        let study = |seed: u64| {
            let mut settings = settings(choice.clone());
            settings.seed = seed;
            let mut study = Study::new(settings, &Catalogs::default()).unwrap();
            [study.ask().unwrap(), study.ask().unwrap()]
        };
        let [first, second] = study(1);
        let assignment =
            |asked: Asked| if let Asked::Trial(trial) = asked { trial.assignment } else { panic!("{choice:?}") };
        let first = assignment(first);
        assert_ne!(first, assignment(second), "{choice:?}");
        let [other, _] = study(2);
        assert_ne!(first, assignment(other), "{choice:?}");
    }
}

#[test]
fn rows_are_whole_and_take_their_samples() {
    for row in standard().rows() {
        assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
        for sample in row.samples {
            let choice = Choice::new(row.name, serde_json::from_str(sample).unwrap());
            let proposer = Proposer::choose(standard(), &choice, "search.proposer").unwrap();
            let again = Proposer::choose(standard(), proposer.choice(), "search.proposer").unwrap();
            assert_eq!(again.choice(), proposer.choice());
        }
    }
    assert_eq!(proposers::standard().rows().len(), 7);
}

#[test]
fn values_that_make_no_sense_are_refused_by_name() {
    for (name, options, message) in [
        ("cma_es", json!({"population": 3}), "population is between 4 and 1000, got 3"),
        ("cma_es", json!({"sigma": 0}), "sigma is between 0.001 and 1, got 0"),
        ("grid", json!({"points": 1}), "points is between 2 and 1000, got 1"),
        ("nsga_ii", json!({"population": 1}), "population is between 2 and 10000, got 1"),
        ("nsga_ii", json!({"crossover": 2}), "crossover is between 0 and 1, got 2"),
        ("nsga_ii", json!({"mutation": -1}), "mutation is between 0 and 1, got -1"),
        ("tpe", json!({"candidates": 0}), "candidates is between 1 and 10000, got 0"),
        ("tpe", json!({"better_share": 0}), "better_share is above 0 and at most 1, got 0"),
    ] {
        let error = Proposer::choose(standard(), &Choice::new(name, options), "search.proposer").unwrap_err();
        assert_eq!(error.to_string(), format!("search.proposer.{name}: {message}"));
    }
    let error = Proposer::choose(standard(), &Choice::named("tpee"), "search.proposer").unwrap_err().to_string();
    assert_eq!(error, "search.proposer: unknown proposer `tpee`; did you mean `tpe`?");
}

#[test]
fn cma_es_does_not_stay_with_the_alternative_that_it_drew_first() {
    let recipe = json!({
        "epochs": {"choose": [1, 2, 8]},
        "rate": {"log_uniform": [1e-4, 1]},
        "weight_decay": {"uniform": [0, 0.1]},
    });
    let space = Space::extract(&recipe).unwrap().0;
    for seed in 0..20 {
        let mut settings = settings(Choice::named("cma_es"));
        (settings.space, settings.seed) = (space.clone(), seed);
        let mut study = Study::new(settings, &Catalogs::default()).unwrap();
        let mut chosen = Vec::new();
        for _ in 0..40 {
            let Asked::Trial(trial) = study.ask().unwrap() else { panic!("there is always another") };
            let get = |name: &str| trial.assignment.get(name).unwrap();
            let epochs = get("epochs");
            // the last alternative is the best one at any rate
            let loss = (2.0 - epochs) + (get("rate").log10() + 2.0).powi(2) + get("weight_decay");
            study.tell(trial.number, Outcome::complete(loss)).unwrap();
            chosen.push(epochs);
        }
        for alternative in [0.0, 1.0, 2.0] {
            assert!(chosen[..8].contains(&alternative), "seed {seed}: {alternative} is not among {:?}", &chosen[..8]);
        }
        let best = chosen[8..].iter().filter(|epochs| **epochs == 2.0).count();
        assert!(best > 10 && best < 32, "seed {seed}: the best alternative {best} times in {chosen:?}");
    }
}

#[test]
fn a_study_tells_whether_its_workers_were_there_at_the_same_time() {
    for (steps, wanted) in [
        // who asks, or ends which trial
        (&[("a", None), ("a", Some(0)), ("a", None), ("a", Some(1))][..], (1, false)),
        (&[("a", None), ("a", Some(0)), ("b", None), ("b", Some(1))][..], (2, false)),
        (&[("a", None), ("b", None), ("a", Some(0)), ("b", Some(1))][..], (2, true)),
        (&[("a", None), ("b", None), ("b", Some(1)), ("a", Some(0))][..], (2, true)),
    ] {
        let mut study = Study::new(settings(Choice::named("random")), &Catalogs::default()).unwrap();
        for (worker, ended) in steps {
            let event = match ended {
                None => study.plan_ask(worker, 0.0, None).unwrap().1.unwrap(),
                Some(trial) => study.plan_tell(*trial, Outcome::complete(0.5), worker, 0.0).unwrap(),
            };
            study.apply(&event).unwrap();
        }
        assert_eq!((study.workers(), study.had_workers_together()), wanted, "{steps:?}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let with = |change: &dyn Fn(&mut StudySettings)| {
        let mut settings = settings(Choice::named("tpe"));
        change(&mut settings);
        Study::new(settings, &Catalogs::default()).unwrap_err().to_string()
    };
    let two = || vec![Objective::minimize("loss"), Objective::maximize("accuracy")];
    for (error, message) in [
        (with(&|settings| settings.objectives.clear()), "study `exact`: it looks for no figure"),
        (with(&|settings| settings.objectives = two()), "search.proposer: tpe looks for one figure, got 2; nsga_ii,"),
        (
            with(&|settings| {
                settings.objectives = two();
                settings.proposer = Choice::named("nsga_ii");
                settings.stopping = vec![Choice::named("median")];
            }),
            "search.stopping: rules look at one figure, got 2",
        ),
        (
            with(&|settings| settings.stopping = vec![Choice::named("medain")]),
            "search.stopping[0]: unknown stopping rule `medain`",
        ),
        (with(&|settings| settings.proposer = Choice::named("grid")), "search.proposer: grid needs `points`"),
        (
            with(&|settings| {
                settings.space = Space::extract(&json!({"a": {"choose": [1, 2]}})).unwrap().0;
                settings.proposer = Choice::named("cma_es");
            }),
            "search.proposer: cma_es needs a number",
        ),
    ] {
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn a_space_without_parameters_or_with_one_setting_is_no_trouble() {
    for recipe in [json!({}), json!({"a": {"choose": [1]}, "b": {"uniform": [2, 2]}, "c": {"integer": [3, 3]}})] {
        let space = Space::extract(&recipe).unwrap().0;
        for choice in choices().into_iter().filter(|choice| choice.name != "cma_es") {
            let mut settings = settings(choice);
            settings.space = space.clone();
            let mut study = Study::new(settings, &Catalogs::default()).unwrap();
            for number in 0..12 {
                let Asked::Trial(trial) = study.ask().unwrap() else { break };
                study.tell(trial.number, Outcome::complete(f64::from(number))).unwrap();
            }
            assert!(study.best().is_some_and(|best| best.number == 0));
        }
    }
}

#[test]
fn figures_of_any_size_are_no_trouble() {
    for choice in choices() {
        let mut study = Study::new(settings(choice.clone()), &Catalogs::default()).unwrap();
        let figures = [f64::INFINITY, 1e308, -1e308, f64::NEG_INFINITY, 0.0, 0.0, f64::NAN, 5e-324, 1.0];
        for number in 0..18 {
            let Asked::Trial(trial) = study.ask().unwrap() else { break };
            study.tell(trial.number, Outcome::complete(figures[number % figures.len()])).unwrap();
        }
        let failed: Vec<&Trial> = study.trials().iter().filter(|trial| trial.reason.is_some()).collect();
        assert!(failed.iter().all(|trial| trial.reason.as_deref() == Some("loss is no number")));
        assert_eq!(failed.len(), 2, "{choice:?}");
    }
}

#[test]
fn what_matters_and_the_best_are_told() {
    let mut study = Study::new(settings(Choice::named("tpe")), &Catalogs::default()).unwrap();
    assert!(study.best().is_none() && study.front().is_empty() && study.importance(0).is_none());
    for _ in 0..60 {
        let Asked::Trial(trial) = study.ask().unwrap() else { panic!("there is always another") };
        study.tell(trial.number, Outcome::complete(figure(&trial.assignment))).unwrap();
    }
    let best = study.best().unwrap();
    assert!(study.trials().iter().all(|trial| trial.values[0] >= best.values[0]));
    assert_eq!(study.front(), [best]);
    let importance = study.importance(0).unwrap();
    let names: Vec<&str> = importance.iter().map(|importance| importance.parameter.as_str()).collect();
    assert!(names[..2].contains(&"rate") && names[..2].contains(&"layers"), "{importance:?}");
    let only = importance.iter().find(|importance| importance.parameter == "only").unwrap();
    assert_eq!(only.share, 0.0);
    let value: Value =
        study.settings().space.values(&best.assignment).into_iter().find(|(name, _)| *name == "only").unwrap().1;
    assert_eq!(value, "this");
}
