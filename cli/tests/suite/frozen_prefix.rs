//! Recipes that keep what the frozen part of the model gives, as the command line carries them out.

use std::time::Duration;

use crate::dataset::{self, Row};
use crate::running::Running;
use crate::workplace::{Workplace, has_runtime};

const PLAIN: &str = "transforms.train=[{resize: {size: 16}}]";
const KEPT: &str = "training.frozen_prefix=kept";

#[test]
fn check_says_where_the_model_is_cut_and_what_is_kept_or_why_not() {
    let place = Workplace::new();
    let notes = |changes: &[&str]| {
        let mut arguments = vec!["check", "recipe.yaml", "--json"];
        arguments.extend(["model.train=head"].iter().chain(changes).flat_map(|change| ["--set", *change]));
        place.run(&arguments).json()["notes"].to_string()
    };
    let kept = notes(&[PLAIN, KEPT]);
    assert!(kept.contains("run once for each row") && kept.contains("48 training rows"), "{kept}");
    let random = notes(&["training.frozen_prefix=auto"]);
    let wanted = "it is run at each step: rows are others in each epoch, since transforms are random (`random_resized_crop`, `rotate`, \
                  `horizontal_flip`)";
    assert!(random.contains(wanted), "{random}");
    let wanted = ["training.frozen_prefix: it cannot be kept: rows are others in each epoch"];
    place.run_with("check", &["model.train=head", KEPT]).failed_with(&wanted);
    let wanted = ["training.frozen_prefix.kept.variants", "1 or more"];
    place.run_with("check", &["training.frozen_prefix={kept: {variants: 0}}"]).failed_with(&wanted);
}

#[test]
fn damaged_rows_are_left_out_alike_whether_they_are_met_first_or_in_their_batch() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut rows = dataset::rows(0, 24);
    rows[2].image.as_mut().unwrap().truncate(60);
    rows[5].image = Some(b"no image".to_vec());
    rows[9] = Row { image: None, label: 0 };
    dataset::write(&place.path("train-0.parquet"), &rows);
    let train = |folder: &str, changes: &[&str]| {
        let output = format!("output.folder={folder}");
        let all = [&[PLAIN, "model.train=head", &output][..], changes].concat();
        place.run_with("train", &all)
    };
    train("skipped", &["data.damaged=skip"]).done();
    let ran = train("kept", &["data.damaged=skip", KEPT]);
    assert!(ran.stderr.contains("3 damaged rows were left out of training"), "{}", ran.stderr);
    ran.done();
    assert!(place.read("kept/model.onnx") == place.read("skipped/model.onnx"), "the models differ");
    train("quarantined", &["data.damaged={quarantine: bad.jsonl}", KEPT]).done();
    assert_eq!(String::from_utf8(place.read("bad.jsonl")).unwrap().lines().count(), 3);
    let wanted = ["train-0.parquet, row group 0, row 2", "`--set data.damaged=skip`"];
    train("failed", &[KEPT]).failed_with(&wanted);
    assert!(!place.path("failed/metrics.json").exists());
}

#[test]
fn a_run_that_is_killed_at_any_time_goes_on_to_the_bit() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = [
        "model.train=head",
        "training.epochs=12",
        "output.checkpoint={every_steps: 1, keep: 2}",
        "training.frozen_prefix={kept: {variants: 5}}",
    ];
    place.run_with("train", &[&changes[..], &["output.folder=whole"]].concat()).done();
    for round in 0..8_u64 {
        let mut arguments = vec!["train", "recipe.yaml", "--json", "--set", "output.folder=killed"];
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        arguments.extend((round > 0).then_some("--resume"));
        let mut running = Running::start(&place, &arguments);
        let mut written = 0;
        // It may end by itself.
        running.reaches(|line| {
            written += usize::from(line.contains("checkpoints/step-"));
            written == 6
        });
        std::thread::sleep(Duration::from_micros(900 * round));
        running.signal("KILL");
        running.ended();
    }
    let mut arguments = vec!["train", "recipe.yaml", "--resume", "--set", "output.folder=killed"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments).done();
    assert!(place.read("whole/model.onnx") == place.read("killed/model.onnx"), "the models differ");
}
