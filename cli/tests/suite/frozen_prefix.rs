//! Recipes that keep what the frozen part of the model gives, as the command line carries them out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::columns::{bytes, texts};
use crate::dataset::{self, Row};
use crate::learning;
use crate::losses_of_places::{of_tokens, sentence, square, tokenizer};
use crate::onnx::{model, node, tensor, weight};
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

/// The model of a run that trains the last layer alone, in a folder of its own.
fn tuned(place: &Workplace, folder: &str, changes: &[&str]) -> Vec<u8> {
    let output = format!("output.folder={folder}");
    place.run_with("train", &[&["model.train={last: 1}", &output][..], changes].concat()).done();
    place.read(&format!("{folder}/model.onnx"))
}

/// What `check` notes of a recipe that trains the last layer alone.
fn noted(place: &Workplace, changes: &[&str]) -> String {
    let mut arguments = vec!["check", "recipe.yaml", "--json"];
    arguments.extend(["model.train={last: 1}"].iter().chain(changes).flat_map(|change| ["--set", *change]));
    place.run(&arguments).json()["notes"].to_string()
}

#[test]
fn texts_that_are_filled_up_to_those_beside_them_are_kept_at_each_length_and_train_to_the_bit() {
    if !has_runtime() {
        return;
    }
    let words = ["ada", "alan", "london", "paris", "is", "in", "and", "was"];
    let columns = |first: usize, count: usize| {
        vec![("text", texts((first..first + count).map(|row| sentence(row, &words).join(" "))))]
    };
    let place = learning::place(columns, of_tokens(12, 12));
    tokenizer(&place.path("tokenizer.json"), &words);
    let tokens = json!({"column": "text", "tokenizer": "tokenizer.json", "pad_to_multiple_of": 2});
    let recipe = learning::recipe(
        json!({"inputs": {"input_ids": {"token_ids": tokens}}, "targets": {"next": {"own_tokens": {"learn": "all"}}}}),
        json!({"loss": "causal_language_modelling", "epochs": 6}),
    );
    place.write("recipe.yaml", &recipe.to_string());
    let said = noted(&place, &[KEPT]);
    let wanted =
        "run once for each row at each length that its batch is filled up to (`input_ids`: multiples of 2 up to 128)";
    assert!(said.contains(wanted) && said.contains("`embedded`"), "{said}");
    let recomputed = tuned(&place, "recomputed", &[]);
    let little = "training.frozen_prefix={kept: {memory: 4 KiB}}";
    for (folder, kept) in [("kept", KEPT), ("auto", "training.frozen_prefix=auto"), ("little", little)] {
        assert!(tuned(&place, folder, &[kept]) == recomputed, "{folder}: the models differ");
    }
    // where hardly a batch would find its rows, it is not tried, or tried and told
    let hardly = "hardly a batch w";
    let long = "data.inputs.input_ids.token_ids.max_length=512";
    let left_out = noted(&place, &["training.frozen_prefix=auto", "data.memory=1 MiB", long]);
    assert!(left_out.contains(hardly), "{left_out}");
    // and what is to be set does what it says
    assert!(left_out.contains("`training.frozen_prefix: kept` keeps as many as there is room for"), "{left_out}");
    let memory =
        left_out.split("with `data.memory` of ").nth(1).and_then(|rest| rest.split(" or more").next()).unwrap();
    let raised = noted(&place, &["training.frozen_prefix=auto", &format!("data.memory={memory}"), long]);
    assert!(raised.contains("run once for each row") && !raised.contains(hardly), "{memory}: {raised}");
    assert!(noted(&place, &[little]).contains(hardly) && !said.contains(hardly), "{said}");
    let told = ["model.train={last: 1}", "output.folder=told", KEPT].map(|change| ["--set", change]);
    let told = place.run(&[&["train", "recipe.yaml", "--json"][..], told.as_flattened()].concat()).done();
    let found = told.split(" had all their rows among what is kept").next().unwrap_or_default();
    let found = found.rsplit("training.frozen_prefix: ").next().unwrap_or_default();
    assert!(found.contains(" of ") && found.ends_with("batches") && !found.starts_with("0 of"), "{told}");
    let in_files = "training.frozen_prefix={kept: {disk: 1 GB}}";
    place
        .run_with("train", &["model.train={last: 1}", in_files])
        .failed_with(&["it cannot be kept", "in memory alone"]);
    // texts that are drawn have the draws of as many epochs as there are variants
    let drawn = "transforms.train=[{swap_words: {count: 2}}]";
    let [each, some] = [6, 2].map(|variants| format!("training.frozen_prefix={{kept: {{variants: {variants}}}}}"));
    let without = tuned(&place, "drawn", &[drawn]);
    assert!(tuned(&place, "each", &[drawn, &each]) == without, "a variant for each epoch");
    assert!(tuned(&place, "some", &[drawn, &some]) != without, "two variants for six epochs");
}

/// Pictures of squares with their masks, and a network of two layers.
fn pictures() -> Workplace {
    let columns = |first: usize, count: usize| {
        let rows = || (first..first + count).map(square);
        let pictures = bytes(rows().map(|(picture, _)| Some(picture)));
        vec![("picture", pictures), ("mask", bytes(rows().map(|(_, mask)| Some(mask))))]
    };
    let nodes = vec![
        node("Conv", &["picture", "first.weight", "first.bias"], "maps", &[]),
        node("Relu", &["maps"], "bent", &[]),
        node("Conv", &["bent", "last.weight", "last.bias"], "scores", &[]),
    ];
    let weights = vec![
        weight("first.weight", &[4, 3, 1, 1]),
        weight("first.bias", &[4]),
        weight("last.weight", &[2, 4, 1, 1]),
        weight("last.bias", &[2]),
    ];
    let inputs = vec![tensor("picture", false, &["batch", "3", "8", "8"])];
    learning::place(columns, model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "2", "8", "8"])]))
}

#[test]
fn masks_that_move_with_their_picture_are_read_anew_beside_what_is_kept_of_it() {
    if !has_runtime() {
        return;
    }
    let place = pictures();
    let mask: Value = json!({"mask": {"column": "mask", "classes": ["dark", "bright"], "ignore_index": 255}});
    let recipe = learning::recipe(
        json!({"inputs": {"picture": {"image": {"column": "picture"}}}, "targets": {"mask": mask}}),
        json!({"loss": {"sparse_cross_entropy": {"ignore_index": 255}}, "epochs": 4}),
    );
    place.write("recipe.yaml", &recipe.to_string());
    let plain = "transforms.train=[{resize: {size: 8}}]";
    let said = noted(&place, &[plain, KEPT]);
    assert!(said.contains("targets follow the inputs of their row") && said.contains("60 training rows"), "{said}");
    assert!(tuned(&place, "plain", &[plain]) == tuned(&place, "kept", &[plain, KEPT]), "the models differ");
    // a mask is mirrored with the draw of the picture that was kept
    let drawn = "transforms.train=[{resize: {size: 8}}, horizontal_flip]";
    let [each, some] = [4, 2].map(|variants| format!("training.frozen_prefix={{kept: {{variants: {variants}}}}}"));
    let without = tuned(&place, "drawn", &[drawn]);
    assert!(tuned(&place, "each", &[drawn, &each]) == without, "a variant for each epoch");
    let twice = tuned(&place, "some", &[drawn, &some]);
    assert!(twice != without && twice == tuned(&place, "again", &[drawn, &some]), "two variants for four epochs");
    // one that is given epochs past its variants is one that had them from the start
    let few = "training.epochs=2";
    tuned(&place, "extended", &[drawn, &each, few]);
    let mut arguments = vec!["train", "recipe.yaml", "--resume"];
    let changes = ["model.train={last: 1}", "output.folder=extended", drawn, &each, "training.epochs=4"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments).done();
    assert!(place.read("extended/model.onnx") == without, "the models differ");
}
