//! What is said of a search to people who were not there: of which rows and model its trials are, by which bounds, and how it is made again.

use serde_json::Value;

use crate::dataset;
use crate::public_validators::assert_taken;
use crate::running::Running;
use crate::search::{OPEN, arguments, outcome, status};
use crate::workplace::{Ran, Workplace, has_runtime, text};

/// Two rates, one epoch.
const TWO: [&str; 4] = [
    "training.optimizer={adamw: {learning_rate: {choose: [0.003, 0.01]}}}",
    "search={objective: accuracy, proposer: grid, trials: 2}",
    "training.epochs=1",
    "output.folder=study",
];

fn card(place: &Workplace, study: &str) -> String {
    place.run(&["document", study]).done();
    String::from_utf8(place.read(&format!("{study}/documents/README.md"))).unwrap()
}

fn ledger(place: &Workplace, study: &str) -> Value {
    serde_json::from_slice(&place.read(&format!("{study}/documents/ledger.json"))).unwrap()
}

#[test]
fn evaluation_rows_that_are_others_in_the_middle_of_a_study_are_refused_until_they_are_put_back() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut first = arguments("run", &TWO);
    first.extend(["--trials", "1"]);
    place.run(&first).done();
    let (then, others) = (place.read("test.parquet"), place.read("train-0.parquet"));
    std::fs::write(place.path("test.parquet"), others).unwrap();
    let wanted = ["trial 1 of the study in", "`data.evaluate` holds something else now", "search resume", "search run"];
    let said = place.run(&["search", "resume", "study"]).failed_with(&wanted);
    assert!(said.contains("1 file of 18 rows") && said.contains("1 file of 24 rows"), "{said}");
    place.run(&["search", "worker", "study"]).failed_with(&wanted);
    assert_eq!(status(&place, "study")["trials"][1]["state"], "waiting", "nothing is ranked that cannot be compared");
    std::fs::write(place.path("test.parquet"), then).unwrap();
    place.run(&["search", "resume", "study"]).done();
    let whole = [&TWO[..], &["output.folder=whole"]].concat();
    place.run(&arguments("run", &whole)).done();
    assert_eq!(outcome(&status(&place, "study")), outcome(&status(&place, "whole")));
    assert!(card(&place, "study").contains("test.parquet, 18 rows\n"));
    // a study that was begun by a build that did not look, with trials of other rows, says so
    let note: Value = serde_json::from_slice(&place.read("study/study.json")).unwrap();
    let mut older = note.clone();
    older.as_object_mut().unwrap().remove("first_fingerprints").expect("a study holds its trials against the first");
    place.write("study/study.json", &older.to_string());
    let fingerprints = String::from_utf8(place.read("study/trials/0001/fingerprints.json")).unwrap();
    let of_rows: Value = serde_json::from_str(&fingerprints).unwrap();
    let changed =
        fingerprints.replace(of_rows["data.evaluate"].as_str().unwrap(), of_rows["data.train"].as_str().unwrap());
    place.write("study/trials/0001/fingerprints.json", &changed);
    let told = place.run(&["search", "status", "study"]).done();
    assert!(told.replace('\n', " ").contains("trial 1 is of other evaluation rows"), "{told}");
    assert!(card(&place, "study").contains("trial 1 is of other evaluation rows"));
    assert_eq!(ledger(&place, "study")["study"]["about"]["differences"][0]["trials"], serde_json::json!([1]));
}

#[test]
fn the_card_of_a_study_says_of_the_set_that_decides_that_trials_were_measured_on_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    dataset::write(&place.path("night.parquet"), &dataset::rows(300, 30));
    let by_night = "evaluation={sets: {night: night.parquet}, best_on: night}";
    place.run(&arguments("run", &[&TWO[..], &[by_night]].concat())).done();
    let told = card(&place, "study");
    assert_taken(&[place.path("study")], |read| {
        assert!(read[0]["card"]["tags"].to_string().contains("hyperparameter-search"), "{read:?}");
    });
    for part in ["the 30 rows of the split night", "night.parquet (the set night), 30 rows\n"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert!(!told.contains("no usable target"), "{told}");
    let best = status(&place, "study")["best"].as_u64().unwrap();
    let told = card(&place, &format!("study/trials/{best:04}"));
    assert!(told.contains("on the same rows, those of the split night"), "{told}");
    // where some of them are drawn, the others are not said to have no target
    let drawn = ["output.folder=drawn", by_night, "evaluation.rows=16"];
    place.run(&arguments("run", &[&TWO[..], &drawn].concat())).done();
    let told = card(&place, "drawn");
    assert!(told.contains("16 of the 30 rows of the split night: the others were not drawn"), "{told}");
}

#[test]
fn evaluation_rows_that_are_replaced_between_the_trials_of_one_process_are_not_ranked_with_the_others() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut rows = dataset::rows(100, 18);
    rows.iter_mut().for_each(|row| row.label = (row.label + 1) % 3);
    dataset::write(&place.path("others.parquet"), &rows);
    let (then, others) = (place.read("test.parquet"), place.read("others.parquet"));
    assert_eq!(then.len(), others.len(), "the labels alone are others");
    let mut line = arguments("run", &OPEN);
    line.push("--json");
    let mut running = Running::start(&place, &line);
    running.until("\"trial_ended\"");
    std::fs::rename(place.path("others.parquet"), place.path("test.parquet")).unwrap();
    running.ended().failed_with(&["of the study in", "`data.evaluate` holds something else now"]);
    let left = status(&place, "study");
    let states: Vec<&str> =
        left["trials"].as_array().unwrap().iter().map(|trial| trial["state"].as_str().unwrap()).collect();
    assert!(states[0] == "complete" && !states.contains(&"failed") && states.contains(&"waiting"), "{states:?}");
    // put back, the trial that was under way begins anew, and all are as if nothing had been
    std::fs::write(place.path("test.parquet"), then).unwrap();
    place.run(&["search", "resume", "study"]).done();
    let whole: Vec<&str> = OPEN
        .iter()
        .map(|change| if *change == "output.folder=study" { "output.folder=whole" } else { *change })
        .collect();
    place.run(&arguments("run", &whole)).done();
    let values = |study: &str| -> Vec<Value> {
        let study = status(&place, study);
        study["trials"].as_array().unwrap().iter().map(|trial| trial["values"].clone()).collect()
    };
    assert_eq!(values("study"), values("whole"));
}

#[test]
fn a_study_whose_recipe_names_environment_variables_is_read_and_made_again_without_them() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let with = |value: &str, line: &[&str]| -> Ran {
        let mut command = place.command(line);
        command.env("MILLSTREAM_ROWS", value);
        Ran::of(command.output().expect("the binary starts"))
    };
    let rows = text(&place.path("")).trim_end_matches('/').to_owned();
    let changes = [
        &TWO[..],
        &["data.train=${MILLSTREAM_ROWS}/train-*.parquet"],
        &["data.evaluate=${MILLSTREAM_ROWS}/test.parquet"],
    ];
    let changes = changes.concat();
    let mut first = arguments("run", &changes);
    first.extend(["--trials", "1"]);
    with(&rows, &first).done();
    for line in [["search", "status", "study"].as_slice(), &["search", "best", "study"], &["document", "study"]] {
        place.run(line).done();
    }
    let listed = place.run(&["runs", "."]).done();
    assert!(listed.contains("(search") && !listed.contains("left out"), "{listed}");
    let card = card(&place, "study");
    assert!(card.contains("Its paths name environment variables, which were `MILLSTREAM_ROWS` `/"), "{card}");
    assert_eq!(ledger(&place, "study")["variables"]["MILLSTREAM_ROWS"], rows.as_str());
    // another folder with other rows is told, and refused; with the same rows it is as good
    for (folder, test) in [("others", "train-0.parquet"), ("same", "test.parquet")] {
        std::fs::create_dir(place.path(folder)).unwrap();
        for (from, to) in
            [("train-0.parquet", "train-0.parquet"), ("train-1.parquet", "train-1.parquet"), (test, "test.parquet")]
        {
            std::fs::copy(place.path(from), place.path(&format!("{folder}/{to}"))).unwrap();
        }
    }
    let resume = ["search", "resume", "study"];
    let said = with(&format!("{rows}/others"), &resume).failed_with(&["`data.evaluate` holds something else now"]);
    assert!(said.contains("`MILLSTREAM_ROWS` is") && said.contains("when the study began"), "{said}");
    with(&format!("{rows}/same"), &resume).done();
    with(&format!("{rows}/same"), &["search", "best", "study", "--refit"]).done();
    let refit = String::from_utf8(place.read("study/refit/recipe.yaml")).unwrap();
    assert!(refit.contains("same/train-0.parquet"), "{refit}");
    place.run(&["search", "run", "study", "-o", "again"]).done();
    assert_eq!(outcome(&status(&place, "again")), outcome(&status(&place, "study")));
}

#[test]
fn a_cross_validated_study_names_the_files_that_its_folds_were_made_of_with_their_hashes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let search = "search={objective: accuracy, proposer: grid, trials: 2, folds: {count: 3}}";
    let changes = [TWO[0], search, TWO[2], TWO[3]];
    place.run(&arguments("run", &changes)).done();
    let card = card(&place, "study");
    let found = ledger(&place, "study")["fold_sources"].clone();
    let files = found.as_array().unwrap();
    assert_eq!((files.len(), &files[0]["rows"]), (2, &24.into()), "{found}");
    for file in files {
        let hash = millstream::schemas::files::sha256_of_file(file["path"].as_str().unwrap().as_ref()).unwrap();
        assert_eq!(file["sha256"], hash.as_str());
        assert!(card.contains(&hash), "{card}");
    }
    assert!(card.contains("is chance is not told: each is the mean of 3 runs"), "{card}");
    for trial in status(&place, "study")["trials"].as_array().unwrap() {
        // there is none where all folds gave the same
        let is_share = |interval: &Value| interval[0].as_f64().unwrap() >= 0.0 && interval[1].as_f64().unwrap() <= 1.0;
        assert!(trial["interval"].is_null() || is_share(&trial["interval"]), "{trial}");
    }
}

#[test]
fn a_card_does_not_say_that_the_winner_was_trained_on_all_rows_where_another_trial_was() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&arguments("run", &TWO)).done();
    place.run(&["search", "best", "study", "--refit"]).done();
    let before = card(&place, "study");
    assert!(ledger(&place, "study")["winner"]["refit"].is_string(), "{before}");
    assert!(before.contains("Trained again on all rows") && !before.contains("and the best one is now"), "{before}");
    // as if the other one had been the best then
    let best = status(&place, "study")["best"].as_u64().unwrap();
    let recipe = String::from_utf8(place.read("study/refit/recipe.yaml")).unwrap();
    let [own, other] = if best == 0 { ["0.003", "0.01"] } else { ["0.01", "0.003"] };
    let [own, other] = [own, other].map(|rate| format!("learning_rate: {rate}\n"));
    assert!(recipe.contains(&own), "{recipe}");
    place.write("study/refit/recipe.yaml", &recipe.replace(&own, &other));
    let after = card(&place, "study");
    assert!(ledger(&place, "study")["winner"]["refit"].is_null(), "{after}");
    assert!(
        after.contains(&format!("has the values of trial {}, and the best one is now trial {best}", 1 - best)),
        "{after}"
    );
    assert!(!after.contains("Trained again on all rows"), "{after}");
}

#[test]
fn a_refit_of_a_trial_that_is_not_the_best_any_more_is_replaced_once_it_is_moved_away() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&arguments("run", &TWO)).done();
    let refit = ["search", "best", "study", "--refit"];
    place.run(&refit).done();
    let first = place.read("study/refit/model.onnx");
    // what is done stays
    place.run(&refit).done();
    assert!(place.read("study/refit/model.onnx") == first);
    // as if the other one had been the best then
    let best = status(&place, "study")["best"].as_u64().unwrap();
    let recipe = String::from_utf8(place.read("study/refit/recipe.yaml")).unwrap();
    let [own, other] = if best == 0 { ["0.003", "0.01"] } else { ["0.01", "0.003"] };
    let [own, other] = [own, other].map(|rate| format!("learning_rate: {rate}\n"));
    assert!(recipe.contains(&own), "{recipe}");
    place.write("study/refit/recipe.yaml", &recipe.replace(&own, &other));
    let of_trial = format!("than trial {best}, the best one now");
    let wanted = [of_trial.as_str(), "learning_rate", "move it away", "search best "];
    let said = place.run(&refit).failed_with(&wanted);
    assert!(!said.contains("--overwrite") && !said.contains("cannot resume"), "{said}");
    std::fs::rename(place.path("study/refit"), place.path("refit-of-before")).unwrap();
    place.run(&refit).done();
    assert!(place.read("study/refit/model.onnx") == first, "the models differ");
}

#[test]
fn constraints_trials_out_of_bounds_and_those_that_no_other_beats_are_told_everywhere() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = [
        "model.train={choose: [head, all]}",
        "search={objective: [accuracy, parameters], proposer: grid, trials: 2, constraints: [{figure: parameters, at_most: 100}]}",
        TWO[2],
        TWO[3],
    ];
    place.run(&arguments("run", &changes)).done();
    let study = status(&place, "study");
    let broken: Vec<bool> =
        study["trials"].as_array().unwrap().iter().map(|trial| trial["violation"].as_f64().unwrap() > 0.0).collect();
    let (card, told) = (card(&place, "study"), place.run(&["search", "status", "study"]).done());
    let page = String::from_utf8(place.read("study/search.html")).unwrap();
    assert_eq!(broken, [false, true], "{study}");
    assert!(card.contains("- **Constraints:** parameters at most 100"), "{card}");
    assert!(card.contains("| 1 | out of bounds (parameters ") && card.contains("| 0 | complete |"), "{card}");
    assert!(card.contains("- **No other trial beats in all figures:** 0"), "{card}");
    // what decided beside what was measured
    let winner = &card[card.find("## The winner").unwrap()..card.find("## Trials").unwrap()];
    assert!(winner.contains("The figures by which it was chosen:") && winner.contains("\n| parameters | "), "{card}");
    assert!(card[..card.find("\n# ").unwrap()].contains("parameters"), "{card}");
    assert!(page.contains("<td>out of bounds (parameters ") && page.contains("parameters at most 100"), "{page}");
    // a narrow column has it in two lines
    let is_told = ["best: trial 0", "out of bounds", "(parameters "].iter().all(|part| told.contains(part));
    assert!(is_told, "{told}");
    assert!(told.contains("constraints: parameters at most 100"), "{told}");
}

#[test]
fn a_search_of_which_no_trial_is_complete_ends_with_exit_code_1_and_counts_the_reasons() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let diverges = [
        "training.optimizer={choose: [{sgd: {learning_rate: 1.0e+30}}, {sgd: {learning_rate: 1.0e+31}}]}",
        "search={objective: loss, proposer: grid, trials: 2}",
        "output.folder=study",
    ];
    let ran = place.run(&arguments("run", &diverges));
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("2 failed") && ran.stdout.contains("no trial is complete"), "{}", ran.stdout);
    assert_eq!(place.run(&["search", "resume", "study"]).code, Some(1));
    place.run(&["search", "status", "study"]).done();
    let one_diverges = [
        "training.optimizer={choose: [{sgd: {learning_rate: 1.0e+30}}, {sgd: {learning_rate: 0.01}}]}",
        "search={objective: loss, proposer: grid, trials: 2}",
        "output.folder=other",
    ];
    place.run(&arguments("run", &one_diverges)).done();
    let card = card(&place, "other");
    assert!(!card.contains("every trial was trained to its end"), "{card}");
}

#[test]
fn two_parameters_by_one_name_are_told_apart_where_trials_are_listed() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let rates = [OPEN[0], "search={objective: [accuracy, seconds], proposer: nsga_ii, trials: 4}", TWO[2], TWO[3]];
    let ran = place.run(&arguments("run", &rates));
    assert!(ran.stderr.contains(".learning_rate="), "{}", ran.stderr);
    ran.done();
    let card = card(&place, "study");
    assert!(card.contains(r"adamw.learning\_rate 0.") || card.contains(r"sgd.learning\_rate 0."), "{card}");
    assert!(card.contains("unless nsga_ii has learned from `seconds`"), "{card}");
    let page = String::from_utf8(place.read("study/search.html")).unwrap();
    for name in [">adamw.learning_rate</text>", ">sgd.learning_rate</text>", ">seconds</text>"] {
        assert!(page.contains(name), "{name}: {page}");
    }
}

#[test]
fn the_winner_is_told_to_its_end_and_lines_of_trials_that_begin_alike_differ() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let list = |size: u32| {
        let resized = [40, 36, 32, size, 16].map(|size| format!("{{resize: {{size: {size}}}}}"));
        format!("[{}]", resized.join(", "))
    };
    let alike = format!("transforms.train={{choose: [{}, {}]}}", list(28), list(24));
    let changes = ["search={objective: loss, proposer: grid, trials: 2}", TWO[2], TWO[3], &alike];
    let ran = place.run(&arguments("run", &changes));
    for part in ["size: 28", "size: 24"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    ran.done();
    let best = status(&place, "study")["best"].as_u64().unwrap();
    let wanted = list(if best == 0 { 28 } else { 24 });
    let told = place.run(&["search", "status", "study"]).done();
    assert!(told.contains(&format!("transforms.train: {wanted}\n")), "{told}");
    let (card, page) = (card(&place, "study"), String::from_utf8(place.read("study/search.html")).unwrap());
    assert!(card.contains(&format!("| `transforms.train` | `{wanted}` |")), "{card}");
    assert!(page.contains(&format!("transforms.train {wanted}</b>")), "{page}");
}

#[test]
fn the_reason_of_a_failed_trial_is_told_to_its_end_wherever_it_is_told() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let one_diverges = [
        "training.optimizer={choose: [{sgd: {learning_rate: 1.0e+30}}, {sgd: {learning_rate: 0.01}}]}",
        "search={objective: loss, proposer: grid, trials: 2}",
        "output.folder=study",
    ];
    let ran = place.run(&arguments("run", &one_diverges));
    let study = status(&place, "study");
    let mut reasons = study["trials"].as_array().unwrap().iter().filter_map(|trial| trial["reason"].as_str());
    let reason = reasons.next().unwrap();
    assert!(reason.chars().count() > 140, "what was cut had no end to lose: {reason}");
    // letters of it that neither JSON nor a page writes otherwise
    let end: String = reason.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
    let told = place.run(&["search", "status", "study"]).done();
    let file = |name: &str| String::from_utf8(place.read(&format!("study/{name}"))).unwrap();
    for (what, text) in [
        ("progress", &ran.stderr),
        ("summary", &ran.stdout),
        ("status", &told),
        ("page", &file("search.html")),
        ("journal", &file("journal.jsonl")),
    ] {
        assert!(text.contains(&end), "the {what} has no `{end}`: {text}");
    }
}

#[test]
fn a_study_of_repeats_alone_says_of_which_seeds_its_trial_is() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let repeats = ["search={objective: accuracy, repeats: 2}", "training.epochs=1", "output.folder=study", "seed=7"];
    let ran = place.run(&arguments("run", &repeats));
    assert!(ran.stderr.contains("nothing left open; 1 trial"), "{}", ran.stderr);
    assert!(ran.stderr.contains("trial 0: 2 runs, seeds 7 to 8\n"), "{}", ran.stderr);
    let told = ran.done();
    assert!(told.contains("2 runs, seeds 7 to 8"), "{told}");
    assert_eq!(status(&place, "study")["trial_runs"][1], serde_json::json!({"name": "seed-2", "seed": 8}));
    let card = card(&place, "study");
    assert!(card.contains("- **Space:** nothing left open") && card.contains("| 2 runs, seeds 7 to 8 |"), "{card}");
    let page = String::from_utf8(place.read("study/search.html")).unwrap();
    assert!(page.contains("nothing left open"), "{page}");
    // a trial of several runs is no run itself
    place.run(&["reproduce", "study"]).failed_with(&["is a study", "`millstream reproduce study/trials/0000/seed-1`"]);
    place.run(&["compare", "study", "study"]).failed_with(&["is a search and no run", "study/trials/0000/seed-1"]);
}
