//! The report and the metrics file of a run.

use crate::support::{batch, batches, classes, program};
use millstream_compiler::losses::PredictionKind;
use millstream_runtime::Device;
use millstream_schemas::Fingerprint;
use millstream_training::metrics::{Better, Cell, FigureKind, Record, Table, Unit};
use millstream_training::report::{About, BoxLook, Example, Page, ShownBox, WrongMask, WrongPicture, WrongRow};
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

#[test]
fn figures_of_another_set_than_the_evaluation_rows_are_called_after_it() {
    let usual = record("usual");
    let page = report::render("usual", std::slice::from_ref(&usual)).unwrap();
    for part in ["<th>accuracy</th>", "<th>loss on the evaluation rows</th>", "<th>evaluation rows</th>"] {
        assert!(page.contains(part), "{part}");
    }
    let by_night = RunRecord { evaluated_on: Some("night".into()), ..usual };
    let page = report::render("by night", std::slice::from_ref(&by_night)).unwrap();
    for part in ["<th>accuracy on night</th>", "<th>loss on night</th>", "<th>rows of night</th>"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<th>evaluation rows</th>"));
}

#[test]
fn runs_of_different_losses_and_rates_of_layers_are_told_and_eight_runs_have_dashes_of_their_own() {
    let plain = record("plain");
    let with = |title: &str, loss: &str| {
        let settings = vec![
            ("loss".to_owned(), loss.to_owned()),
            ("learning rate multipliers".to_owned(), r#"[{"match": "fc", "multiplier": 10}]"#.to_owned()),
        ];
        RunRecord { title: title.into(), settings, ..plain.clone() }
    };
    let page = report::render("Two", &[with("a", "\"mse\""), with("b", "\"focal\"")]).unwrap();
    let headings = ["Training loss, mse", "Training loss, focal", "Loss on the evaluation rows, focal"];
    assert!(headings.iter().all(|heading| page.contains(heading)), "losses that do not compare share an axis");
    assert!(page.contains("the base rate; layers with a multiple of it: a: fc (10 times); b: fc (10 times)"));
    let page = report::render("Same", &[with("a", "\"mse\""), with("b", "\"mse\"")]).unwrap();
    assert!(page.contains("Training loss") && !page.contains("Training loss, "));
    let eight: Vec<RunRecord> = (0..8).map(|run| with(&format!("run {run}"), "\"mse\"")).collect();
    let page = report::render("Eight", &eight).unwrap();
    for run in 0..8 {
        assert!(page.contains(&format!("class=\"curve s{run} d{run}\"")), "{run}");
    }
    let (figures, facts) = (page.find("<h3>Figures").unwrap(), page.find("<h3>Settings").unwrap());
    assert!(figures < facts && page.contains("<th>seconds in the graph</th>") && page.contains("<th>steps</th>"));
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
        ..About::default()
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
        "<b>&lt;i&gt;star</b> 5.0\u{a0}%",
        "<b>disc</b> 90.0\u{a0}%",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("EventSource"));
    let live = Page { title: "t", runs: &runs, is_live: true, ..Page::default() }.render().unwrap();
    assert!(live.contains("new EventSource(\"events\")") && live.matches("<script").count() == 1);
}

#[test]
fn the_page_draws_what_a_detector_missed_and_told_in_vain() {
    let one = |look, label: &str, bounds| ShownBox { look, label: label.into(), bounds };
    let about = [About {
        pictures: vec![WrongPicture {
            jpeg: vec![255, 216, 255],
            size: [320, 200],
            boxes: vec![
                one(BoxLook::There, "<i>cat", [10.0, 20.0, 110.5, 70.0]),
                one(BoxLook::Wrong, "dog 87 %", [0.0, 0.0, 32.0, 20.0]),
                one(BoxLook::Ignored, "a crowd of dog", [200.0, 0.0, 320.0, 20.0]),
            ],
            missed: 1,
            wrong: 2,
            row: "a.parquet, row group 0, row 3".into(),
        }],
        ..About::default()
    }];
    let page = Page { title: "t", runs: &[record("run")], about: &about, ..Page::default() }.render().unwrap();
    for part in [
        "viewBox=\"0 0 320 200\"",
        "href=\"data:image/jpeg;base64,/9j/\"",
        "<rect class=\"s2\" x=\"10.0\" y=\"20.0\" width=\"100.5\" height=\"50.0\"><title>&lt;i&gt;cat</title></rect>",
        "<rect class=\"s1 d6\" x=\"0.0\" y=\"0.0\" width=\"32.0\" height=\"20.0\"><title>dog 87 %</title></rect>",
        "<rect class=\"s6 d2\"",
        "<figcaption>1 box not found, 2 told in vain</figcaption>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[test]
fn the_page_shows_what_was_told_of_a_picture_beside_its_mask() {
    let mask = WrongMask {
        truth: vec![255, 216, 255],
        told: vec![255, 216, 254],
        wrong: 0.125,
        row: "a.parquet, row group 0, row 3".into(),
    };
    let mask_classes = vec![("<i>sky".into(), [86, 180, 233])];
    let about = [About { masks: vec![mask], mask_classes, ..About::default() }];
    let page = Page { title: "t", runs: &[record("run")], about: &about, ..Page::default() }.render().unwrap();
    for part in [
        "src=\"data:image/jpeg;base64,/9j/\"",
        "src=\"data:image/jpeg;base64,/9j+\"",
        "style=\"background: rgb(86 180 233)\"></i>&lt;i&gt;sky</b>",
        "12.5\u{a0}% of the places told as another class</figcaption>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    let without = Page { title: "t", runs: &[record("run")], ..Page::default() }.render().unwrap();
    assert!(!without.contains("told as another class"));
}

#[test]
fn shares_have_the_whole_axis_and_a_loss_says_where_its_own_begins() {
    let mut record = record("nearly");
    for at in &mut record.history.evaluations {
        at.figures.figures.set("accuracy", Some(0.4));
        at.figures.loss = 3.5;
    }
    let start = record.history.start.as_mut().unwrap();
    start.figures.set("accuracy", Some(0.42));
    start.loss = 3.6;
    let page = report::render("Shares", &[record]).unwrap();
    let chart = |title: &str| {
        let from = page.find(&format!("<h3>{title}</h3>")).unwrap();
        &page[from..from + page[from..].find("</section>").unwrap()]
    };
    for title in ["Accuracy on the evaluation rows", "Share of the time spent waiting for rows"] {
        assert!(chart(title).contains(">0 %</text>") && chart(title).contains(">100 %</text>"), "{}", chart(title));
    }
    assert!(chart("Rows a second").contains(">0</text>") && chart("Learning rate").contains("\">0."));
    let loss = chart("Loss on the evaluation rows");
    assert!(loss.contains("<p class=\"legend\">the axis begins at 3.50, not at 0</p>"), "{loss}");
}

#[test]
fn every_figure_that_evaluations_have_is_drawn_what_decides_first_and_on_its_own_axis() {
    let mut record = record("run");
    let kind = |name: &str, better, unit| FigureKind { name: name.into(), better, unit, of_constant_answer: false };
    record.history.figures.extend([
        kind("mean_iou", Better::Higher, Unit::Share),
        kind("mae", Better::Lower, Unit::Number),
        kind("never_measured", Better::Lower, Unit::Number),
    ]);
    for (at, evaluated) in record.history.evaluations.iter_mut().enumerate() {
        evaluated.figures.figures.set("mean_iou", Some(0.25 + 0.01 * at as f64));
        evaluated.figures.figures.set("mae", Some(7.5 - at as f64));
    }
    let page = report::render("Figures", &[record]).unwrap();
    let titles = ["Accuracy", "Loss", "Mean-iou", "Mae"].map(|name| format!("<h3>{name} on the evaluation rows</h3>"));
    let places: Vec<usize> = titles.iter().map(|title| page.find(title).unwrap_or_else(|| panic!("{title}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(titles.iter().all(|title| page.matches(title.as_str()).count() == 1));
    let mean_iou = &page[places[2]..places[2] + page[places[2]..].find("</section>").unwrap()];
    assert!(mean_iou.contains(">0 %</text>") && mean_iou.contains(">100 %</text>"), "{mean_iou}");
    assert!(!page.contains("Never-measured"), "there is nothing to draw of it");
}

#[test]
fn names_and_numbers_of_tables_stay_in_one_line_and_only_paths_and_hashes_are_broken() {
    let mut record = record("run");
    record.settings = vec![
        ("transforms in training".into(), "{\"resize\":{\"size\":64}}, \"horizontal_flip\"".into()),
        ("model".into(), format!("/models/{}.onnx", "deep/".repeat(12))),
        ("optimizer".into(), "{\"adamw\":{\"epsilon\":1e-8,\"name\":\"<i>\"}}".into()),
    ];
    let page = report::render("Tables", &[record]).unwrap();
    assert!(page.contains("{epsilon: <span class=\"whole\">1e-8</span>, name: &quot;&lt;i&gt;&quot;}"), "{page}");
    let style = &page[..page.find("</style>").unwrap()];
    let rule = |selector: &str| {
        let from = style.find(&format!("{selector} {{")).unwrap_or_else(|| panic!("no rule for {selector}"));
        &style[from..from + style[from..].find('}').unwrap()]
    };
    assert!(rule("th, td").contains("white-space: nowrap"));
    for selector in ["th, td", "h1, h2", "figure", ".facts td"] {
        assert!(!rule(selector).contains("anywhere"), "{selector}");
    }
    for part in ["<td>- resize: {size: 64}\n- horizontal_flip</td>", "<td class=\"loose\">&#x2f;models&#x2f;deep"] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(page.matches("<div class=\"wide\"").count() >= 2, "wide tables scroll by themselves");
}

#[test]
fn figures_stand_above_the_charts_and_long_names_do_not_push_them_off_the_edge() {
    for titles in [vec!["one"], vec!["one", "two"]] {
        let runs: Vec<RunRecord> = titles.iter().map(|title| record(title)).collect();
        let page = report::render("Order", &runs).unwrap();
        let at = |part: &str| page.rfind(part).unwrap_or_else(|| panic!("{part} is missing"));
        assert!(
            at("<h3>Figures") < at("<div class=\"grid charts\">")
                && at("<div class=\"grid charts\">") < at("Per class")
        );
        assert_eq!(page.matches("<h3>Figures").count(), titles.len());
        assert!(page.contains("<table class=\"lines\">"));
        let style = &page[..page.find("</style>").unwrap()];
        assert!(
            style.contains(".lines td { white-space: normal; } .lines td:not(.number) { overflow-wrap: anywhere;"),
            "{style}"
        );
    }
}

#[test]
fn many_classes_are_named_on_both_axes_and_what_is_confused_most_is_listed() {
    let mut record = record("many");
    let names: Vec<String> = (0..36).map(|index| format!("class {index:02}")).collect();
    let count = |row: usize, column: usize| match column {
        7 if row == 0 => 5,
        _ => u64::from(row == column || column == 7),
    };
    let counts: Vec<Vec<u64>> = (0..36).map(|row| (0..36).map(|column| count(row, column)).collect()).collect();
    for (_, table) in &mut record.evaluation.as_mut().unwrap().tables {
        if let Table::Matrix(matrix) = table {
            *matrix = counts.clone();
        }
    }
    record.classes = names.clone();
    let page = report::render("Many", &[record]).unwrap();
    for name in &names {
        assert_eq!(page.matches(&format!(">{name}<title>{name}</title></text>")).count(), 2, "{name}");
    }
    let from = page.find("<h3>Largest confusions</h3>").unwrap();
    let list = &page[from..from + page[from..].find("</section>").unwrap()];
    assert_eq!(list.matches("<td>class 07</td>").count(), 15, "{list}");
    assert!(list.contains("<tr><td>class 00</td><td>class 07</td><td class=\"number\">5</td>"), "{list}");
}

#[test]
fn what_is_folded_is_unfolded_for_print() {
    let record = record("run");
    let about = [About { recipe: Some("version: 1\n".into()), ..About::default() }];
    let page = Page { title: "t", runs: &[record], about: &about, ..Page::default() }.render().unwrap();
    assert!(page.contains("<details") && page.contains("addEventListener(\"beforeprint\""));
    let print = &page[page.find("@media print").unwrap()..page.find("</style>").unwrap()];
    assert!(print.contains("details::details-content { content-visibility: visible;"), "{print}");
}

#[test]
fn letters_of_charts_are_legible_in_print() {
    let page = report::render("Print", &[record("run")]).unwrap();
    let print = &page[page.find("@media print").unwrap()..page.find("</style>").unwrap()];
    let number = |text: &str, before: &str| -> f64 {
        let rest = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {text}")).1;
        rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    // two panels beside each other on A4 within margins of 10 mm, less the gap between them, their padding and their borders
    assert!(print.contains(".grid { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }"), "{print}");
    let sheet = 190.0 / 25.4 * 96.0;
    let chart = (sheet - number(&page, ".grid { display: grid; gap: ")) / 2.0 - 2.0 * 16.0 - 2.0;
    let drawn = number(&page, "<svg data-chart viewBox=\"0 0 ");
    let letters = number(print, ".chart svg text { font-size: ") * chart / drawn;
    assert!(letters >= 9.0, "letters of {letters:.1} pixels on a chart of {chart:.0}");
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
    assert!(page.contains("<td>&gt;99.9\u{a0}% (95\u{a0}% interval ") && page.contains("<td>1.230e-5</td>"));
}

#[test]
fn more_runs_than_colours_can_be_told_apart() {
    let runs: Vec<RunRecord> = (0..8).map(|index| record(&format!("run {index}"))).collect();
    let page = report::render("Eight", &runs).unwrap();
    let ways = page.match_indices("curve s").map(|(at, _)| page[at..].split(['"', '>']).next().unwrap_or_default());
    let ways: std::collections::BTreeSet<&str> = ways.collect();
    assert_eq!(ways.len(), 8, "{ways:?}");
}
