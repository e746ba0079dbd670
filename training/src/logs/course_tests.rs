//! Runs that are killed at any moment and resumed, with every log: what stands in them is what stands in those of a run that
//! nobody disturbed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::event_file;
use super::event_messages::{Content, What};
use super::{Log, LoggedRun, Logs, RunPlace, standard};
use crate::metrics::{Better, Evaluation, FigureKind, Figures, Unit};
use crate::observers::{Event, Observer, StepEvent};
use crate::record::{Best, EpochRecord, RunRecord};
use millstream_schemas::Choice;

const EPOCHS: u64 = 3;
const STEPS_PER_EPOCH: u64 = 2;
/// A class may be called anything.
const FIGURE: &str = "recall of \"a,b\"/..\n";

/// What happens in a run, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happening {
    StartEvaluated,
    Step(u64),
    Evaluated(u64),
    EpochEnded(u64),
}

fn course() -> Vec<Happening> {
    let mut course = vec![Happening::StartEvaluated];
    for epoch in 0..EPOCHS {
        course.extend((1..=STEPS_PER_EPOCH).map(|step| Happening::Step(epoch * STEPS_PER_EPOCH + step)));
        course.extend([Happening::Evaluated(epoch), Happening::EpochEnded(epoch)]);
    }
    course
}

fn evaluation(epoch: u64) -> Evaluation {
    let figures: Figures = [(FIGURE, Some(0.5 + epoch as f64 / 8.0)), ("top_5", None)].into_iter().collect();
    let loss = 1.0 / (epoch + 1) as f64;
    Evaluation {
        rows: 4,
        not_finite: 0,
        loss,
        figures,
        tables: Vec::new(),
        majority: None,
        intervals: Vec::new(),
        confidence: 0.95,
        slices: Vec::new(),
        mistakes: Vec::new(),
        mistaken_pictures: Vec::new(),
        mistaken_masks: Vec::new(),
    }
}

fn happen(happening: Happening, logs: &mut Logs) {
    match happening {
        Happening::StartEvaluated => logs.observe(&Event::StartEvaluated { evaluation: &evaluation(0) }),
        Happening::Step(step) => logs.observe(&Event::Step(StepEvent {
            step,
            total_steps: EPOCHS * STEPS_PER_EPOCH,
            epoch: (step - 1) / STEPS_PER_EPOCH,
            epochs: EPOCHS,
            loss: 1.0 / step as f32,
            mean_loss: 1.5 / step as f64,
            learning_rate: 0.1,
            rows: 8,
            samples_per_second: 100.0,
            seconds_waiting: 0.25,
            seconds_in_graph: 0.5,
            seconds_in_update: 0.125,
            batches_waiting: None,
            seconds_left: 1.0,
            gradient_norm: (step != 2).then_some(2.0 * step as f64),
        })),
        Happening::Evaluated(epoch) => {
            let (evaluation, best) = (&evaluation(epoch), epoch != 1);
            logs.observe(&Event::Evaluated {
                epoch,
                ends_epoch: true,
                evaluation,
                others: &[],
                best,
                better_than_start: true,
            });
        }
        Happening::EpochEnded(epoch) => {
            logs.observe(&Event::EpochEnded(&EpochRecord { epoch, steps: 2, rows: 16, ..EpochRecord::default() }));
        }
    }
}

fn every_log() -> Vec<Log> {
    let rows = standard().rows().iter();
    rows.map(|row| Log::choose(standard(), &Choice::named(row.name), "output.logs").unwrap()).collect()
}

fn open(folder: &Path, goes_on: Option<RunPlace>) -> Logs {
    let figure = |name: &str| FigureKind {
        name: name.into(),
        better: Better::Higher,
        unit: Unit::Share,
        of_constant_answer: false,
    };
    let run = LoggedRun {
        folder: folder.join("logs"),
        name: "flowers".into(),
        hyperparameters: Map::from_iter([
            ("training.epochs".to_owned(), json!(3)),
            ("training.schedule".to_owned(), json!("cosine")),
            ("data.drop_last".to_owned(), json!(false)),
        ]),
        recipe: "version: 1\n".into(),
        figures: vec![figure(FIGURE), figure("top_5")],
        decides: figure("top_5"),
        goes_on,
    };
    let mut logs = Logs::open(&every_log(), run).unwrap();
    let (step, epoch) = (goes_on.map_or(0, |place| place.steps), 0);
    let (total_steps, steps_per_epoch) = (EPOCHS * STEPS_PER_EPOCH, STEPS_PER_EPOCH);
    logs.observe(&Event::Started { step, total_steps, epoch, epochs: EPOCHS, steps_per_epoch });
    logs
}

fn end(logs: &mut Logs, ending: &str) {
    let mut record = RunRecord { ending: ending.into(), ..RunRecord::default() };
    record.history.steps = EPOCHS * STEPS_PER_EPOCH;
    record.history.best = Some(Best { epoch: 2, step: None, loss: 0.25, figures: Figures::default() });
    logs.end(&record, &[]);
}

/// Where a run can go on: behind each step, before and after the evaluation and the end of an epoch.
fn place(course: &[Happening], done: usize) -> Option<RunPlace> {
    let step = |happening: &Happening| if let Happening::Step(step) = happening { Some(*step) } else { None };
    let steps = course[..done].iter().rev().find_map(step)?;
    match course[done - 1] {
        Happening::Step(_) => Some(RunPlace { steps, evaluated: false, epoch_ended: false }),
        Happening::EpochEnded(_) => Some(RunPlace { steps, evaluated: true, epoch_ended: true }),
        Happening::Evaluated(_) => Some(RunPlace { steps, evaluated: true, epoch_ended: false }),
        Happening::StartEvaluated => None,
    }
}

/// All that stands in the logs but the time, and that the run was resumed.
fn contents(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let logs = folder.join("logs");
    let read = |name: &str| fs::read_to_string(logs.join(name)).unwrap();
    let mut contents = BTreeMap::new();
    for table in ["steps.csv", "evaluations.csv"] {
        let text = read(table).replace("\n\"", "\\n\"");
        let untimed = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            if fields[0] == "step" { line.to_owned() } else { [&fields[..2], &fields[3..]].concat().join(",") }
        };
        contents.insert(table.to_owned(), text.lines().map(untimed).collect());
    }
    let lines = read("events.jsonl");
    let lines = lines.lines().map(|line| {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        assert!(line.shift_remove("time").unwrap().is_f64());
        line
    });
    let lines = lines.filter(|line| line["event"] != "resumed").map(|line| Value::Object(line).to_string());
    contents.insert("events.jsonl".into(), lines.collect());
    let mut files: Vec<_> = fs::read_dir(logs.join("tensorboard")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let events: Vec<String> = files.iter().flat_map(|file| events(file)).collect();
    contents.insert("tensorboard".into(), events);
    let note: Value = serde_json::from_str(&read("mlflow.json")).unwrap();
    let run = logs.join("mlruns/0").join(note["run_id"].as_str().unwrap());
    for kind in ["metrics/train", "metrics/epoch", "metrics/evaluation", "metrics/best", "params"] {
        for file in fs::read_dir(run.join(kind)).unwrap() {
            let file = file.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            let untimed =
                |line: &str| if kind == "params" { line.into() } else { line.split_once(' ').unwrap().1.to_owned() };
            let name = format!("{kind}/{}", file.file_name().unwrap().to_str().unwrap());
            contents.insert(name, text.lines().map(untimed).collect());
        }
    }
    assert_eq!(fs::read_dir(logs.join("mlruns/0")).unwrap().count(), 2, "one run and the experiment's own file");
    contents
}

/// Values by tag and step; every frame is whole.
fn events(file: &Path) -> Vec<String> {
    let text = fs::read(file).unwrap();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let (event, end) = event_file::first(&text[at..]).expect("a whole frame with its checksums");
        if at == 0 {
            assert_eq!(event.what, Some(What::FileVersion("brain.Event:2".into())));
        }
        at += end;
        if let Some(What::Summary(summary)) = event.what {
            for value in summary.value {
                let shown = match value.content.unwrap() {
                    Content::Scalar(scalar) => scalar.to_string(),
                    Content::Tensor(tensor) => format!("{:?}", tensor.strings),
                };
                found.push(format!("{} {} {shown}", event.step, value.tag));
            }
        }
    }
    found
}

fn undisturbed() -> BTreeMap<String, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let mut logs = open(folder.path(), None);
    course().into_iter().for_each(|happening| happen(happening, &mut logs));
    end(&mut logs, "finished");
    assert_eq!(logs.take_warnings(), Vec::<String>::new());
    contents(folder.path())
}

#[test]
fn what_happens_stands_in_every_log() {
    let found = undisturbed();
    assert_eq!(found["steps.csv"].len(), 7);
    assert_eq!(
        found["steps.csv"][1..3],
        [
            "1,1,1,1.5,0.1,8,100.000,2,0.250000,0.500000,0.125000",
            "2,1,0.5,0.75,0.1,8,100.000,,0.250000,0.500000,0.125000"
        ]
    );
    assert_eq!(
        found["evaluations.csv"],
        [
            r#"step,epoch,time,loss,"recall of ""a,b""/..\n",top_5,best,better_than_start"#,
            "0,0,1,0.5,,,",
            "2,1,1,0.5,,true,true",
            "4,2,0.5,0.625,,false,true",
            "6,3,0.3333333333333333,0.75,,true,true"
        ]
    );
    let lines = &found["events.jsonl"];
    assert_eq!(lines.len(), 1 + course().len() + 1);
    let started = r#"{"event":"started","run":"flowers","total_steps":6,"epochs":3,"steps_per_epoch":2,"#;
    assert!(lines[0].starts_with(started), "{}", lines[0]);
    assert!(lines[2].starts_with(r#"{"event":"step","step":1,"epoch":1,"epochs":3,"loss":1.0,"mean_loss":1.5,"#));
    assert!(
        lines[lines.len() - 1].contains(r#""ending":"finished","stopped_early":null,"best":{"epoch":3,"loss":0.25}"#)
    );
    let events = &found["tensorboard"];
    for wanted in
        ["6 train/learning_rate 0.1", "3 train/gradient_norm 6", "0 evaluation/loss 1", "6 best/loss 0.33333334"]
    {
        assert!(events.iter().any(|event| event == wanted), "{wanted} in {events:?}");
    }
    assert!(!events.iter().any(|event| event.starts_with("4 best/") || event.starts_with("2 train/gradient_norm")));
    assert_eq!(found["metrics/best/loss"], ["1 2", "0.3333333333333333 6"]);
    assert_eq!(found["metrics/evaluation/recall of _a_b__.._"], ["0.5 0", "0.5 2", "0.625 4", "0.75 6"]);
    assert_eq!(found["params/training.schedule"], ["cosine"]);
}

#[test]
fn a_run_that_goes_on_says_how_long_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let mut logs = open(folder.path(), None);
    happen(Happening::Step(1), &mut logs);
    drop(logs);
    drop(open(folder.path(), Some(RunPlace { steps: 1, evaluated: false, epoch_ended: false })));
    let text = fs::read_to_string(folder.path().join("logs/events.jsonl")).unwrap();
    let resumed = r#"{"event":"resumed","step":1,"total_steps":6,"epochs":3,"steps_per_epoch":2,"#;
    assert!(text.lines().last().unwrap().starts_with(resumed), "{text}");
}

#[test]
fn killed_at_any_moment_and_resumed_nothing_is_missing_or_double() {
    let (course, wanted) = (course(), undisturbed());
    for killed in 0..=course.len() {
        for saved in 0..=killed {
            let place = place(&course, saved);
            // Without a checkpoint the run begins again.
            let goes_on_at = if place.is_some() { saved } else { 0 };
            if place.is_none() && saved > 0 {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let mut logs = open(folder.path(), None);
            course[..killed].iter().for_each(|happening| happen(*happening, &mut logs));
            if killed % 2 == 0 {
                // It was not killed but asked to end.
                end(&mut logs, "interrupted");
            } else {
                tear(folder.path());
            }
            drop(logs);
            // And once more before it makes a step.
            assert_eq!(open(folder.path(), place).take_warnings(), Vec::<String>::new(), "{killed}, {saved}");
            let mut logs = open(folder.path(), place);
            course[goes_on_at..].iter().for_each(|happening| happen(*happening, &mut logs));
            end(&mut logs, "finished");
            assert_eq!(contents(folder.path()), wanted, "killed after {killed}, saved after {saved}");
        }
    }
}

/// A part of a line is left at the end of every file, as of a machine that lost its power.
fn tear(folder: &Path) {
    let mut folders = vec![folder.join("logs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let whole = ["params", "tags", "artifacts"].iter().any(|name| path.ends_with(name));
            let grows = path.extension().is_none_or(|extension| extension != "yaml" && extension != "json");
            if path.is_dir() && !whole {
                folders.push(path);
            } else if path.is_file() && grows {
                let text = [fs::read(&path).unwrap(), b"17".to_vec()].concat();
                fs::write(path, text).unwrap();
            }
        }
    }
}

#[test]
fn a_log_that_lacks_steps_says_so_and_one_that_is_new_begins_where_the_run_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = RunPlace { steps: 4, evaluated: false, epoch_ended: false };
    let mut logs = open(folder.path(), Some(place));
    let warnings = logs.take_warnings();
    assert_eq!(warnings.len(), standard().rows().len());
    for warning in warnings {
        assert!(warning.contains("the log ends at step 0, and the run goes on behind step 4"), "{warning}");
    }
    happen(Happening::Step(5), &mut logs);
    let found = contents_of_steps(folder.path());
    assert_eq!(found, ["5"]);
}

fn contents_of_steps(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("logs/steps.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

#[test]
fn every_so_many_steps_are_written_where_that_is_asked_for() {
    for row in standard().rows() {
        for sample in row.samples {
            let choice = Choice::new(row.name, serde_json::from_str(sample).unwrap());
            let log = Log::choose(standard(), &choice, "output.logs").unwrap();
            let wanted = choice.options.get("every_steps").and_then(Value::as_u64).unwrap_or(1);
            assert_eq!(log.format().every_steps(), wanted, "{}", row.name);
            let again = Log::choose(standard(), log.choice(), "output.logs").unwrap();
            assert_eq!(again.choice(), log.choice());
        }
        assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
    }
    let folder = tempfile::tempdir().unwrap();
    let every = Log::choose(standard(), &Choice::new("csv", json!({"every_steps": 4})), "output.logs").unwrap();
    let run = LoggedRun {
        folder: folder.path().join("logs"),
        name: "a".into(),
        hyperparameters: Map::new(),
        recipe: String::new(),
        figures: Vec::new(),
        decides: FigureKind::loss(),
        goes_on: None,
    };
    let mut logs = Logs::open(&[every], run).unwrap();
    course().into_iter().for_each(|happening| happen(happening, &mut logs));
    assert_eq!(contents_of_steps(folder.path()), ["4"]);
    assert_eq!(fs::read_to_string(folder.path().join("logs/evaluations.csv")).unwrap().lines().count(), 5);
}

#[test]
#[cfg(unix)]
fn a_log_that_cannot_be_written_is_told_once_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut logs = open(folder.path(), None);
    happen(Happening::Step(1), &mut logs);
    // What MLflow's folder is needed for at each step is gone, and a file is in its way.
    let note: Value = serde_json::from_slice(&fs::read(folder.path().join("logs/mlflow.json")).unwrap()).unwrap();
    let metrics = folder.path().join("logs/mlruns/0").join(note["run_id"].as_str().unwrap()).join("metrics");
    fs::remove_dir_all(&metrics).unwrap();
    fs::write(&metrics, "").unwrap();
    happen(Happening::Step(2), &mut logs);
    happen(Happening::Step(3), &mut logs);
    let warnings = logs.take_warnings();
    assert_eq!((warnings.len(), logs.failures().len()), (1, 1), "{warnings:?}");
    assert!(
        warnings[0].contains("mlruns") && warnings[0].contains("nothing more is written to this log"),
        "{warnings:?}"
    );
    assert_eq!(contents_of_steps(folder.path()), ["1", "2", "3"]);
}
