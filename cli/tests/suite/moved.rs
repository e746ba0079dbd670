//! Run folders, and whole projects, that lie elsewhere now.

use std::fs;

use crate::columns::texts;
use crate::losses_of_places::{of_tokens, sentence, tokenizer};
use crate::workplace::{Ran, Workplace, has_runtime};
use crate::{dataset, onnx};

const RECIPE: &str = "version: 1
seed: 3
model: {path: models/model.onnx, train: all}
data: {train: 'data/train-*.parquet', evaluate: data/test.parquet, batch: 8, memory: 64 MiB}
transforms: {train: [{resize: {size: 16}}], evaluate: [{resize: {size: 16}}]}
training: {epochs: 2, threads: 1, device: cpu, optimizer: {adamw: {learning_rate: 0.01}}}
output: {folder: runs/one}
";

/// A project in a folder of its own, with a run.
fn project() -> Option<Workplace> {
    has_runtime().then(|| {
        let place = Workplace::bare();
        for folder in ["flowers/data", "flowers/models"] {
            fs::create_dir_all(place.path(folder)).unwrap();
        }
        dataset::write(&place.path("flowers/data/train-0.parquet"), &dataset::rows(0, 24));
        dataset::write(&place.path("flowers/data/test.parquet"), &dataset::rows(100, 18));
        fs::write(place.path("flowers/models/model.onnx"), onnx::network("Relu")).unwrap();
        place.write("flowers/recipe.yaml", RECIPE);
        place.run(&["train", "flowers/recipe.yaml"]).done();
        place
    })
}

fn figures(ran: Ran) -> serde_json::Value {
    ran.json()["evaluation"].clone()
}

#[test]
fn a_project_that_is_renamed_is_used_as_before() {
    let Some(place) = project() else { return };
    let text = String::from_utf8(place.read("flowers/runs/one/recipe.yaml")).unwrap();
    for part in ["path: ../../models/model.onnx", "../../data/train-*.parquet"] {
        assert!(text.contains(part), "wanted {part} in\n{text}");
    }
    let own = ["folder: .\n", "folder: \".\"\n", "folder: '.'\n"];
    assert!(own.iter().any(|own| text.contains(own)), "{text}");
    let before = figures(place.run(&["evaluate", "flowers/runs/one", "--json"]));
    fs::rename(place.path("flowers"), place.path("plants")).unwrap();
    let after = figures(place.run(&["evaluate", "plants/runs/one", "--json"]));
    assert_eq!(before, after);
    let said = place.run(&["reproduce", "plants/runs/one"]).done();
    assert!(said.contains("the same, bit by bit"), "{said}");
    place.run(&["document", "plants/runs/one"]).done();
    place.run(&["errors", "plants/runs/one"]).done();
    place.run(&["train", "plants/runs/one", "--resume", "--set", "training.epochs=3"]).done();
    place.run(&["train", "plants/recipe.yaml", "--resume", "--set", "training.epochs=4"]).done();
    assert!(!place.path("flowers").exists(), "something was written where the project was");
}

#[test]
fn a_run_folder_that_is_moved_alone_finds_its_data_where_they_were() {
    let Some(place) = project() else { return };
    let before = figures(place.run(&["evaluate", "flowers/runs/one", "--json"]));
    fs::create_dir_all(place.path("elsewhere/deep/down")).unwrap();
    fs::rename(place.path("flowers/runs/one"), place.path("elsewhere/deep/down/two")).unwrap();
    assert_eq!(figures(place.run(&["evaluate", "elsewhere/deep/down/two", "--json"])), before);
    place.run(&["train", "elsewhere/deep/down/two", "--resume", "--set", "training.epochs=3"]).done();
    // and again, from a run folder that was written there
    assert!(place.run(&["evaluate", "elsewhere/deep/down/two"]).done().contains("accuracy"));
}

#[test]
fn a_study_of_a_project_that_is_renamed_goes_on() {
    let Some(place) = project() else { return };
    let open = "training.optimizer.adamw.learning_rate={log_uniform: [0.001, 0.1]}";
    let changes = ["--set", open, "--set", "search={objective: loss, trials: 2}", "--set", "training.epochs=1"];
    let mut command = place
        .command(&[&["search", "run", "recipe.yaml"], &changes[..], &["--set", "output.folder=runs/study"]].concat());
    let ran = Ran::of(command.current_dir(place.path("flowers")).output().unwrap());
    ran.done();
    fs::rename(place.path("flowers"), place.path("plants")).unwrap();
    place.run(&["search", "resume", "plants/runs/study", "--trials", "3"]).done();
    assert!(
        place.path("plants/runs/study/trials/0003").exists() || place.path("plants/runs/study/trials/0002").exists()
    );
    assert!(!place.path("flowers").exists(), "something was written where the project was");
}

const SONGS: &str = "version: 1
seed: 3
model: {path: models/model.onnx, head: keep, train: all}
data:
  train: data/train.parquet
  evaluate: data/test.parquet
  batch: 8
  memory: 64 MiB
  inputs: {input_ids: {token_ids: {column: text, tokenizer: models/tokenizer.json, pad_to_multiple_of: 4}}}
  targets: {next: {own_tokens: {learn: all}}}
training:
  loss: causal_language_modelling
  metrics: [perplexity]
  epochs: 2
  threads: 1
  device: cpu
  optimizer: {adamw: {learning_rate: 0.01}}
output: {folder: runs/one}
";

const WORDS: [&str; 12] = ["do", "re", "mi", "fa", "so", "la", "ha", "he", "hi", "ho", "hu", "hm"];

#[test]
fn a_project_of_texts_that_is_renamed_is_gone_on_with_unless_its_tokenizer_is_another() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    for folder in ["songs/data", "songs/models"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    for (file, rows) in [("train", 0..40), ("test", 1000..1020)] {
        let text = texts(rows.map(|row| sentence(row, &WORDS).join(" ")));
        dataset::write_columns(&place.path(&format!("songs/data/{file}.parquet")), &[("text", text)], false);
    }
    fs::write(place.path("songs/models/model.onnx"), of_tokens(16, 16)).unwrap();
    tokenizer(&place.path("songs/models/tokenizer.json"), &WORDS);
    place.write("songs/recipe.yaml", SONGS);
    place.run(&["train", "songs/recipe.yaml"]).done();
    let before = figures(place.run(&["evaluate", "songs/runs/one", "--json"]));
    fs::rename(place.path("songs"), place.path("tunes")).unwrap();
    assert_eq!(before, figures(place.run(&["evaluate", "tunes/runs/one", "--json"])));
    place.run(&["train", "tunes/runs/one", "--resume"]).done();
    place.run(&["train", "tunes/runs/one", "--resume", "--set", "training.epochs=3"]).done();
    place.run(&["train", "tunes/recipe.yaml", "--resume", "--set", "training.epochs=4"]).done();
    // the same file at another place
    fs::rename(place.path("tunes/models/tokenizer.json"), place.path("tunes/words.json")).unwrap();
    let elsewhere = "data.inputs.input_ids.token_ids.tokenizer=tunes/words.json";
    let epochs = "training.epochs=5";
    place.run(&["train", "tunes/recipe.yaml", "--resume", "--set", elsewhere, "--set", epochs]).done();
    // another file
    let mut others = WORDS;
    others.swap(0, 11);
    tokenizer(&place.path("tunes/words.json"), &others);
    place.run(&["evaluate", "tunes/runs/one"]).failed_with(&["words.json", "put that one back"]);
    place
        .run(&["train", "tunes/runs/one", "--resume", "--set", "training.epochs=6"])
        .failed_with(&["cannot resume", "the content of a file that an encoding reads"]);
    assert!(!place.path("songs").exists(), "something was written where the project was");
}

#[test]
fn a_study_whose_folder_is_renamed_goes_on_by_the_name_that_it_began_with() {
    let Some(place) = project() else { return };
    let open = "training.optimizer.adamw.learning_rate={log_uniform: [0.001, 0.1]}";
    let changes = ["--set", open, "--set", "search={objective: loss, trials: 2}", "--set", "training.epochs=1"];
    place
        .run(
            &[&["search", "run", "flowers/recipe.yaml"], &changes[..], &["--set", "output.folder=flowers/runs/study"]]
                .concat(),
        )
        .done();
    fs::rename(place.path("flowers/runs/study"), place.path("flowers/runs/study2")).unwrap();
    place.run(&["search", "resume", "flowers/runs/study2", "--trials", "3"]).done();
    assert!(place.path("flowers/runs/study2/trials/0002").exists());
    let status = place.run(&["search", "status", "flowers/runs/study2", "--json"]).json();
    assert_eq!(status["name"], "study", "{status}");
}
