//! Searches that cannot begin or of which nothing comes, and studies that are run again.

use crate::dataset;
use crate::search::{OPEN, arguments, outcome, status};
use crate::workplace::{Workplace, has_runtime};

#[test]
fn check_refuses_a_search_that_cannot_begin_as_the_search_itself_does() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (search, wanted) in [
        (
            "search={objective: [accuracy, seconds], stopping: median}",
            ["search.stopping: ", "name one in `search.objective`"],
        ),
        (
            "search={objective: [accuracy, seconds]}",
            ["search.proposer: ", "nsga_ii, random, sobol and grid take several"],
        ),
        ("search={proposer: cma_es}", ["search.proposer: ", "tpe does without"]),
    ] {
        place.run_with("check", &[OPEN[0], search]).failed_with(&wanted);
        place.run(&arguments("run", &[OPEN[0], search, "output.folder=study"])).failed_with(&wanted);
        assert!(!place.path("study").exists());
    }
    let seen =
        ["data.batch={choose: [4, 8]}", "evaluation.every={steps: 4}", "search={objective: loss, stopping: median}"];
    let wanted = ["search.stopping: rules hold trials against each other", "data.batch"];
    place.run_with("check", &seen).failed_with(&wanted);
    place.run(&arguments("run", &[&seen[..], &["output.folder=study"]].concat())).failed_with(&wanted);
    assert!(!place.path("study").exists());
}

#[test]
fn a_recipe_that_leaves_nothing_open_is_no_study_and_few_combinations_are_tried_once_each() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let wanted = ["search: nothing is left open", "docs/search.md"];
    place.run(&arguments("run", &["search={trials: 3}", "output.folder=study"])).failed_with(&wanted);
    place.run(&arguments("run", &["output.folder=study"])).failed_with(&wanted);
    assert!(!place.path("study").exists());
    let said = place.run_with("check", &["search={trials: 3}"]).done();
    assert!(said.contains("nothing is left open"), "{said}");
    let two = ["training.optimizer={choose: [sgd, adamw]}", "training.epochs=1", "output.folder=study"];
    let said = place.run_with("check", &two).done();
    assert!(said.contains("2 combinations") && said.contains("each of them once, 2 trials of at most 50"), "{said}");
    place.run(&arguments("run", &two)).done();
    assert_eq!(status(&place, "study")["trials"].as_array().unwrap().len(), 2);
}

#[test]
fn an_alternative_that_cannot_be_trained_is_told_with_its_values_before_a_study_begins() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let methods = "model.methods={choose: [[], [{lora: {rank: 2, layers: {match: ['nowhere.*']}}}]]}";
    let search = "search={objective: loss, proposer: grid, trials: 2}";
    let wanted = ["with `model.methods` ", "nowhere"];
    place.run_with("check", &[methods, search]).failed_with(&wanted);
    place.run(&arguments("run", &[methods, search, "output.folder=study"])).failed_with(&wanted);
    let missing = ["model.path=nothing.onnx", search, OPEN[0], "output.folder=study"];
    place.run(&arguments("run", &missing)).failed_with(&["nothing.onnx"]);
    assert!(!place.path("study").exists());
}

#[test]
fn a_study_that_is_run_again_is_the_same_study_with_what_the_command_line_changed_of_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&arguments("run", &OPEN)).done();
    place.run(&["search", "run", "study", "-o", "again"]).done();
    place.run(&["search", "run", "study/recipe.yaml", "-o", "third", "--set", "search.trials=2"]).done();
    assert_eq!(outcome(&status(&place, "again")), outcome(&status(&place, "study")));
    assert_eq!(outcome(&status(&place, "third"))[..], outcome(&status(&place, "study"))[..2]);
    place.run(&["search", "run", "study"]).failed_with(&["holds a study already"]);
    place.run(&["reproduce", "study"]).failed_with(&["is a study", "search run", "trials/0000"]);
    let said = place.run(&["reproduce", "study/trials/0001"]).done();
    assert!(said.contains("same") && place.path("study-0001-again/model.onnx").exists(), "{said}");
    assert!(!place.path("study/trials/0001-again").exists());
    let listed = place.run(&["runs", "study", "--json"]).json();
    let how: Vec<&str> = listed["runs"].as_array().unwrap().iter().filter_map(|run| run["how"].as_str()).collect();
    for wanted in ["adamw, trains all, 3 epochs; learning_rate 0.003", "sgd, trains all, 3 epochs; learning_rate 0.03"]
    {
        assert!(how.contains(&wanted), "{how:?}");
    }
}

/// A study of which one trial is done.
fn with_one_trial() -> Workplace {
    let place = Workplace::new();
    let mut first = arguments("run", &OPEN);
    first.extend(["--trials", "1"]);
    place.run(&first).done();
    place
}

/// That the study ended as one that nothing came between.
fn require_undisturbed(place: &Workplace) {
    let whole = [&OPEN[..], &["output.folder=whole"]].concat();
    place.run(&arguments("run", &whole)).done();
    assert_eq!(outcome(&status(place, "study")), outcome(&status(place, "whole")));
}

#[test]
fn a_recipe_that_was_edited_under_its_study_is_refused_until_it_is_as_it_was() {
    if !has_runtime() {
        return;
    }
    let place = with_one_trial();
    let recipe = String::from_utf8(place.read("study/recipe.yaml")).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(recipe.contains(from), "{recipe}");
        place.write("study/recipe.yaml", &recipe.replace(from, to));
    };
    edited("batch: 8", "batch: 4");
    let wanted = ["`data.batch` was 8 and is 4", "recipe.yaml", "millstream search run ", "-o FOLDER"];
    for line in [&["search", "resume", "study"][..], &["search", "worker", "study"], &["search", "best", "study"]] {
        place.run(line).failed_with(&wanted);
    }
    assert_eq!(status(&place, "study")["trials"].as_array().unwrap().len(), 1, "nothing was tried with it");
    // what means the same, and what no trial depends on, may be written otherwise
    edited("batch: 8\n  workers: 2", "workers: 1\n  batch: 8 # as before");
    let said = place.run(&["search", "resume", "study", "--trials", "2"]).done();
    assert!(said.contains("2 complete"), "{said}");
    place.write("study/recipe.yaml", &recipe);
    place.run(&["search", "resume", "study"]).done();
    require_undisturbed(&place);
}

#[test]
fn a_finished_run_of_something_else_in_the_folder_of_a_trial_is_not_taken_for_the_trial() {
    if !has_runtime() {
        return;
    }
    let place = with_one_trial();
    place.run(&["train", "recipe.yaml", "--set", "output.folder=study/trials/0001"]).done();
    let wanted = ["trials/0001 holds a finished run", "trial 1", "in the trial", "move it away", "search resume "];
    place.run(&["search", "resume", "study"]).failed_with(&wanted);
    assert_eq!(status(&place, "study")["trials"][1]["state"], "waiting", "nothing is ranked that is no trial");
    std::fs::remove_dir_all(place.path("study/trials/0001")).unwrap();
    place.run(&["search", "resume", "study"]).done();
    require_undisturbed(&place);
}

#[test]
fn an_unfinished_run_of_something_else_in_the_folder_of_a_trial_is_told_without_words_of_resuming_a_run() {
    if !has_runtime() {
        return;
    }
    let place = with_one_trial();
    place.run(&["train", "recipe.yaml", "--set", "output.folder=study/trials/0001"]).done();
    // what says that it is at its end
    std::fs::remove_file(place.path("study/trials/0001/metrics.json")).unwrap();
    let resume = || {
        let wanted =
            ["trials/0001 holds an unfinished run", "as trial 1", "move it away", "`millstream search resume "];
        let said = place.run(&["search", "resume", "study"]).failed_with(&wanted);
        assert!(!said.contains("--resume") && !said.contains("--overwrite"), "{said}");
        assert_eq!(status(&place, "study")["trials"][1]["state"], "waiting", "its values are not at fault");
        said
    };
    let said = resume();
    assert!(said.contains("` is ") && said.contains(" in the trial"), "{said}");
    place.write("study/trials/0001/recipe.yaml", "version: 1\nepochs: [");
    assert!(resume().contains("is damaged"));
    std::fs::remove_dir_all(place.path("study/trials/0001")).unwrap();
    place.run(&["search", "resume", "study"]).done();
    require_undisturbed(&place);
}

#[test]
fn trials_that_all_fail_alike_end_the_study_with_the_reason_and_others_do_not() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let diverges = [
        "training.optimizer={sgd: {learning_rate: {uniform: [1.0e+30, 1.0e+31]}}}",
        "search={objective: loss, proposer: random, trials: 8}",
        "output.folder=study",
    ];
    place
        .run(&arguments("run", &diverges))
        .failed_with(&["all 3 trials so far have failed for the same reason", "search retry"]);
    // what failed before says nothing of now: it is tried again, and ends as it did
    let ran = place.run(&["search", "resume", "study"]);
    ran.failed_with(&["all 3 trials so far have failed"]);
    assert_eq!(status(&place, "study")["trials"].as_array().unwrap().len(), 6);
    let said = place.run(&["search", "retry", "study"]).done();
    assert!(said.contains("trials 0, 1, 2, 3, 4, 5 are queued"), "{said}");
    let one_diverges = [
        "training.optimizer={choose: [{sgd: {learning_rate: 1.0e+30}}, {sgd: {learning_rate: 0.01}}]}",
        "search={objective: loss, proposer: grid, trials: 2}",
        "output.folder=other",
    ];
    let said = place.run(&arguments("run", &one_diverges)).done();
    assert!(said.contains("2 of 2 trials finished (1 complete, 1 failed)"), "{said}");
}

#[test]
fn a_study_whose_first_trials_failed_for_faulty_rows_goes_on_once_these_are_mended() {
    if !has_runtime() {
        return;
    }
    for (search, folder) in [("", "study"), (", repeats: 2", "repeated"), (", folds: {count: 3}", "folded")] {
        let place = Workplace::new();
        let whole = place.read("train-0.parquet");
        let mut rows = dataset::rows(0, 24);
        rows.iter_mut().for_each(|row| row.image = Some(b"no image".to_vec()));
        dataset::write(&place.path("train-0.parquet"), &rows);
        let search = format!("search={{objective: accuracy, proposer: grid, trials: 3{search}}}");
        let folder_is = format!("output.folder={folder}");
        let three = [
            "training.optimizer={sgd: {learning_rate: {choose: [0.001, 0.003, 0.01]}}}",
            &search,
            "training.epochs=1",
            &folder_is,
        ];
        let wanted = ["all 3 trials so far have failed for the same reason", "search retry"];
        place.run(&arguments("run", &three)).failed_with(&wanted);
        std::fs::write(place.path("train-0.parquet"), &whole).unwrap();
        place.run(&["search", "retry", folder]).done();
        let said = place.run(&["search", "resume", folder]).done();
        assert!(said.contains("3 of 3 trials finished (3 complete"), "{folder}: {said}");
    }
}

#[test]
fn other_commands_name_the_open_place_and_check_counts_the_combinations() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let wanted = ["training.optimizer: it is left open", "`millstream search run`"];
    for command in ["train", "evaluate", "compile"] {
        let mut line = vec![command, "recipe.yaml", "--set", OPEN[0]];
        line.extend(if command == "compile" { &["-o", "step"][..] } else { &[] });
        place.run(&line).failed_with(&wanted);
    }
    let checked = place.run_with("check", &OPEN).done();
    for part in ["3 values left open, 6 combinations", "training.optimizer.sgd.", "ready to train"] {
        assert!(checked.contains(part), "{part}\n{checked}");
    }
    let wrong = "search={objective: acuracy}";
    place.run_with("check", &[OPEN[0], wrong]).failed_with(&["search.objective", "did you mean `accuracy`?"]);
}
