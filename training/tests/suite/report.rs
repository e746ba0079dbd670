//! The report and the metrics file of a run.

use crate::support::{batch, batches, classes, program};
use millstream_compiler::losses::PredictionKind;
use millstream_runtime::Device;
use millstream_schemas::Fingerprint;
use millstream_training::metrics::{Cell, Record, Table};
use millstream_training::report::{About, Example, Page, WrongRow};
use millstream_training::schedules::Schedule;
use millstream_training::{
    BatchSource, BoxError, Event, LoopSettings, MetricSet, RunRecord, StepSettings, Trainer, TrainerSettings, report,
};

fn record(title: &str) -> RunRecord {
    let settings = TrainerSettings {
        step: StepSettings::default(),
        schedule: Schedule::default(),
        epochs: 3,
        batches_per_epoch: 30,
        accumulate: 1,
        early_stopping: None,
        loop_settings: LoopSettings::default(),
        classes: classes(),
        metrics: MetricSet::usual(PredictionKind::ClassScores),
        checkpoints: None,
        fingerprint: Fingerprint::default(),
    };
    let device = Device::cpu(millstream_runtime::ready(None).unwrap());
    let mut trainer = Trainer::open(&program(), &device, settings).unwrap();
    let mut evaluation = || -> Result<Box<dyn BatchSource>, BoxError> {
        Ok(Box::new((0..4).map(|index| Ok::<_, BoxError>(batch(50, index, 4)))))
    };
    trainer.run(&mut batches(3, 30, None), Some(&mut evaluation), &mut |_: &Event<'_>| {}, &|| false).unwrap();
    RunRecord {
        version: RunRecord::VERSION,
        title: title.to_owned(),
        ending: "finished".into(),
        device: device.to_string(),
        classes: classes(),
        settings: vec![("optimizer".into(), "adamw <b>".into())],
        evaluation: trainer.history().best_evaluation().cloned(),
        history: trainer.history().clone(),
        ..RunRecord::default()
    }
}

/// What was found of each class.
fn records(record: &mut RunRecord) -> &mut Vec<Record> {
    let tables = &mut record.evaluation.as_mut().unwrap().tables;
    let records = |(_, table): &'_ mut (String, Table)| match table {
        Table::Classes(_) => true,
        Table::Matrix(_) => false,
    };
    let at = tables.iter_mut().position(records).unwrap();
    let Table::Classes(records) = &mut tables[at].1 else { unreachable!("it was looked for") };
    records
}

#[test]
fn the_page_is_self_contained_and_escapes_what_is_put_into_it() {
    let runs = [record("plain"), record("<script>alert(1)</script>")];
    let page = report::render("Two runs", &runs).unwrap();
    assert!(page.matches("<script").count() == 1 && page.contains("&lt;script"));
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for part in [
        "Training loss",
        "Accuracy on the evaluation rows",
        "Learning rate",
        "Confusion matrix",
        "star",
        "adamw &lt;b&gt;",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("NaN") && page.matches("<path").count() >= 8);
}

#[test]
fn the_page_says_how_a_run_came_about_and_what_it_was_wrong_about() {
    let record = record("run");
    let pace = record.history.pace.so_far();
    let rows: u64 = record.history.epochs.iter().map(|epoch| epoch.rows).sum();
    assert_eq!((pace.len(), pace.iter().map(|point| point.rows).sum::<u64>()), (90, rows));
    let evaluation = record.evaluation.as_ref().unwrap();
    let wrong = evaluation.rows - (evaluation.figure("accuracy").unwrap() * evaluation.rows as f64).round() as u64;
    assert_eq!(evaluation.mistakes.len() as u64, wrong.min(24));
    let wrong_row = |example| WrongRow {
        example,
        truth: "<i>star".into(),
        predicted: "disc".into(),
        probability: 0.9,
        probability_of_truth: 0.05,
        row: "a.parquet, row group 0, row 3".into(),
    };
    let about = [About {
        facts: vec![("host".into(), "<b>here".into())],
        recipe: Some("version: 1\ndata:\n  train: </pre>\n".into()),
        mistakes: vec![wrong_row(Example::Jpeg(vec![255, 216, 255])), wrong_row(Example::Text("a <u>text".into()))],
    }];
    let runs = [record];
    let page = Page { title: "t", runs: &runs, about: &about, ..Page::default() }.render().unwrap();
    for part in [
        "Rows a second",
        "Share of the time spent waiting for rows",
        "&lt;b&gt;here",
        "  train: &lt;&#x2f;pre&gt;",
        "src=\"data:image/jpeg;base64,/9j/\"",
        "a &lt;u&gt;text",
        "<b>&lt;i&gt;star</b> 5.0 %",
        "<b>disc</b> 90.0 %",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("EventSource"));
    let live = Page { title: "t", runs: &runs, is_live: true, ..Page::default() }.render().unwrap();
    assert!(live.contains("new EventSource(\"events\")") && live.matches("<script").count() == 1);
}

#[test]
fn a_record_without_a_step_still_has_a_page() {
    let empty = RunRecord { title: "nothing happened".into(), ..RunRecord::default() };
    assert!(report::render("Empty", &[empty]).unwrap().contains("nothing happened"));
    assert!(report::render("None", &[]).unwrap().contains("None"));
}

#[test]
fn a_record_that_names_fewer_classes_than_it_counts_has_a_page_without_a_matrix() {
    let mut record = record("plain");
    record.classes.pop();
    let page = report::render("Fewer classes", &[record]).unwrap();
    assert!(page.contains("square") && !page.contains("Confusion matrix"));
}

#[test]
fn metrics_are_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/metrics.json");
    let written = record("plain");
    written.write(&path).unwrap();
    let read: RunRecord = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(read, written);
}

#[test]
fn foreign_text_on_the_page_is_escaped_once_and_cut_and_the_record_keeps_it() {
    let name = format!("<script>\u{202e}\u{1b}[31m&amp;{}", "x".repeat(500));
    let mut record = record(&name);
    record.notes = vec![name.clone()];
    record.settings = vec![(name.clone(), name.clone())];
    record.classes[0] = name.clone();
    records(&mut record)[0].0[0].1 = Cell::Text(name.clone());
    let page = report::render(&name, std::slice::from_ref(&record)).unwrap();
    let wanted = "&lt;script&gt;\\u{202e}\\u{1b}[31m&amp;amp;xxx";
    // The title of the window and of the page, the legend, the run's heading and so on.
    assert!(page.matches(wanted).count() >= 7, "{}", page.matches(wanted).count());
    assert!(!page.contains(['\u{1b}', '\u{202e}']) && page.matches("<script").count() == 1);
    assert!(!page.contains(&"x".repeat(501)));
    assert_eq!(record.title, name);
}

#[test]
fn what_is_left_out_of_the_page_is_said() {
    let mut record = record("many classes");
    let class = records(&mut record)[0].clone();
    *records(&mut record) = vec![class; 5000];
    record.classes = vec!["x".into(); 5000];
    record.history.evaluations[1].figures.loss = f64::NAN;
    let page = report::render("Left out", &[record]).unwrap();
    assert!(page.contains("5,000 classes are too many to draw a confusion matrix of; metrics.json has it"));
    assert!(page.contains("1 of 4 values is not a finite number and is not drawn"));
}

#[test]
fn shares_on_the_page_are_not_rounded_to_all_or_nothing() {
    let mut record = record("nearly");
    let evaluation = record.evaluation.as_mut().unwrap();
    evaluation.figures.set("accuracy", Some(0.9996));
    evaluation.loss = 0.000_012_3;
    let page = report::render("Nearly", &[record]).unwrap();
    assert!(page.contains("<td>&gt;99.9 % (95 % interval ") && page.contains("<td>1.230e-5</td>"));
}

#[test]
fn more_runs_than_colours_can_be_told_apart() {
    let runs: Vec<RunRecord> = (0..8).map(|index| record(&format!("run {index}"))).collect();
    let page = report::render("Eight", &runs).unwrap();
    let ways = page.match_indices("curve s").map(|(at, _)| page[at..].split(['"', '>']).next().unwrap_or_default());
    let ways: std::collections::BTreeSet<&str> = ways.collect();
    assert_eq!(ways.len(), 8, "{ways:?}");
}
