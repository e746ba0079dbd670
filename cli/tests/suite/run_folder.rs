//! The folder of a run: one process at a time, killed at any moment, damaged, full.

use std::time::Duration;

use crate::dataset::{self, Row};
use crate::running::Running;
use crate::workplace::{Ran, Workplace, has_runtime};

const LONG: [&str; 2] = ["training.epochs=300", "output.checkpoint.every_steps=5"];

fn start(place: &Workplace, changes: &[&str]) -> Running {
    let mut arguments = vec!["train", "recipe.yaml", "--json"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    Running::start(place, &arguments)
}

fn train(place: &Workplace, flag: &str, changes: &[&str]) -> Ran {
    let mut arguments = vec!["train", "recipe.yaml", flag];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments)
}

#[test]
fn a_second_process_in_a_run_folder_is_refused_and_the_first_is_not_harmed() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut first = start(&place, &LONG);
    // It waits for who reads its events, so it is there as long as it is wanted.
    first.until("\"event\":\"saved\"");
    let wanted = ["run is in use: a run, process ", &first.id()];
    for flag in ["--json", "--overwrite", "--resume"] {
        train(&place, flag, &LONG).failed_with(&wanted);
    }
    let checked = place.run_with("check", &LONG);
    assert_eq!(checked.code, Some(1));
    assert!(checked.stdout.contains(wanted[0]) && checked.stdout.contains(wanted[1]), "{}", checked.stdout);
    assert!(first.is_alive(), "the first run ended");
    first.killed();
    // A process that is gone keeps nobody out.
    assert!(place.path("run/.lock").exists());
    place.run_with("train", &LONG).failed_with(&["holds a run already"]);
    train(&place, "--overwrite", &["training.epochs=1"]).done();
    assert!(!place.path("run/.lock").exists());
}

#[test]
fn of_two_that_start_at_once_one_trains_and_the_other_says_so() {
    if !has_runtime() {
        return;
    }
    for _ in 0..3 {
        let place = Workplace::new();
        let both = [start(&place, &[]), start(&place, &[])];
        let both = Running::all_ended(both);
        let codes = both.each_ref().map(|ran| ran.code);
        assert!(
            codes == [Some(0), Some(1)] || codes == [Some(1), Some(0)],
            "{codes:?}: {} {}",
            both[0].stderr,
            both[1].stderr
        );
        for ran in both.into_iter().filter(|ran| ran.code == Some(1)) {
            // Late enough, it finds what the other has left.
            assert!(ran.stderr.contains("is in use") || ran.stderr.contains("holds a run already"), "{}", ran.stderr);
        }
        place.run(&["evaluate", "recipe.yaml"]).done();
    }
}

#[test]
fn a_process_killed_at_any_moment_of_its_start_leaves_a_folder_that_can_be_used() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for milliseconds in [2, 10, 20, 40, 70, 110, 160, 220, 300] {
        let running = start(&place, &["training.epochs=2"]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        // It may have ended by itself.
        running.signal("KILL");
        running.ended();
        let resumed = train(&place, "--resume", &["training.epochs=2"]);
        if resumed.code == Some(1) {
            resumed.failed_with(&["no run has begun there; start one without `--resume`"]);
            place.run_with("train", &["training.epochs=2"]).done();
        } else {
            resumed.done();
        }
        std::fs::remove_dir_all(place.path("run")).unwrap();
    }
}

#[test]
fn results_that_cannot_be_written_are_written_by_resuming() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &[]).done();
    let model = place.read("run/model.onnx");
    std::fs::remove_file(place.path("run/model.onnx")).unwrap();
    std::fs::create_dir(place.path("run/model.onnx")).unwrap();
    let wanted = ["the training is done and saved in ", "step-18", "`--resume` writes them", "model.onnx"];
    train(&place, "--resume", &[]).failed_with(&wanted);
    train(&place, "--overwrite", &[]).failed_with(&["model.onnx", "it is a folder", "move it away"]);
    std::fs::remove_dir(place.path("run/model.onnx")).unwrap();
    train(&place, "--resume", &[]).done();
    assert!(place.read("run/model.onnx") == model, "the tuned models differ");
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_else_is_done() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.write("file", "");
    for folder in ["file", "file/deeper"] {
        let change = format!("output.folder={folder}");
        place.run_with("train", &[&change]).failed_with(&["results cannot be written to", "file", "`output.folder`"]);
        let checked = place.run_with("check", &[&change]);
        assert_eq!(checked.code, Some(1));
        let wanted = ["results cannot be written to", "file", "`output.folder`"];
        assert!(wanted.iter().all(|part| checked.stdout.contains(part)), "{}", checked.stdout);
    }
    place.run_with("check", &["output.folder=new/deep"]).done();
    assert!(!place.path("new").exists() && !place.path("run").exists());
}

#[test]
fn a_model_that_a_result_would_replace_is_refused_and_kept() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let model = place.read("model.onnx");
    for flag in ["--json", "--overwrite"] {
        train(&place, flag, &["output.folder=."]).failed_with(&["model.path", "model.onnx", "choose another"]);
    }
    assert!(place.read("model.onnx") == model && !place.path(".lock").exists());
}

#[test]
fn a_run_that_cannot_begin_leaves_the_old_one_and_no_new_folder() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &["training.epochs=1"]).done();
    let model = place.read("run/model.onnx");
    let rows: Vec<Row> = dataset::rows(0, 8).into_iter().map(|row| Row { label: -1, ..row }).collect();
    dataset::write(&place.path("none.parquet"), &rows);
    let bad = "data.evaluate=none.parquet";
    train(&place, "--overwrite", &[bad]).failed_with(&["data.evaluate", "8 rows with the label −1"]);
    assert!(place.read("run/model.onnx") == model && place.path("run/metrics.json").exists());
    train(&place, "--json", &[bad, "output.folder=new/deep"]).failed_with(&["none.parquet, row group 0, row 0"]);
    assert!(!place.path("new").exists());
}

#[test]
fn rows_that_are_left_out_are_told_with_their_number_reason_and_the_first_of_them() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (file, count) in [("train-0.parquet", 24), ("test.parquet", 18)] {
        let mut rows = dataset::rows(0, count);
        for row in [9, 12] {
            rows[row].label = -1;
        }
        dataset::write(&place.path(file), &rows);
    }
    let wanted = |split: &str, file: &str| {
        format!(
            "2 rows of the {split} data have no class (the label −1; the first: {file}, row group 1, row 1) and are left out"
        )
    };
    let wanted = [wanted("training", "train-0.parquet"), wanted("evaluation", "test.parquet")];
    let checked = place.run_with("check", &[]).done();
    let trained = place.run_with("train", &[]);
    for text in &wanted {
        assert!(checked.contains(text), "{checked}");
        assert!(trained.stderr.contains(text), "{}", trained.stderr);
    }
    assert!(
        trained.stderr.contains("evaluated on 16 of 18 rows; left out are 2 rows with the label −1"),
        "{}",
        trained.stderr
    );
    trained.done();
    let evaluated = place.run(&["evaluate", "recipe.yaml"]);
    assert!(evaluated.stderr.contains(&wanted[1]), "{}", evaluated.stderr);

    let broken: Vec<Row> =
        dataset::rows(0, 8).into_iter().map(|row| Row { image: Some(b"none".to_vec()), ..row }).collect();
    dataset::write(&place.path("broken.parquet"), &broken);
    let wanted = ["no row can be used: 8 rows that cannot be read (one of them: broken.parquet, row group 0, row "];
    for key in ["data.train", "data.evaluate"] {
        let changes = [&format!("{key}=broken.parquet"), "data.damaged=skip", "output.folder=other"];
        train(&place, "--json", &changes).failed_with(&[key, wanted[0]]);
        assert!(!place.path("other").exists(), "{key}");
    }
    let arguments = ["evaluate", "recipe.yaml", "--data", "broken.parquet", "--set", "data.damaged=skip"];
    place.run(&arguments).failed_with(&wanted);
}
