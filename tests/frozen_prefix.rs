//! Runs that keep what the frozen part of their model gives: to the bit those that compute it at each step.
#![cfg(feature = "training")]
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests say that they are left out, and stop at surprises"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use millstream::compiler::graph::{Attribute, Constant, ElementType, Graph, Length, TensorType};
use millstream::compiler::initializers::{Fans, Initializer};
use millstream::recipes::{
    self, Event, Opened, RecipeError, ResourceOptions, Resources, RunOptions, RunState, Silent, StartMode, Stop,
};
use millstream::schemas::recipe::{ByteSize, RecipeText};
use millstream::training::{Until, record::Curve};
use millstream::{Catalogs, OperatorCatalog, Recipe};
use tempfile::TempDir;

const THREADS: usize = 2;
/// Steps of an epoch: 100 digits in batches of 20.
const STEPS: u64 = 5;

/// What runs share, or nothing where ONNX Runtime is not there. Whoever comes first decides about the threads of a process.
fn resources(runs: usize) -> Option<Resources> {
    if let Err(error) = millstream::runtime::locate(None) {
        println!("left out: this test needs ONNX Runtime. {error}");
        return None;
    }
    let memory = ByteSize(64 << 20);
    let options = ResourceOptions { memory, runs, workers: 2, threads: THREADS, library: None };
    Some(Resources::open(&options).unwrap())
}

/// A folder with an untrained network for the digits of `examples/digits`.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("network.onnx"), network()).unwrap();
    place
}

/// Two convolutions, the mean of each map, a hidden layer, a head.
fn network() -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    let weight = |graph: &mut Graph, name: &str, shape: &[usize], fans: Fans| {
        let values = Initializer::named("he_normal").unwrap().draw(shape, fans, 5, name);
        graph.constant(name, values)
    };
    for (name, from, to) in [("first", 3, 8), ("second", 8, 16)] {
        let shape = [to, from, 3, 3];
        let filters = weight(&mut graph, &format!("{name}.weight"), &shape, Fans::of_convolution(&shape));
        let attributes = [("kernel_shape", Attribute::Ints(vec![3, 3])), ("strides", Attribute::Ints(vec![2, 2]))];
        let maps = graph.add("Conv", &[value, filters], &attributes).unwrap();
        value = graph.add("Relu", &[maps], &[]).unwrap();
    }
    let pooled = graph.add("GlobalAveragePool", &[value], &[]).unwrap();
    let features = graph.add("Flatten", &[pooled], &[("axis", 1.into())]).unwrap();
    let matrix = weight(&mut graph, "classifier.weight", &[5, 16], Fans::of_dense(16, 5));
    let bias = graph.constant("classifier.bias", Constant::f32([5], &[0.0; 5]));
    let logits = graph.add("Gemm", &[features, matrix, bias], &[("transB", 1.into())]).unwrap();
    graph.output(logits);
    graph.to_onnx("digits")
}

fn recipe(place: &Path, file: &str, folder: &str, changes: &[&str]) -> Recipe {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits").join(file);
    let own = [
        format!("model.path={}", place.join("network.onnx").display()),
        format!("output.folder={}", place.join(folder).display()),
        format!("training.threads={THREADS}"),
        "training.epochs=4".into(),
        "evaluation.rows=60".into(),
        "data.memory=16 MiB".into(),
    ];
    let changes: Vec<String> = own.into_iter().chain(changes.iter().map(|change| (*change).to_owned())).collect();
    recipes::load(&RecipeText::read(&file, &changes).unwrap(), &Catalogs::default()).unwrap()
}

/// What a run gave: its tuned model, and the losses of its steps and evaluations.
#[derive(PartialEq)]
struct Gave {
    model: Vec<u8>,
    curve: Curve,
    evaluations: Vec<f64>,
}

fn gave(folder: &Path) -> Gave {
    let record = std::fs::read(folder.join("metrics.json")).unwrap();
    let record: millstream::training::RunRecord = serde_json::from_slice(&record).unwrap();
    assert_eq!(record.ending, "finished");
    let history = record.history;
    let evaluations = history.epochs.iter().map(|epoch| epoch.evaluation.as_ref().unwrap().loss).collect();
    Gave { model: std::fs::read(folder.join("model.onnx")).unwrap(), curve: history.curve, evaluations }
}

/// Runs a recipe, standing still after these steps or being dropped and resumed there; what it told, and what it gave.
fn run(recipe: &Recipe, resources: Option<&Resources>, pauses: &[(u64, bool)]) -> (Gave, Vec<String>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = || {
        let told = Arc::clone(&told);
        move |event: &Event| {
            if let Event::Note { message } | Event::Warning { message } = event {
                told.lock().unwrap().push(message.clone());
            }
        }
    };
    let start = |start| {
        let compiled = Opened::open(recipe, &Catalogs::default()).unwrap().compile().unwrap();
        let options = RunOptions { start, resources: resources.cloned(), ..RunOptions::default() };
        compiled.run(&options, &mut events()).unwrap()
    };
    let mut run = start(StartMode::New);
    for (step, is_dropped) in pauses {
        run.advance(Until::Step(*step), &mut events(), &Stop::default()).unwrap();
        if *is_dropped {
            drop(run);
            run = start(StartMode::Resume);
        }
    }
    let progress = run.advance(Until::End, &mut events(), &Stop::default()).unwrap();
    assert_eq!(progress.state, RunState::Finished);
    run.finish(&mut Silent).unwrap();
    let told = told.lock().unwrap().clone();
    (gave(&recipe.output.folder), told)
}

/// How often the frozen part was run over rows.
fn fillings(told: &[String]) -> usize {
    told.iter().filter(|message| message.contains("the frozen part is run for")).count()
}

#[test]
fn what_is_kept_gives_the_run_that_recomputes_it_from_memory_and_from_files() {
    let place = place();
    let Some(_) = resources(1) else { return };
    let of = |folder: &str, changes: &[&str]| recipe(place.path(), "finetune-plain.yaml", folder, changes);
    let (wanted, told) = run(&of("recomputed", &[]), None, &[]);
    assert!(!told.iter().any(|message| message.contains("frozen_prefix")), "{told:?}");
    let files =
        format!("training.frozen_prefix={{kept: {{disk: 1 MB, folder: '{}'}}}}", place.path().join("kept").display());
    for (folder, changes, fills) in [
        ("memory", "training.frozen_prefix=kept", 2),
        ("auto", "training.frozen_prefix=auto", 2),
        ("file", "training.frozen_prefix={kept: {memory: 2 KB, disk: 1 MB}}", 2),
        ("folder", files.as_str(), 2),
        ("found", files.as_str(), 0),
    ] {
        let (got, told) = run(&of(folder, &[changes]), None, &[]);
        assert!(got == wanted, "{folder}: the results differ");
        assert_eq!(fillings(&told), fills, "{folder}: {told:?}");
        assert!(told.iter().any(|message| message.contains("16 numbers (64 B) a row")), "{told:?}");
        assert!(!place.path().join(folder).join("activations").exists(), "{folder}: files are left");
    }
    // one of the two files is damaged, and made anew
    let mut kept: Vec<PathBuf> =
        std::fs::read_dir(place.path().join("kept")).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let mut bytes = std::fs::read(&kept[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&kept[0], bytes).unwrap();
    let (got, told) = run(&of("damaged", &[&files]), None, &[]);
    assert!(got == wanted && fillings(&told) == 1, "{told:?}");
    assert!(told.iter().any(|message| message.contains("is not used, and made anew: its checksum")), "{told:?}");
}

#[test]
fn a_run_that_keeps_is_resumed_to_the_bit_at_any_batch() {
    let place = place();
    let Some(_) = resources(1) else { return };
    let changes = ["training.frozen_prefix={kept: {variants: 3}}", "output.checkpoint.every_steps=1"];
    let of = |folder: &str| recipe(place.path(), "finetune.yaml", folder, &changes);
    let (wanted, told) = run(&of("whole"), None, &[]);
    // the evaluation rows, and three variants of the training rows
    assert_eq!(fillings(&told), 4, "{told:?}");
    for (folder, pauses) in [
        ("paused", vec![(1, false), (STEPS, false), (STEPS + 3, false), (3 * STEPS, false)]),
        ("first", vec![(1, true)]),
        ("boundary", vec![(STEPS, true), (2 * STEPS, true), (3 * STEPS, true)]),
        ("within", vec![(STEPS + 2, true), (3 * STEPS + 4, true)]),
    ] {
        let (got, _) = run(&of(folder), None, &pauses);
        assert!(got == wanted, "{folder}: the results differ");
    }
}

#[test]
fn the_first_epochs_take_their_own_draws_and_later_ones_those_again() {
    let place = place();
    let Some(_) = resources(1) else { return };
    let of = |folder: &str, changes: &[&str]| recipe(place.path(), "finetune.yaml", folder, changes);
    let (recomputed, _) = run(&of("recomputed", &[]), None, &[]);
    let (kept, _) = run(&of("three", &["training.frozen_prefix={kept: {variants: 3}}"]), None, &[]);
    assert!(recomputed.evaluations[..3] == kept.evaluations[..3], "the first three epochs have draws of their own");
    assert!(recomputed.evaluations[3] != kept.evaluations[3], "the fourth has those of the first");
    let (all, _) = run(&of("all", &["training.frozen_prefix={kept: {variants: 9}}"]), None, &[]);
    assert!(all == recomputed, "a variant for each epoch");
}

#[test]
fn sixteen_runs_compute_what_they_share_once_and_give_what_each_gives_alone() {
    let place = place();
    let Some(resources) = resources(2) else { return };
    let of = |folder: String, rate: u64| {
        let rate = format!("training.optimizer={{adamw: {{learning_rate: {}e-4}}}}", rate + 1);
        // another seed is another order and another head, and the same activations
        let seed = format!("seed={}", rate.len());
        recipe(place.path(), "finetune-plain.yaml", &folder, &[&rate, &seed, "training.frozen_prefix=kept"])
    };
    let mut filled = 0;
    for trial in 0..16 {
        let (shared, told) = run(&of(format!("shared{trial}"), trial), Some(&resources), &[]);
        filled += fillings(&told);
        if trial % 5 == 0 {
            let (alone, told) = run(&of(format!("alone{trial}"), trial), None, &[]);
            assert!(alone == shared && fillings(&told) == 2, "trial {trial}: {told:?}");
        }
    }
    // the training rows once; evaluation rows that are drawn by the seed once for each of two seeds
    assert_eq!(filled, 3);
}

#[test]
fn two_runs_in_turns_share_what_is_kept() {
    let place = place();
    let Some(resources) = resources(2) else { return };
    let of = |folder: &str, rate: &str| {
        let rate = format!("training.optimizer={{adamw: {{learning_rate: {rate}}}}}");
        recipe(place.path(), "finetune-plain.yaml", folder, &[&rate, "training.frozen_prefix=kept"])
    };
    let options = RunOptions { resources: Some(resources.clone()), ..RunOptions::default() };
    let rates = ["1e-3", "5e-3"];
    let mut runs = rates.map(|rate| {
        let compiled = Opened::open(&of(rate, rate), &Catalogs::default()).unwrap().compile().unwrap();
        compiled.run(&options, &mut Silent).unwrap()
    });
    for step in 1..=4 * STEPS {
        for run in &mut runs {
            run.advance(Until::Step(step), &mut Silent, &Stop::default()).unwrap();
        }
    }
    for (run, rate) in runs.into_iter().zip(rates) {
        run.finish(&mut Silent).unwrap();
        let (alone, _) = self::run(&of(&format!("alone-{rate}"), rate), None, &[]);
        assert!(gave(&place.path().join(rate)) == alone, "learning rate {rate}: the results differ");
    }
}

#[test]
fn what_cannot_be_kept_is_told_with_its_reason() {
    let place = place();
    let Some(_) = resources(1) else { return };
    let refused = |file: &str, changes: &[&str]| {
        let recipe = recipe(place.path(), file, "refused", changes);
        match Opened::open(&recipe, &Catalogs::default()).unwrap().compile() {
            Err(RecipeError::Mismatch { place, message }) => format!("{place}: {message}"),
            other => panic!("{changes:?}: {other:?}"),
        }
    };
    for (file, changes, wanted) in [
        (
            "finetune.yaml",
            vec!["training.frozen_prefix=kept"],
            "training.frozen_prefix: it cannot be kept: rows are others in each epoch, since transforms are random (`rotate`, \
             `translate`, `gaussian_noise`)",
        ),
        (
            "finetune-plain.yaml",
            vec!["training.frozen_prefix=kept", "model.train=all"],
            "it cannot be kept: nothing in front of what is trained keeps rows apart",
        ),
        (
            "finetune-plain.yaml",
            vec!["training.frozen_prefix={kept: {memory: 1 KB}}"],
            "takes 10.0 KiB (64 B a row), and there are 1000 B for it in memory and 0 B in files; raise `memory` or `disk`",
        ),
        (
            "finetune.yaml",
            vec![
                "training.frozen_prefix={kept: {variants: 4}}",
                "transforms.train=[{resize: {size: 16}}, {mix_up: {alpha: 0.2}}]",
            ],
            "a transform mixes the rows of a batch",
        ),
    ] {
        let found = refused(file, &changes);
        assert!(found.contains(wanted), "{found}");
    }
    let (auto, told) = run(&recipe(place.path(), "finetune.yaml", "auto", &["training.frozen_prefix=auto"]), None, &[]);
    assert!(told.iter().any(|message| message.contains("it is run at each step: rows are others in each epoch")));
    let (usual, _) = run(&recipe(place.path(), "finetune.yaml", "usual", &[]), None, &[]);
    assert!(auto == usual);
}

/// Two convolutions of single pixels, for the masks of `examples/segmentation` at 8 by 8.
fn network_of_masks() -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 8.into(), 8.into()]));
    for (name, from, to) in [("first", 3, 4), ("last", 4, 2)] {
        let shape = [to, from, 1, 1];
        let filters = Initializer::named("he_normal").unwrap().draw(&shape, Fans::of_convolution(&shape), 5, name);
        let filters = graph.constant(&format!("{name}.weight"), filters);
        value = graph.add("Conv", &[value, filters], &[("kernel_shape", Attribute::Ints(vec![1, 1]))]).unwrap();
        if name == "first" {
            value = graph.add("Relu", &[value], &[]).unwrap();
        }
    }
    graph.output(value);
    graph.to_onnx("masks")
}

/// Texts of three to eight words, no two alike, a tokenizer for them, a network that tells the next token of each, and a recipe.
fn texts(place: &Path) -> String {
    let words = ["ada", "alan", "london", "paris", "is", "in", "and", "was"];
    let line = |row: usize| {
        let digits = [row % 8, row / 8 % 8, row / 64];
        let text: Vec<&str> = digits.into_iter().chain((0..row % 6).map(|at| at + 2)).map(|at| words[at]).collect();
        format!("{{\"text\": \"{}\", \"label\": \"x\"}}\n", text.join(" "))
    };
    std::fs::write(place.join("train.jsonl"), (0..100).map(line).collect::<String>()).unwrap();
    std::fs::write(place.join("test.jsonl"), (100..160).map(line).collect::<String>()).unwrap();
    let all = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().chain(words);
    let vocabulary: Vec<String> = all.enumerate().map(|(id, word)| format!("\"{word}\": {id}")).collect();
    let tokenizer = format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "decoder": null,
            "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "post_processor": null,
            "model": {{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {{{}}}}}}}"#,
        vocabulary.join(", ")
    );
    std::fs::write(place.join("tokenizer.json"), tokenizer).unwrap();
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let ids = TensorType::new(ElementType::I64, [Length::named("batch"), Length::named("sequence")]);
    let ids = graph.input("input_ids", ids);
    let mut weight = |name: &str, shape: [usize; 2]| {
        let fans = Fans::of_dense(shape[0], shape[1]);
        let values = Initializer::named("he_normal").unwrap().draw(&shape, fans, 5, name);
        graph.constant(name, values)
    };
    let (embedding, matrix) = (weight("embedding", [12, 8]), weight("w", [8, 12]));
    let bias = graph.constant("b", Constant::f32([12], &[0.0; 12]));
    let embedded = graph.add("Gather", &[embedding, ids], &[]).unwrap();
    let product = graph.add("MatMul", &[embedded, matrix], &[]).unwrap();
    let scores = graph.add("Add", &[product, bias], &[]).unwrap();
    graph.output(scores);
    std::fs::write(place.join("texts.onnx"), graph.to_onnx("texts")).unwrap();
    let recipe = "\
version: 1
seed: 1
model: {path: texts.onnx, head: keep, train: {last: 1}}
data:
  train: train.jsonl
  evaluate: test.jsonl
  batch: 20
  inputs: {input_ids: {token_ids: {column: text, tokenizer: tokenizer.json, pad_to_multiple_of: 2}}}
  targets: {next: {own_tokens: {learn: all}}}
training: {loss: causal_language_modelling, optimizer: {adamw: {learning_rate: 0.05}}}
output: {folder: run}
";
    let file = place.join("texts.yaml");
    std::fs::write(&file, recipe).unwrap();
    file.display().to_string()
}

#[test]
fn an_auto_run_goes_on_as_it_began_whether_there_is_room_by_then_or_not() {
    let place = place();
    let Some(resources) = resources(2) else { return };
    std::fs::write(place.path().join("masks.onnx"), network_of_masks()).unwrap();
    let (of_texts, texts) = (format!("model.path={}", place.path().join("texts.onnx").display()), texts(place.path()));
    let of_texts = [of_texts.as_str()];
    let model = format!("model.path={}", place.path().join("masks.onnx").display());
    let evaluated = "transforms.evaluate=[{resize: {size: 8}}]";
    let of_masks = [model.as_str(), "model.train={last: 1}", evaluated, "transforms.train=[{resize: {size: 8}}]"];
    let compiled = |recipe: &Recipe| Opened::open(recipe, &Catalogs::default()).unwrap().compile().unwrap();
    let options = |start| RunOptions { start, resources: Some(resources.clone()), ..RunOptions::default() };
    // another run that takes all the room: each of its rows in two hundred draws
    let much = |folder: &str| {
        let drawn = "transforms.train=[{resize: {size: 8}}, horizontal_flip]";
        let kept = "training.frozen_prefix={kept: {variants: 200, memory: 1 GB}}";
        let changes = [of_masks[0], of_masks[1], evaluated, drawn, kept, "training.epochs=200"];
        let recipe = recipe(place.path(), "../segmentation/train.yaml", folder, &changes);
        compiled(&recipe).run(&options(StartMode::New), &mut Silent).unwrap()
    };
    let plain = ["data.batch=20"];
    // batches of rows that have lengths of their own hold their inputs, so that what is not kept can be run
    for (name, file, changes, needs_room) in [
        ("digits", "finetune-plain.yaml", &plain[..], true),
        ("masks", "../segmentation/train.yaml", &of_masks[..], true),
        ("texts", texts.as_str(), &of_texts[..], false),
    ] {
        if name == "texts" && cfg!(not(feature = "tokenizers")) {
            continue;
        }
        let of = |folder: &str, own: &[&str]| {
            recipe(place.path(), file, &format!("{name}-{folder}"), &[changes, own].concat())
        };
        let (wanted, _) = run(&of("recomputed", &[]), None, &[]);
        for begins_with_room in [true, false] {
            let folder = if begins_with_room { "with-room" } else { "without-room" };
            let recipe = of(folder, &["training.frozen_prefix=auto", "output.checkpoint.every_steps=1"]);
            let beside = |is_there: bool| is_there.then(|| much(&format!("{name}-{folder}-much")));
            let other = beside(!begins_with_room);
            let mut begun = compiled(&recipe).run(&options(StartMode::New), &mut Silent).unwrap();
            begun.advance(Until::Step(2), &mut Silent, &Stop::default()).unwrap();
            drop((begun, other));
            let mut other = beside(begins_with_room);
            if other.is_some() && needs_room {
                // what it kept it needs
                let refused =
                    compiled(&recipe).run(&options(StartMode::Resume), &mut Silent).err().unwrap().to_string();
                for wanted in ["the run began with what its frozen part gives kept", "open fewer at a time"] {
                    assert!(refused.contains(wanted), "{name}: {refused}");
                }
                other = None;
            }
            let mut told = Vec::new();
            let mut events = |event: &Event| {
                if let Event::Note { message } = event {
                    told.push(message.clone());
                }
            };
            let mut resumed = compiled(&recipe).run(&options(StartMode::Resume), &mut events).unwrap();
            resumed.advance(Until::End, &mut events, &Stop::default()).unwrap();
            resumed.finish(&mut events).unwrap();
            let is_told = |part: &str| told.iter().any(|message| message.contains(part));
            assert_eq!(is_told("of this one it is run at each step"), other.is_some(), "{name}, {folder}: {told:?}");
            // where batches are run whole, none can be found among what is kept
            assert!(!is_told("had all their rows among what is kept"), "{name}, {folder}: {told:?}");
            drop(other);
            assert!(gave(&recipe.output.folder) == wanted, "{name}, {folder}: the results differ");
        }
    }
}

#[test]
fn an_auto_run_that_began_with_what_is_kept_is_resumed_with_less_memory_or_told_how_much_it_needs() {
    let place = place();
    if resources(1).is_none() {
        return;
    }
    let (of_texts, texts) = (format!("model.path={}", place.path().join("texts.onnx").display()), texts(place.path()));
    let long = "data.inputs.input_ids.token_ids.max_length=512";
    let digits = ["data.batch=20", "model.train={last: 2}", "evaluation.rows=600"];
    // rows of one length were computed in batches of their own, and have no inputs in those of training
    for (name, file, changes, little, needs_room) in [
        ("digits", "finetune-plain.yaml", &digits[..], "2 MiB", true),
        ("texts", texts.as_str(), &[of_texts.as_str(), long][..], "4 MiB", false),
    ] {
        if name == "texts" && cfg!(not(feature = "tokenizers")) {
            continue;
        }
        let of = |folder: &str, prefix: &str, memory: &str| {
            let own = [
                format!("training.frozen_prefix={prefix}"),
                format!("data.memory={memory}"),
                "output.checkpoint.every_steps=1".to_owned(),
            ];
            let own: Vec<&str> = changes.iter().copied().chain(own.iter().map(String::as_str)).collect();
            recipe(place.path(), file, &format!("{name}-{folder}"), &own)
        };
        let started = |recipe: &Recipe, start: StartMode| {
            let compiled = Opened::open(recipe, &Catalogs::default()).unwrap().compile().unwrap();
            let mut told = Vec::new();
            let mut events = |event: &Event| {
                if let Event::Note { message } = event {
                    told.push(message.clone());
                }
            };
            let run = compiled.run(&RunOptions { start, ..RunOptions::default() }, &mut events);
            (run, told.join("; "))
        };
        let (wanted, _) = run(&of("recomputed", "recomputed", "16 MiB"), None, &[]);
        // less than it began with, and more
        for (then, now, is_kept) in [("16 MiB", little, true), (little, "16 MiB", false)] {
            let folder = if is_kept { "less" } else { "more" };
            let (begun, told) = started(&of(folder, "auto", then), StartMode::New);
            assert_eq!(told.contains("run once for each row"), is_kept, "{name}, {then}: {told}");
            let mut begun = begun.unwrap();
            begun.advance(Until::Step(2), &mut Silent, &Stop::default()).unwrap();
            drop(begun);
            let mut memory = now.to_owned();
            if is_kept && needs_room {
                let (refused, _) = started(&of(folder, "auto", now), StartMode::Resume);
                let refused = refused.err().unwrap().to_string();
                assert!(refused.contains("the run began with what its frozen part gives kept"), "{name}: {refused}");
                // what it is told to set does
                let enough =
                    refused.split("set `data.memory` to ").nth(1).and_then(|rest| rest.split(" or more").next());
                memory = enough.unwrap_or_else(|| panic!("{name}: {refused}")).to_owned();
            }
            let finished = of(folder, "auto", &memory);
            let (resumed, told) = started(&finished, StartMode::Resume);
            let wanted_note = if is_kept { "run once for each row" } else { "as where the run began" };
            assert!(told.contains(wanted_note), "{name}, {now}: {told}");
            let mut resumed = resumed.unwrap_or_else(|error| panic!("{name}, {now}: {error}"));
            resumed.advance(Until::Step(4), &mut Silent, &Stop::default()).unwrap();
            drop(resumed);
            // and once more, by what it noted
            let mut resumed = started(&finished, StartMode::Resume).0.unwrap();
            resumed.advance(Until::End, &mut Silent, &Stop::default()).unwrap();
            resumed.finish(&mut Silent).unwrap();
            assert!(gave(&finished.output.folder) == wanted, "{name}, {folder}: the results differ");
        }
    }
}
