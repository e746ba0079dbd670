//! Files of adapters: written by a run, listed, extracted, merged, converted, and trained on.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use serde_json::{Value, json};

use crate::columns::texts;
use crate::dataset;
use crate::losses_of_places::{sentence, tokenizer};
use crate::workplace::{Workplace, has_runtime, millstream, text};

/// An interpreter of Python that has what `read_adapters.py` says.
const PEFT: &str = "MILLSTREAM_PEFT";

const LORA: [&str; 4] = [
    "model.methods=[{lora: {rank: 2, alpha: 6, layers: convolution}}]",
    "model.train=head",
    "training.epochs=4",
    "output.adapter_files=[peft, onnx_adapter]",
];

fn loss(place: &Workplace, model: &str) -> f64 {
    let said = place.run(&["evaluate", "recipe.yaml", "--json", "--model", model]).json();
    said["evaluation"]["loss"].as_f64().unwrap()
}

#[track_caller]
fn assert_near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-5, "{a}, {b}");
}

#[test]
fn what_an_adapter_is_given_to_notes_no_calibration_that_it_does_not_have() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &[&LORA[..], &["evaluation.calibrate={temperature: true}"]].concat()).done();
    let notes = |file: &str| {
        let wanted = b"millstream.temperature";
        place.read(file).windows(wanted.len()).any(|window| window == wanted)
    };
    assert_eq!((notes("run/model.onnx"), notes("run/base.onnx")), (true, false));
}

#[test]
fn what_a_run_has_trained_goes_from_file_to_file_and_is_trained_on() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &LORA).done();
    let tuned = loss(&place, "run/model.onnx");

    let listed = place.run(&["adapter", "list", "run", "--json"]).json();
    let own = &listed[0];
    assert_eq!((&own["method"], own["modules"].as_array().unwrap().len()), (&"LORA".into(), 1), "{listed}");
    let module = serde_json::json!({"module": "conv", "rank": 2, "alpha": 6.0, "numbers": 2 * 27 + 8 * 2});
    assert_eq!((&own["modules"][0], &own["whole"]), (&module, &serde_json::json!({"head.bias": 3, "head.weight": 24})));
    let said = place.run(&["adapter", "list", "run/adapter"]).done();
    assert!(said.contains("LoRA of rank 2 at 1 module, 70 numbers; 27 numbers whole"), "{said}");

    // the base with the adapter is the tuned model, and without it another
    let said =
        place.run(&["adapter", "merge", "run/base.onnx", "--adapter", "run/adapter", "-o", "merged.onnx"]).done();
    assert_eq!(said.matches("LoRA of rank 2").count(), 1, "its summary is told once: {said}");
    assert_near(loss(&place, "merged.onnx"), tuned);
    place.run(&["adapter", "merge", "run/base.onnx", "-a", "run/adapter.onnx_adapter", "-o", "merged.onnx"]).done();
    assert_near(loss(&place, "merged.onnx"), tuned);
    let base = loss(&place, "run/base.onnx");
    assert!((base - tuned).abs() > 1e-4, "{base}, {tuned}");
    let halves = ["-a", "run/adapter", "-w", "0.25", "-a", "run/adapter", "-w", "0.75", "--skip", "head"];
    place.run(&[&["adapter", "merge", "run/base.onnx", "-o", "merged.onnx"][..], &halves[..]].concat()).done();
    assert_near(loss(&place, "merged.onnx"), tuned);

    place.run(&["adapter", "extract", "run", "-o", "again"]).done();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        assert!(place.read(&format!("again/{file}")) == place.read(&format!("run/adapter/{file}")), "{file}");
    }
    place.run_with("train", &[&LORA[..], &["output.adapters=unmerged", "output.folder=apart"]].concat()).done();
    place.run(&["adapter", "extract", "apart/model.onnx", "-o", "taken"]).done();
    let list = |path: &str| {
        let mut listed = place.run(&["adapter", "list", path, "--json"]).json();
        listed[0].as_object_mut().unwrap().remove("path");
        listed
    };
    assert_eq!(list("taken"), list("run/adapter"));
    assert_eq!(list("apart/model.onnx"), list("run/adapter"));
    assert!(place.read("taken/adapter_model.safetensors") == place.read("run/adapter/adapter_model.safetensors"));
    place.run(&["adapter", "list", "run/model.onnx"]).failed_with(&["does not say where in it an adapter is"]);
    place.run(&["adapter", "extract", "run", "-o", "again.onnx_adapter"]).done();
    assert!(place.read("again.onnx_adapter") == place.read("run/adapter.onnx_adapter"));
    let there = ["adapter", "convert", "run/adapter", "-o", "there.onnx_adapter", "--skip", "head"];
    place.run(&[&there[..], &["--model", "model.onnx", "--base", "there.onnx"]].concat()).done();
    assert!(place.read("there.onnx_adapter") == place.read("run/adapter.onnx_adapter"));
    place.run(&["adapter", "convert", "there.onnx_adapter", "-o", "back"]).done();
    place
        .run(&["adapter", "convert", "there.onnx_adapter", "-o", "cut", "--cut", "m"])
        .failed_with(&["`--cut m` is in front of no module of it"]);
    let said = place.run(&["adapter", "list", "back"]).done();
    assert!(said.contains("LoRA of rank 2 at 1 module, 70 numbers\n"), "{said}");

    // a run that starts from it starts where the first has ended, head included
    let on = [
        "model.methods=[{peft: {folder: run/adapter}}]",
        "training.epochs=2",
        "output.folder=further",
        "model.train=head",
    ];
    let said = place.run_with("check", &on).done();
    assert!(said.contains("the adapter holds LoRA of rank 2 at 1 module"), "{said}");
    place.run_with("train", &on).done();
    let metrics: Value = serde_json::from_slice(&place.read("further/metrics.json")).unwrap();
    assert_near(metrics["history"]["start"]["loss"].as_f64().unwrap(), tuned);
    // whose folder that was is nobody's who reads the card
    place.run(&["document", "further"]).done();
    let card = String::from_utf8(place.read("further/documents/README.md")).unwrap();
    assert!(card.contains("peft") && !card.contains("run/adapter"), "{card}");
    let weights = place.read("run/adapter/adapter_model.safetensors");
    let mut other = weights.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(place.path("run/adapter/adapter_model.safetensors"), other).unwrap();
    let resumed = [&["train", "recipe.yaml", "--resume"][..], &on.map(|change| ["--set", change]).concat()].concat();
    place.run(&resumed).failed_with(&["`model.methods` changed since that run began"]);
}

#[test]
fn a_folder_of_virtual_tokens_alone_is_merged_into_its_model() {
    let place = Workplace::bare();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests");
    let model = files.join("architectures/bert.script.onnx");
    for method in ["prompt_tuning", "p_tuning", "prefix_tuning"] {
        let folder = files.join("adapter_files").join(method);
        let (model, folder) = (model.to_str().unwrap(), folder.to_str().unwrap());
        place.run(&["adapter", "merge", model, "--adapter", folder, "-o", "merged.onnx"]).done();
        assert!(place.path("merged.onnx").exists(), "{method}");
        std::fs::remove_file(place.path("merged.onnx")).unwrap();
    }
}

#[test]
fn a_converted_file_of_each_method_is_listed_merged_and_converted_back() {
    let place = Workplace::bare();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests");
    let path = |name: &str| files.join(name).to_str().unwrap().to_owned();
    let model = path("architectures/bert.script.onnx");
    for method in ["ia3", "vera", "oft", "oft_exact", "boft", "dora", "lora_bias"] {
        let folder = path(&format!("adapter_files/{method}"));
        place.run(&["adapter", "convert", &folder, "-o", "own.onnx_adapter"]).done();
        let summary = |path: &str| place.run(&["adapter", "list", path, "--json"]).json()[0]["summary"].clone();
        assert_eq!(summary("own.onnx_adapter"), summary(&folder), "{method}");
        place.run(&["adapter", "merge", &model, "-a", "own.onnx_adapter", "-o", "merged.onnx"]).done();
        place.run(&["adapter", "convert", "own.onnx_adapter", "-o", "back"]).done();
        place.run(&["adapter", "convert", &folder, "-o", "direct"]).done();
        // of factors the scale is in B
        let has_scale = method.starts_with("lora") || method == "dora";
        for file in ["adapter_config.json", "adapter_model.safetensors"].iter().filter(|_| !has_scale) {
            let [back, direct] = ["back", "direct"].map(|folder| place.read(&format!("{folder}/{file}")));
            assert!(back == direct, "{method}: {file}");
        }
    }
    for (method, words) in [
        ("ln_tuning", "LN_TUNING holds other numbers"),
        ("prompt_tuning", "rows with virtual tokens are longer"),
        ("p_tuning", "rows with virtual tokens are longer"),
        ("prefix_tuning", "rows with virtual tokens are longer"),
        ("pissa", "PiSSA is for weights that are others"),
    ] {
        let folder = path(&format!("adapter_files/{method}"));
        let arguments = ["adapter", "convert", &folder, "-o", "own.onnx_adapter"];
        let skip = ["--model", &model, "--base", "base.onnx"];
        place.run(&[&arguments[..], &skip].concat()).failed_with(&[words, "merge it, or keep PEFT's folder"]);
    }
}

#[test]
fn a_folder_of_vera_without_its_matrices_is_for_all_layers_of_a_model() {
    let place = Workplace::bare();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests");
    let path = |name: &str| files.join(name).to_str().unwrap().to_owned();
    let (model, folder) = (path("architectures/bert.script.onnx"), path("adapter_files/vera_drawn"));
    let merge = ["adapter", "merge", &model, "-a", &folder, "-o", "merged.onnx"];
    place.run(&merge).done();
    let skip = ["--skip", "*query"];
    place.run(&[&merge[..], &skip].concat()).failed_with(&["vera_A and vera_B are drawn for all of them"]);
    let convert = ["adapter", "convert", &folder, "-o", "own.onnx_adapter"];
    place.run(&convert).failed_with(&["name that by `--model`"]);
    place.run(&[&convert[..], &["--model", &model]].concat()).done();
    // which holds them, so that a layer may be left out
    let held = ["adapter", "merge", &model, "-a", "own.onnx_adapter", "-o", "merged.onnx"];
    place.run(&[&held[..], &skip].concat()).done();
    // a folder is drawn by the same key again
    place.run(&["adapter", "convert", &folder, "-o", "again"]).done();
    let config: Value = serde_json::from_slice(&place.read("again/adapter_config.json")).unwrap();
    assert_eq!((&config["save_projection"], &config["projection_prng_key"]), (&json!(false), &json!(11)));
}

#[test]
fn several_adapters_get_one_base_and_a_pattern_need_match_one_of_them() {
    let place = Workplace::bare();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests");
    let path = |name: &str| files.join(name).to_str().unwrap().to_owned();
    let (model, lora) = (path("architectures/bert.script.onnx"), path("adapter_files/lora"));
    let with_bias = path("adapter_files/lora_bias");
    let from = ["adapter", "convert", &lora, &with_bias];
    let to = ["-o", "a.onnx_adapter", "-o", "b.onnx_adapter", "--model", &model, "--base", "base.onnx"];
    // the head and biases are in one of them alone
    let skip = ["--skip", "classifier", "--skip", "*.bias"];
    place.run(&[&from[..], &to].concat()).failed_with(&["do not hold the same numbers whole", "`--skip`"]);
    place.run(&[&from[..], &to, &skip].concat()).failed_with(&["`lora_bias`", "word_embeddings", "`--skip`"]);
    let all = [&from[..], &to, &skip, &["--skip", "*word_embeddings"]].concat();
    let said = place.run(&all).done();
    assert!(said.contains("b.onnx_adapter\n") && said.contains("base.onnx\n"), "{said}");
    let listed = place.run(&["adapter", "list", "a.onnx_adapter", "--json"]).json();
    assert_eq!(listed[0]["modules"].as_array().unwrap().len(), 6, "{listed}");
    let merged =
        ["adapter", "merge", &model, "-a", &lora, "-w", "0.5", "-a", &with_bias, "-w", "0.5", "-o", "merged.onnx"];
    place.run(&merged).failed_with(&["of which no part can be taken", "`--skip`"]);
    place.run(&[&merged[..], &skip].concat()).done();
    place
        .run(&[&merged[..], &skip, &["--skip", "scorer"]].concat())
        .failed_with(&["`--skip scorer` matches no module of it and of no other adapter"]);
    place.run(&[&from[..], &to[..2]].concat()).failed_with(&["2 adapters and 1 output"]);
    let twice = ["-o", "a.onnx_adapter", "-o", "a.onnx_adapter"];
    place.run(&[&from[..], &twice].concat()).failed_with(&["two adapters would be written there"]);
}

#[test]
fn factors_that_were_never_trained_are_not_extracted() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &[LORA[0], LORA[1], "training.epochs=1"]).done();
    std::fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    place.run(&["adapter", "extract", "run", "-o", "taken"]).failed_with(&["has no checkpoint"]);
    assert!(!place.path("taken").exists());
}

#[test]
fn mistakes_with_adapters_say_what_to_do() {
    let place = Workplace::new();
    for (changes, words) in [
        (["output.adapter_files=[peft]", "model.methods=[]"], "`model.methods` adds nothing"),
        (["output.adapter_files=[]", "model.methods=[{peft: {folder: nowhere}}]"], "nowhere"),
        (["output.adapter_files=[onx]", "model.methods=[]"], "onx"),
    ] {
        place.run_with("check", &changes).failed_with(&[words]);
    }
    std::fs::create_dir(place.path("empty")).unwrap();
    place.write("text.onnx_adapter", "nothing of the kind");
    for (arguments, words) in [
        (["list", "empty"], "adapter_config.json is not in it"),
        (["list", "text.onnx_adapter"], "it is no .onnx_adapter"),
        (["list", "nowhere"], "cannot read"),
    ] {
        place.run(&[&["adapter"][..], &arguments].concat()).failed_with(&[words]);
    }
    for (arguments, words) in [
        (["-o", "x.onnx_adapter", "--cut", "m"], "`--cut` is for a folder of PEFT"),
        (["--model=model.onnx", "--base=x.onnx", "-o", "x"], "`--base` is for an .onnx_adapter"),
    ] {
        place.run(&[&["adapter", "convert", "empty"][..], &arguments].concat()).failed_with(&[words]);
    }
    assert_eq!(millstream(&["adapter", "merge", "model.onnx", "-o", "x.onnx"]).code, Some(2));
    let uneven = ["adapter", "merge", "model.onnx", "-a", "a", "-a", "b", "-w", "1", "-o", "x.onnx"];
    place.run(&uneven).failed_with(&["2 adapters and 1 weights"]);
}

#[test]
fn a_place_is_named_once_no_option_that_there_is_not_is_advised_and_no_model_becomes_a_text() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("leer é")).unwrap();
    for (arguments, words) in [
        (&["list", "leer é"][..], "it is no folder of PEFT: adapter_config.json is not in it"),
        (&["extract", "nothing", "-o", "ex"], "there is nothing there"),
        (&["extract", "leer é", "-o", "ex"], "it is no run"),
        (&["merge", "model.onnx", "-a", "leer é", "-o", "merged.txt"], "let its name end with .onnx"),
        (
            &["convert", "a", "-o", "a.onnx_adapter", "--model", "model.onnx", "--base", "base.txt"],
            "let its name end with .onnx",
        ),
    ] {
        let said = place.run(&[&["adapter"][..], arguments].concat()).failed_with(&[words]);
        assert!(!said.contains("--resume") && said.matches("leer é").count() < 2, "{said}");
    }
    assert!(!place.path("merged.txt").exists() && !place.path("base.txt").exists());
}

#[test]
fn the_help_of_list_and_extract_says_which_unmerged_models_they_take() {
    let place = Workplace::new();
    for command in ["list", "extract"] {
        let said = place.run(&["adapter", command, "--help"]).done();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = "a model with `adapters: unmerged` of `lora` (without `start: pissa`), `ia3`, `oft` or `boft`";
        assert!(said.contains(wanted), "{said}");
    }
}

/// Each method that has a folder of PEFT's, trained on a BERT, in PEFT's model and in Python's onnxruntime.
#[test]
fn peft_and_python_s_onnxruntime_compute_what_our_adapters_do() {
    const WORDS: [&str; 8] = ["ada", "alan", "london", "paris", "is", "in", "and", "was"];
    let Some(python) = std::env::var_os(PEFT) else {
        println!("left out, {PEFT} is not set");
        return;
    };
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    tokenizer(&place.path("tokenizer.json"), &WORDS);
    let labels: Int64Array = (0..24).map(|row| Some(row % 3)).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("text", texts((0..24).map(|row| sentence(row, &WORDS).join(" ")))), ("label", Arc::new(labels) as ArrayRef)];
    dataset::write_columns(&place.path("train.parquet"), &columns, false);
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests/architectures");
    let model = files.join("bert.script.onnx");
    let patterns = json!({"match": ["*query", "*value", "*word_embeddings"]});
    let lora = json!({"lora": {
        "rank": 2, "alpha": 6, "rank_stabilized": true, "rank_patterns": {"*.1.*": 4}, "bias": "lora_only", "layers": patterns,
    }});
    let methods = [
        ("lora", lora, true),
        ("dora", json!({"lora": {"rank": 2, "dora": true}}), true),
        ("dora_of_tables", json!({"lora": {"rank": 2, "dora": true, "layers": patterns}}), true),
        ("pissa", json!({"lora": {"rank": 2, "start": "pissa"}}), false),
        ("ia3", json!("ia3"), true),
        ("vera", json!({"vera": {"rank": 6}}), true),
        ("oft", json!({"oft": {"block_size": 8}}), true),
        ("boft", json!({"boft": {"block_size": 4}}), true),
        ("prompt_tuning", json!({"prompt_tuning": {"length": 3}}), false),
        ("p_tuning", json!({"p_tuning": {"length": 3}}), false),
        ("prefix_tuning", json!({"prefix_tuning": {"length": 3, "moves_places": true}}), false),
    ];
    let mut read = Command::new(&python);
    read.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/read_adapters.py")).arg(&model);
    for (name, method, for_onnxruntime) in &methods {
        let adapter_files: &[&str] = if *for_onnxruntime { &["peft", "onnx_adapter"] } else { &["peft"] };
        let tokens = json!({"column": "text", "tokenizer": "tokenizer.json", "max_length": 12});
        let recipe = json!({
            "version": 1,
            "seed": 1,
            "model": {"path": text(&model), "head": "keep", "train": "head", "methods": [method]},
            "data": {"train": "train.parquet", "batch": 4, "inputs": {"input_ids": {"token_ids": tokens}}},
            "training": {"epochs": 3, "threads": 1, "device": "cpu", "optimizer": {"adamw": {"learning_rate": 0.05}}},
            "output": {"folder": name, "adapter_files": adapter_files},
        });
        place.write("recipe.yaml", &recipe.to_string());
        place.run(&["train", "recipe.yaml"]).done();
        read.arg(place.path(name));
    }
    let read = read.output().expect("Python starts");
    let said = String::from_utf8_lossy(&read.stdout).into_owned() + &String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
    assert_eq!(said.matches(": PEFT within ").count(), methods.len(), "{said}");
    let for_onnxruntime = methods.iter().filter(|(_, _, for_onnxruntime)| *for_onnxruntime).count();
    assert_eq!(said.matches(", onnxruntime with the adapter ").count(), for_onnxruntime, "{said}");
}
