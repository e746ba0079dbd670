//! What is trained of layers, and what layers do in training, on real models and data.

use std::path::{Path, PathBuf};

use millstream::recipes::{Compiled, Event, Events, Opened, RunOptions, StartMode, Stop, load};
use millstream::schemas::recipe::RecipeText;
use millstream::training::Until;
use millstream::{Catalogs, Recipe};
use serde_json::Value;

use crate::corpus::{corpus, example};
use crate::dataset;
use crate::workplace::{has_runtime, millstream, text};

/// The small network with its own normalizations, on a half of the small pictures.
const RESNET: &str = r#"
version: 1
seed: 3
model:
  path: ${MILLSTREAM_CORPUS}/models/resnet20_cifar10/model.onnx
  head: keep
  train: all
data:
  train: ${MILLSTREAM_CORPUS}/data/cifar10-mini/cifar10-mini-train-00000-of-00002.parquet
  evaluate: ${MILLSTREAM_CORPUS}/data/cifar10-mini/cifar10-mini-test-*.parquet
  batch: 50
transforms:
  train: [horizontal_flip, {normalize: &normalize {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}]
  evaluate: [{normalize: *normalize}]
training:
  epochs: 2
  threads: 1
  optimizer: {sgd: {learning_rate: 0.02, momentum: 0.9}}
evaluation: {rows: 300}
"#;

/// The recipe in a folder of its own.
fn resnet(corpus: &Path) -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.yaml");
    std::fs::write(&path, RESNET.replace("${MILLSTREAM_CORPUS}", text(corpus))).unwrap();
    (path, folder)
}

fn checked(recipe: &Path, changes: &[&str]) -> String {
    let mut arguments = vec!["check", text(recipe)];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    // lines are broken where they are long
    millstream(&arguments).done().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read(recipe: &Path, output: &Path, changes: &[&str]) -> Recipe {
    let mut changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    changes.push(format!("output.folder={}", text(output)));
    load(&RecipeText::read(recipe, &changes).unwrap(), &Catalogs::default()).unwrap()
}

fn compiled(recipe: &Path, output: &Path, changes: &[&str]) -> Compiled {
    Opened::open(&read(recipe, output, changes), &Catalogs::default()).unwrap().compile().unwrap()
}

/// Trains to the end, or until `stops` says so of an event; whether it came to its end.
fn trained(compiled: &Compiled, start: StartMode, stops: impl Fn(&Event) -> bool + Send) -> bool {
    let stop = Stop::default();
    let asked = stop.clone();
    let mut events = move |event: &Event| {
        if stops(event) {
            asked.request();
        }
    };
    let events: &mut dyn Events = &mut events;
    let mut run = compiled.run(&RunOptions { start, ..RunOptions::default() }, events).unwrap();
    run.advance(Until::End, events, &stop).unwrap();
    !run.finish(events).unwrap().interrupted
}

fn metrics(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("metrics.json")).unwrap()).unwrap()
}

#[test]
fn norms_and_biases_are_trained_where_a_model_has_them() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = resnet(&corpus);
    let said = checked(&recipe, &["model.train=[norms, {last: 1}]"]);
    for part in
        ["trained layers parameters numbers norms 19 38 1,376 last: 1 1 2 650", "2,026 trained", "ready to train"]
    {
        assert!(said.contains(part), "wanted {part} in {said}");
    }
    let said = checked(&recipe, &["model.train=biases"]);
    assert!(said.contains("biases 20 20 698 head 1 1 640"), "{said}");
    let output = folder.path().join("norms");
    let program = compiled(&recipe, &output, &["model.train=[norms, {last: 1}]", "training.max_steps=6"]);
    assert!(trained(&program, StartMode::New, |_| false));
    let inspect = |path: &Path| {
        let report = millstream(&["inspect", "--json", text(path)]).json();
        let layers = report["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["name"].to_string()).collect::<Vec<_>>()
    };
    let model = corpus.join("models/resnet20_cifar10/model.onnx");
    assert_eq!(inspect(&output.join("model.onnx")), inspect(&model));

    // normalizations of the other network are folded into its convolutions
    let (flowers, _folder) = example("flowers/all.yaml");
    let refused = ["check", text(&flowers), "--set", "model.train=[norms]"];
    millstream(&refused).failed_with(&["model.train[0]: nothing fits `norms`", "exporters fold those of batches into"]);
    let said = checked(&flowers, &["model.train=biases"]);
    assert!(said.contains("biases 53 53") && said.contains("ready to train"), "{said}");
}

#[test]
fn statistics_of_an_average_are_computed_anew_and_a_killed_run_computes_the_same() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = resnet(&corpus);
    let few = |set: &str, rows: usize| {
        let path = folder.path().join(format!("{}.parquet", &set[..4]));
        dataset::write_first(&corpus.join(format!("data/cifar10-mini/cifar10-mini-{set}.parquet")), rows, &path);
        path
    };
    let train = format!("data.train={}", text(&few("train-00000-of-00002", 400)));
    let evaluate = format!("data.evaluate={}", text(&few("test-00000-of-00001", 300)));
    let changes = [
        train.as_str(),
        evaluate.as_str(),
        "evaluation.rows=100",
        "model.batch_normalization={reestimated: {rows: 200, transforms: evaluate}}",
        "training.average={swa: {from: 0.5}}",
        "output.last_model=true",
    ];
    let said = checked(&recipe, &changes);
    for part in [
        "19 BatchNormalization nodes in trained layers normalize by the batch",
        "statistics are computed anew from 200 of 400 training rows, with `transforms.evaluate`: for what is exported, and for each of 2 evaluations",
    ] {
        assert!(said.contains(part), "wanted {part} in {said}");
    }
    let whole = folder.path().join("whole");
    assert!(trained(&compiled(&recipe, &whole, &changes), StartMode::New, |_| false));
    let record = metrics(&whole);
    assert_eq!(record["history"]["reestimated"]["rows"], 200);
    assert_eq!(record["history"]["evaluations"][1]["statistics_rows"], 200);
    let notes = record["notes"].to_string();
    assert!(notes.contains("computed anew from 200 training rows"), "{notes}");
    // what was evaluated is what is in the file
    let output = format!("output.folder={}", text(&whole));
    let mut arguments = vec!["evaluate", text(&recipe), "--json", "--set", output.as_str()];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    let all = millstream(&arguments).json();
    assert!(all["evaluation"]["accuracy"].as_f64().unwrap() > 0.7, "{all}");

    // stopped in the middle of a pass over the rows of statistics, twice
    let cut = compiled(&recipe, &folder.path().join("cut"), &changes);
    let within =
        |rows: u64| move |event: &Event| matches!(event, Event::Reestimating { rows: done, .. } if *done >= rows);
    assert!(!trained(&cut, StartMode::New, within(150)));
    assert!(!trained(&cut, StartMode::Resume, |event| matches!(event, Event::Step { step: 13, .. })));
    assert!(!trained(&cut, StartMode::Resume, within(200)));
    assert!(trained(&cut, StartMode::Resume, |_| false));
    for name in ["model.onnx", "last.onnx"] {
        let [a, b] = [&whole, &folder.path().join("cut")].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert!(a == b, "{name} has other bits");
    }
}

#[test]
fn residual_branches_are_left_out_in_training_and_a_killed_run_leaves_out_the_same() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = resnet(&corpus);
    let changes = [
        "model.stochastic_depth={probability: 0.2}",
        "training.max_steps=8",
        "training.optimizer={sgd: {learning_rate: 0.002, momentum: 0.9}}",
    ];
    let said = checked(&recipe, &changes);
    // two of the nine blocks have a shortcut of their own
    let note = "7 residual branches are left out in training, of each row with a probability of 0 at the first to 0.2 at the last";
    assert!(said.contains(note) && said.contains("ready to train"), "{said}");
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let program = compiled(&recipe, &whole, &changes);
    let keep: Vec<f32> = program.program().manifest.masks.iter().map(|mask| mask.keep).collect();
    assert_eq!(keep.len(), 6);
    assert!(keep.windows(2).all(|pair| pair[0] > pair[1]) && keep[5] == 0.8, "{keep:?}");
    assert!(trained(&program, StartMode::New, |_| false));
    let again = compiled(&recipe, &cut, &changes);
    assert!(!trained(&again, StartMode::New, |event| matches!(event, Event::Step { step: 3, .. })));
    assert!(trained(&again, StartMode::Resume, |_| false));
    let [a, b] = [&whole, &cut].map(|folder| std::fs::read(folder.join("model.onnx")).unwrap());
    assert!(a == b, "other bits");
    // what is exported is the network as it was
    let operators = |path: &Path| millstream(&["inspect", "--json", text(path)]).json()["operators"].clone();
    assert_eq!(operators(&whole.join("model.onnx")), operators(&corpus.join("models/resnet20_cifar10/model.onnx")));

    let (flowers, _folder) = example("flowers/all.yaml");
    let said = checked(&flowers, &["model.stochastic_depth={probability: 0.1, mode: batch, schedule: constant}"]);
    let note = "10 residual branches are left out in training, of each batch with a probability of 0.1";
    assert!(said.contains(note) && said.contains("ready to train"), "{said}");
    let path = format!("model.path={}", text(&corpus.join("models/mobilenet_v1_0.25_128/model.onnx")));
    let small = "transforms.train=[{random_resized_crop: {size: 128}}]";
    let smaller = "transforms.evaluate=[{resize: {size: 128}}]";
    let mut refused = vec!["check", text(&flowers)];
    for change in [path.as_str(), small, smaller, "model.stochastic_depth={probability: 0.1}"] {
        refused.extend(["--set", change]);
    }
    millstream(&refused).failed_with(&["model.stochastic_depth", "the model has no residual branch"]);
}
