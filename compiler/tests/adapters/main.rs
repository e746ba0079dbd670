//! Files of adapters: those that PEFT and ONNX Runtime have written compute here what they do there, and ours hold what a run
//! has trained. `adapter_files/make.py` writes the folders of PEFT.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod as_inputs;
mod for_peft;
#[path = "../onnx_runtime/mod.rs"]
mod onnx_runtime;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_compiler::adapter_files::{
    self, Adapter, AdapterMethod, ModuleAdapter, OnnxAdapter, PeftFolder, Tensor,
};
use millstream_compiler::finetuning::methods;
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, adapters_in, compile,
    merge_adapters, taking_adapter, taking_adapters,
};
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use millstream_schemas::{AxisLength, Choice};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor as OrtTensor};
use serde_json::json;

const FOLDERS: [&str; 16] = [
    "lora",
    "dora",
    "dora_of_tables",
    "ia3",
    "vera",
    "vera_drawn",
    "oft",
    "boft",
    "boft_of_eight",
    "oft_exact",
    "lora_bias",
    "pissa",
    "ln_tuning",
    "prompt_tuning",
    "p_tuning",
    "prefix_tuning",
];
const CLASSES: usize = 3;

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn bert() -> Model {
    Model::read(&place("architectures/bert.script.onnx")).unwrap()
}

fn folder(name: &str) -> Adapter {
    adapter_files::read(&place("adapter_files").join(name)).unwrap()
}

/// What PEFT's model makes, by folder; of none, the model itself.
fn scores_of_peft() -> BTreeMap<String, Vec<f32>> {
    serde_json::from_slice(&fs::read(place("adapter_files/scores.json")).unwrap()).unwrap()
}

fn texts() -> Vec<(String, DynValue)> {
    let ids: Vec<i64> = (0..24).map(|at| (7 * (at / 12) + 3 * (at % 12)) % 90 + 5).collect();
    let mask: Vec<i64> = (0..24).map(|at| i64::from(at < 21)).collect();
    let tensor = |values: Vec<i64>| OrtTensor::from_array(([2_usize, 12], values)).unwrap().into_dyn();
    vec![("input_ids".to_owned(), tensor(ids)), ("attention_mask".to_owned(), tensor(mask))]
}

fn scores(model: &[u8], more: Vec<(String, DynValue)>) -> Vec<f32> {
    let mut inputs = texts();
    inputs.extend(more);
    run(&mut session(model), inputs).remove(0)
}

#[track_caller]
fn assert_near(got: &[f32], wanted: &[f32], what: &str) {
    let difference = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).abs()).fold(0.0, f32::max);
    assert!(got.len() == wanted.len() && difference < 1e-5, "{what}: {got:?}, wanted {wanted:?}");
}

fn as_inputs(file: &OnnxAdapter) -> Vec<(String, DynValue)> {
    file.parameters.iter().map(|(name, tensor)| (name.clone(), floats(tensor.shape(), tensor.values()))).collect()
}

#[test]
fn a_folder_of_peft_merged_gives_what_peft_gives() {
    if !onnx_runtime::available() {
        return;
    }
    let (catalog, wanted) = (OperatorCatalog::standard(), scores_of_peft());
    let merged = |adapters: &[(&Adapter, f64)]| {
        let (file, _) = merge_adapters(&bert(), adapters, &catalog).unwrap();
        scores(&file.to_vec(), Vec::new())
    };
    assert_near(&merged(&[]), &wanted[""], "the model itself");
    for name in FOLDERS {
        assert_near(&merged(&[(&folder(name), 1.0)]), &wanted[name], name);
    }
    // two halves are a whole, and nothing of it is the model itself
    let vera = folder("vera");
    assert_near(&merged(&[(&vera, 0.5), (&vera, 0.5)]), &wanted["vera"], "two halves");
    assert_near(&merged(&[(&vera, 2.0), (&vera, -1.0)]), &wanted["vera"], "twice less once");
    assert_near(&merged(&[(&vera, 0.0)]), &wanted[""], "nothing of it");
}

#[test]
fn matrices_of_vera_that_a_folder_does_not_hold_are_those_that_peft_draws_by_its_key() {
    let catalog = OperatorCatalog::standard();
    let held = folder("vera");
    let drawn = Adapter { method: AdapterMethod::Vera { key: Some(0) }, shared: BTreeMap::new(), ..held.clone() };
    let files = PeftFolder::of(&drawn);
    let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    assert_eq!((&config["save_projection"], &config["projection_prng_key"]), (&json!(false), &json!(0)));
    assert_eq!(files.adapter().unwrap(), drawn);
    // PEFT has written the matrices of `held`, to the bit
    let taking = taking_adapter(&bert(), &drawn, &catalog).unwrap();
    assert_eq!(taking.adapter.adapter().unwrap().shared, held.shared);
    let refused = OnnxAdapter::of(&drawn).unwrap_err();
    assert!(refused.contains("name that by `--model`"), "{refused}");
    let other = Adapter { method: AdapterMethod::Vera { key: Some(1) }, ..drawn.clone() };
    let other = taking_adapter(&bert(), &other, &catalog).unwrap().adapter.adapter().unwrap();
    assert_ne!(other.shared, held.shared);
    if onnx_runtime::available() {
        let (merged, _) = merge_adapters(&bert(), &[(&drawn, 1.0)], &catalog).unwrap();
        assert_near(&scores(&merged.to_vec(), Vec::new()), &scores_of_peft()["vera"], "drawn");
    }
}

/// And it puts rows one behind the other to pick the last token of each.
#[test]
fn a_prefix_of_peft_is_not_refused_where_an_exporter_names_the_rows_of_each_input_otherwise() {
    if !onnx_runtime::available() {
        return;
    }
    let (catalog, wanted) = (OperatorCatalog::standard(), scores_of_peft());
    let model = Model::read(&place("adapter_files/llama.onnx")).unwrap();
    let (itself, _) = merge_adapters(&model, &[], &catalog).unwrap();
    assert_near(&scores(&itself.to_vec(), Vec::new()), &wanted["_llama"], "the model itself");
    let name = "prefix_tuning_llama";
    let (merged, notes) = merge_adapters(&model, &[(&folder(name), 1.0)], &catalog).unwrap();
    assert_near(&scores(&merged.to_vec(), Vec::new()), &wanted[name], name);
    assert!(notes.iter().any(|note| note.contains("left out of what")), "{notes:?}");
}

/// Tokens are moved on by the prefix in the table of places.
#[test]
fn a_prefix_of_peft_merged_into_a_decoder_gives_what_peft_gives() {
    if !onnx_runtime::available() {
        return;
    }
    let (catalog, wanted) = (OperatorCatalog::standard(), scores_of_peft());
    let (file, suffix) = ("gpt2.script", "_gpt2");
    let model = Model::read(&place(&format!("architectures/{file}.onnx"))).unwrap();
    let first_four = |file: &[u8]| -> Vec<f32> {
        let made = run(&mut session(file), texts()).remove(0);
        made.chunks(32).flat_map(|token| token[..4].to_vec()).collect()
    };
    let (itself, _) = merge_adapters(&model, &[], &catalog).unwrap();
    assert_near(&first_four(&itself.to_vec()), &wanted[suffix], file);
    let name = format!("prefix_tuning{suffix}");
    let adapter = folder(&name);
    let (merged, notes) = merge_adapters(&model, &[(&adapter, 1.0)], &catalog).unwrap();
    assert_near(&first_four(&merged.to_vec()), &wanted[&name], &name);
    assert!(notes.iter().any(|note| note.contains("those of the prefix in 2 attentions")), "{notes:?}");
    assert_eq!(PeftFolder::of(&adapter).adapter().unwrap(), adapter);
    // of other heads, which would be another prefix of as many numbers
    let other = Adapter { method: AdapterMethod::PrefixTuning { layers: 2, heads: 1 }, ..adapter };
    let error = merge_adapters(&model, &[(&other, 1.0)], &catalog).unwrap_err().to_string();
    assert!(error.contains("keys and values of 2 layers with 1 heads, and the model has 2 attentions"), "{error}");
}

fn compiled(methods: &[Choice], train: TrainSelection) -> TrainingProgram {
    try_compiled(methods, train).unwrap()
}

fn try_compiled(methods: &[Choice], train: TrainSelection) -> Result<TrainingProgram, CompilerError> {
    try_compiled_of(&bert(), methods, train)
}

fn try_compiled_of(model: &Model, methods: &[Choice], train: TrainSelection) -> Result<TrainingProgram, CompilerError> {
    let chosen = methods.iter().map(|choice| Method::choose(methods::standard(), choice, "model.methods[0]").unwrap());
    let batch = AxisLength::Named("batch".into());
    let inputs = ["input_ids", "attention_mask"].map(|name| (name.to_owned(), vec![batch.clone(), "sequence".into()]));
    let inputs: BTreeMap<String, Vec<AxisLength>> = inputs.into_iter().collect();
    let wanted = FineTuning {
        head: HeadChoice::keep(),
        train,
        methods: chosen.collect(),
        inputs,
        ..FineTuning::head(batch, CLASSES)
    };
    compile(model, &wanted, &OperatorCatalog::standard())
}

/// Whatever was learned.
fn learned(program: &TrainingProgram) -> Vec<Vec<f32>> {
    let drawn = |(at, first): (usize, &Vec<f32>)| -> Vec<f32> {
        let numbers = (0..first.len()).map(|place| ((place * 7919 + at * 104_729) % 2003) as f32 / 10_010.0 - 0.1);
        first.iter().zip(numbers).map(|(first, number)| first + number).collect()
    };
    program.parameters.iter().enumerate().map(drawn).collect()
}

/// What was trained, as a folder of PEFT and as inputs, gives what the exported model gives, and training goes on from it.
#[test]
fn what_a_run_has_trained_is_in_its_files() {
    if !onnx_runtime::available() {
        return;
    }
    let catalog = OperatorCatalog::standard();
    let qv = json!({"roles": ["query", "value"]});
    for (name, options, train) in [
        ("lora", json!({"rank": 3, "alpha": 12, "layers": qv, "bias": "all"}), TrainSelection::Head),
        (
            "lora",
            json!({"rank": 2, "rank_stabilized": true, "rank_patterns": {"*.1.*": 4}, "layers": qv}),
            TrainSelection::Nothing,
        ),
        // PEFT knows no rank of 0: the layers are none of its modules
        (
            "lora",
            json!({"rank": 2, "rank_patterns": {"*.1.*": 0}, "layers": qv, "bias": "lora_only"}),
            TrainSelection::Nothing,
        ),
        ("lora", json!({"rank": 2, "layers": {"match": ["*word_embeddings", "*query"]}}), TrainSelection::Nothing),
        ("lora", json!({"rank": 2, "dora": true, "bias": "lora_only"}), TrainSelection::Nothing),
        (
            "lora",
            json!({"rank": 2, "dora": true, "layers": {"match": ["*word_embeddings", "*query"]}}),
            TrainSelection::Nothing,
        ),
        ("ia3", json!({}), TrainSelection::Head),
        ("vera", json!({"rank": 6}), TrainSelection::Nothing),
        ("oft", json!({"block_size": 16, "layers": qv}), TrainSelection::Last(2)),
        ("oft", json!({"block_size": 16, "exact": true, "layers": qv}), TrainSelection::Nothing),
        ("boft", json!({"block_size": 4, "factors": 2, "layers": qv}), TrainSelection::Nothing),
        ("boft", json!({"block_size": 8, "factors": 3, "layers": qv}), TrainSelection::Nothing),
        ("lora", json!({"rank": 2, "alpha": 6, "lora_bias": true, "layers": qv}), TrainSelection::Nothing),
        ("lora", json!({"rank": 2, "alpha": 3, "start": "pissa"}), TrainSelection::Nothing),
        ("lora", json!({"rank": 3, "rank_stabilized": true, "start": "pissa", "layers": qv}), TrainSelection::Nothing),
        ("prompt_tuning", json!({"length": 4}), TrainSelection::Head),
        ("p_tuning", json!({"length": 3, "hidden_size": 6}), TrainSelection::Nothing),
        ("prefix_tuning", json!({"length": 3, "moves_places": true}), TrainSelection::Head),
        (
            "prefix_tuning",
            json!({"length": 2, "moves_places": true, "projection": true, "hidden_size": 5}),
            TrainSelection::Nothing,
        ),
    ] {
        let choice = Choice::new(name, options);
        let program = compiled(std::slice::from_ref(&choice), train.clone());
        let parameters = learned(&program);
        let what = format!("{choice:?}");
        let exported = program.export_with(&parameters, AdaptersOutput::Merged, &[]).unwrap();
        let wanted = scores(&exported.to_vec(), Vec::new());
        let adapters = program.adapters(&parameters).unwrap();
        let [adapter] = adapters.as_slice() else { panic!("{what}: one method") };
        let has_prompt = adapter.method.has_prompt();
        let module = adapter.modules.keys().next().map_or("bert.", String::as_str);
        assert!(module.starts_with("bert."), "{module}: the wrapper `model` is no part of the source");

        let files = PeftFolder::of(adapter);
        let read = files.adapter().unwrap();
        assert_eq!(&read, adapter, "{what}");
        let (merged, _) = merge_adapters(&bert(), &[(&read, 1.0)], &catalog).unwrap();
        assert_near(&scores(&merged.to_vec(), Vec::new()), &wanted, &what);

        let base = program.export_without_adapters(&parameters, &[]).unwrap().to_vec();
        let is_principal = choice.options["start"] == "pissa";
        if has_prompt || is_principal {
            assert!(program.require_adapters(false).is_ok());
            let refused = program.require_adapters(true).unwrap_err().to_string();
            assert!(refused.contains("write `peft`"), "{refused}");
        } else {
            let bare = Adapter { whole: BTreeMap::new(), biases: adapter_files::Biases::None, ..read.clone() };
            let before = scores(&base, Vec::new());
            let taking = taking_adapter(&Model::from_bytes(base.clone()).unwrap(), &bare, &catalog).unwrap();
            let model = taking.model.to_vec();
            assert_near(&scores(&model, Vec::new()), &before, &what);
            assert_near(&scores(&model, as_inputs(&taking.adapter)), &wanted, &what);
            // the file alone says as much as PEFT's folder
            let back = OnnxAdapter::from_bytes(&taking.adapter.to_bytes().unwrap()).unwrap().adapter().unwrap();
            let (merged, _) = merge_adapters(&Model::from_bytes(base).unwrap(), &[(&back, 1.0)], &catalog).unwrap();
            assert_near(&scores(&merged.to_vec(), Vec::new()), &wanted, &what);
        }

        let place = std::env::temp_dir().join(format!("millstream-adapter-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(PeftFolder::CONFIG), &files.config).unwrap();
        fs::write(place.join(PeftFolder::TENSORS), &files.tensors).unwrap();
        let from = Choice::new("peft", json!({"folder": place}));
        let again = compiled(&[from], train);
        let first = again.export_with(&again.parameters, AdaptersOutput::Merged, &[]).unwrap();
        assert_near(&scores(&first.to_vec(), Vec::new()), &wanted, &what);
        let unmerged = again.export_with(&again.parameters, AdaptersOutput::Unmerged, &[]).unwrap();
        assert_near(&scores(&unmerged.to_vec(), Vec::new()), &wanted, &what);
        // of an encoder only what it makes is in the file, of PiSSA twice the ranks
        let is_encoded = name == "p_tuning" || choice.options["projection"] == true;
        assert!(is_encoded || is_principal || program.trained == again.trained, "{what}");

        let unmerged = program.export_with(&parameters, AdaptersOutput::Unmerged, &[]).unwrap().to_vec();
        let found = adapters_in(&Model::from_bytes(unmerged).unwrap());
        if has_prompt || is_principal || name == "vera" {
            let refused = found.unwrap_err().to_string();
            let wanted = "and `lora` (without `start: pissa`), `ia3`, `oft` or `boft` exports such a model";
            assert!(refused.contains(wanted), "{what}: {refused}");
        } else {
            assert_eq!(found.unwrap(), adapters, "{what}");
        }
        fs::remove_dir_all(place).unwrap();
    }
}

/// The same model, whose pooler is called so that the name of the head is the end of its.
fn bert_with_a_layer_before_the_classifier() -> Model {
    let mut bytes = fs::read(place("architectures/bert.script.onnx")).unwrap();
    for (from, to) in [("bert/pooler/dense", "prepre_classifier"), ("bert.pooler.dense", "prepre_classifier")] {
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
        assert!(!places.is_empty(), "{from}");
        places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    }
    Model::from_bytes(bytes).unwrap()
}

#[test]
fn an_adapted_layer_whose_name_ends_as_that_of_the_head_is_held_whole_for_peft() {
    const TAKEN: &str = "prepre_classifier";
    let (catalog, model) = (OperatorCatalog::standard(), bert_with_a_layer_before_the_classifier());
    let lora = |layers: serde_json::Value| [Choice::new("lora", json!({"rank": 2, "layers": layers}))];
    let program = try_compiled_of(&model, &lora(json!("linear")), TrainSelection::Head).unwrap();
    let parameters = learned(&program);
    let plain = program.adapters(&parameters).unwrap().remove(0);
    assert_eq!(plain.clash(), Some((TAKEN, "classifier")));
    let (adapters, notes) = program.peft_adapters(&parameters).unwrap();
    assert!(notes[0].starts_with("PEFT takes `prepre_classifier` for `classifier`"), "{notes:?}");
    let files = PeftFolder::of(&adapters[0]);
    let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    assert_eq!(config["modules_to_save"], json!(["classifier", TAKEN]));
    assert!(!config["target_modules"].as_array().unwrap().contains(&json!(TAKEN)), "{config}");
    let read = files.adapter().unwrap();
    assert_eq!((read.clash(), read.whole.len()), (None, 4), "{:?}", read.whole.keys());
    // PEFT takes it for the head where nothing is added to it too
    let roles = lora(json!({"roles": ["query"]}));
    let other = try_compiled_of(&model, &roles, TrainSelection::Head).unwrap();
    let (adapters, notes) = other.peft_adapters(&other.parameters).unwrap();
    assert_eq!((adapters[0].whole.len(), notes.len()), (4, 0), "{:?}", adapters[0].whole.keys());
    // all that is added cannot be merged away
    let only = try_compiled_of(&model, &lora(json!({"match": ["*prepre_classifier"]})), TrainSelection::Head).unwrap();
    let refused = only.require_adapters(false).unwrap_err().to_string();
    assert!(refused.contains("`prepre_classifier`") && refused.contains("`classifier`"), "{refused}");
    assert!(only.require_adapters(true).is_ok());
    if onnx_runtime::available() {
        let wanted = scores(&program.export(&parameters, &[]).unwrap().to_vec(), Vec::new());
        let (merged, _) = merge_adapters(&model, &[(&read, 1.0)], &catalog).unwrap();
        assert_near(&scores(&merged.to_vec(), Vec::new()), &wanted, "merged");
    }
}

#[test]
fn a_bias_that_is_trained_by_itself_is_in_no_module_that_peft_would_look_for_whole() {
    let program = compiled(&[Choice::new("lora", json!({"rank": 2}))], TrainSelection::Biases);
    let (adapters, _) = program.peft_adapters(&program.parameters).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&PeftFolder::of(&adapters[0]).config).unwrap();
    assert_eq!((&config["bias"], &config["modules_to_save"]), (&json!("all"), &json!(["classifier"])));
}

#[test]
fn normalizations_that_are_trained_alone_are_a_folder_of_ln_tuning() {
    let program = compiled(&[], TrainSelection::Norms);
    let parameters = learned(&program);
    let adapter = program.peft_adapters(&parameters).unwrap().0.remove(0);
    assert_eq!(adapter.in_words(), "LN tuning of 5 normalizations; 419 numbers whole");
    let files = PeftFolder::of(&adapter);
    let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    assert_eq!((&config["peft_type"], &config["modules_to_save"]), (&json!("LN_TUNING"), &json!(["classifier"])));
    assert_eq!(config["target_modules"].as_array().unwrap().len(), 5, "{config}");
    let key = b"base_model.model.bert.embeddings.LayerNorm.ln_tuning_layers.weight";
    assert!(files.tensors.windows(key.len()).any(|part| part == key));
    assert_eq!(files.adapter().unwrap(), adapter);
    let refused = program.require_adapters(true).unwrap_err().to_string();
    assert!(refused.contains("LN_TUNING holds other numbers"), "{refused}");
    // what a folder holds is trained on, and written again
    let from = Choice::new("peft", json!({"folder": place("adapter_files/ln_tuning")}));
    let again = compiled(&[from], TrainSelection::Nothing);
    assert_eq!(again.adapters(&again.parameters).unwrap()[0].whole.len(), 10);
    assert_eq!(again.trained, 5 * 64);
    if onnx_runtime::available() {
        let wanted = scores(&program.export(&parameters, &[]).unwrap().to_vec(), Vec::new());
        let (merged, _) = merge_adapters(&bert(), &[(&adapter, 1.0)], &OperatorCatalog::standard()).unwrap();
        assert_near(&scores(&merged.to_vec(), Vec::new()), &wanted, "merged");
        let first = again.export(&again.parameters, &[]).unwrap();
        assert_near(&scores(&first.to_vec(), Vec::new()), &scores_of_peft()["ln_tuning"], "trained on");
    }
    // full fine-tuning is no adapter
    assert!(compiled(&[], TrainSelection::All).require_adapters(false).is_err());
}

#[test]
fn what_has_no_form_in_a_file_is_refused_with_the_reason() {
    let query = json!({"roles": ["query"]});
    for (name, options, train, words) in [
        ("adapter", json!({}), TrainSelection::Nothing, "`adapter` has no form in files of adapters"),
        (
            "prompt_tuning",
            json!({"length": 2, "place": "after_first"}),
            TrainSelection::Nothing,
            "`place: after_first` puts virtual tokens where no file",
        ),
        ("ia3", json!({"layers": query, "feed_forward": query}), TrainSelection::Nothing, "holds one of both"),
        ("prefix_tuning", json!({"length": 2}), TrainSelection::Nothing, "train with `moves_places: true`"),
    ] {
        let error = compiled(&[Choice::new(name, options)], train).require_adapters(false).unwrap_err().to_string();
        assert!(error.contains(words) || error.contains("hold one of both"), "{error}");
    }
    let error = compiled(&[], TrainSelection::Head).require_adapters(false).unwrap_err().to_string();
    assert!(error.contains("`model.methods` adds nothing"), "{error}");
}

#[test]
fn factors_that_do_not_fit_are_refused_before_as_many_numbers_are_drawn() {
    const RANK: usize = 1_000_000;
    let mut adapter = folder("lora");
    let Some(ModuleAdapter::LowRank { a, b, .. }) = adapter.modules.values_mut().next() else { panic!("no factors") };
    *a = Tensor::new([RANK, 1], vec![0.0; RANK]).unwrap();
    *b = Tensor::new([1, RANK], vec![0.0; RANK]).unwrap();
    let error = merge_adapters(&bert(), &[(&adapter, 1.0)], &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(error.contains("A has the shape [1, 1000000], and the layer takes ["), "{error}");
}

#[test]
fn a_file_holds_no_other_options_than_a_recipe_may_say() {
    let refused =
        |adapter: &Adapter| merge_adapters(&bert(), &[(adapter, 1.0)], &OperatorCatalog::standard()).unwrap_err();
    let boft = |factors: usize, size: usize| {
        let mut adapter = folder("boft");
        for own in adapter.modules.values_mut() {
            let ModuleAdapter::Butterflies { blocks, .. } = own else { panic!("{own:?}") };
            let shape = [factors, blocks.shape()[1] * blocks.shape()[2] / size, size, size];
            *blocks = Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
        }
        adapter
    };
    let lora = |change: &dyn Fn(&mut AdapterMethod, &mut f64)| {
        let mut adapter = folder("lora");
        let Some(ModuleAdapter::LowRank { alpha, .. }) = adapter.modules.values_mut().next() else { panic!("no A") };
        change(&mut adapter.method, alpha);
        adapter
    };
    let mut prompt = folder("prompt_tuning");
    let width = prompt.prompt.unwrap().shape()[1];
    prompt.prompt = Tensor::new([100_000, width], vec![0.0; 100_000 * width]);
    let dropped = AdapterMethod::Lora { is_rank_stabilized: false, dropout: 1.5, is_principal: false };
    for (adapter, words) in [
        (boft(1, 1), "the adapter: block_size is between 2 and 1024, got 1"),
        (boft(4, 8), "block_size 8 with 4 factor(s) turns 64 inputs together, which do not divide the 32"),
        // so many that the inputs which they turn together have no number
        (boft(63, 4), "the adapter: factors is between 1 and 16, got 63"),
        (boft(64, 2), "the adapter: factors is between 1 and 16, got 64"),
        (boft(65, 2), "the adapter: factors is between 1 and 16, got 65"),
        (prompt, "the adapter: length is at most 16384, got 100000"),
        (lora(&|_, alpha| *alpha = -2.0), "is a finite number above 0, got -2"),
    ] {
        let error = refused(&adapter).to_string();
        assert!(error.contains(words), "{error}");
    }
    let place = std::env::temp_dir().join(format!("millstream-bounds-{}", std::process::id()));
    let files = PeftFolder::of(&lora(&|method, _| *method = dropped));
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(PeftFolder::CONFIG), &files.config).unwrap();
    fs::write(place.join(PeftFolder::TENSORS), &files.tensors).unwrap();
    let from = Choice::new("peft", json!({"folder": place}));
    let error = try_compiled(&[from], TrainSelection::Nothing).unwrap_err().to_string();
    fs::remove_dir_all(place).unwrap();
    assert!(error.contains("the adapter: dropout is"), "{error}");
}

#[test]
fn virtual_tokens_of_one_axis_are_refused_when_they_are_read_and_no_panic_when_written() {
    let mut adapter = folder("prompt_tuning");
    adapter.prompt = Some(Tensor::vector([1.0, 2.0]));
    let (_, message) = PeftFolder::of(&adapter).adapter().unwrap_err();
    assert!(message.contains("prompt_embeddings have the shape [2]"), "{message}");
}

#[test]
fn a_dropout_that_nothing_reads_is_refused_or_told() {
    let from = |folder: PathBuf, dropout: Option<f32>| {
        let options = match dropout {
            Some(dropout) => json!({"folder": folder, "dropout": dropout}),
            None => json!({"folder": folder}),
        };
        try_compiled(&[Choice::new("peft", options)], TrainSelection::Nothing)
    };
    for (name, words) in
        [("dora", "the adapter is DoRA"), ("ia3", "is IA3"), ("vera", "is VERA"), ("oft", "the adapter is OFT")]
    {
        let error = from(place("adapter_files").join(name), Some(0.1)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut dora = folder("dora");
    dora.method = AdapterMethod::Lora { is_rank_stabilized: false, dropout: 0.25, is_principal: false };
    let files = PeftFolder::of(&dora);
    let copy = std::env::temp_dir().join(format!("millstream-dropout-{}", std::process::id()));
    fs::create_dir_all(&copy).unwrap();
    fs::write(copy.join(PeftFolder::CONFIG), &files.config).unwrap();
    fs::write(copy.join(PeftFolder::TENSORS), &files.tensors).unwrap();
    let notes = from(copy.clone(), None).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("`lora_dropout` of 0.25 is not used")), "{notes:?}");
    fs::remove_dir_all(copy).unwrap();
}

#[test]
fn a_weight_held_whole_does_not_undo_what_an_earlier_adapter_adds_to_it() {
    let catalog = OperatorCatalog::standard();
    let sum = folder("vera");
    let module = sum.modules.keys().find(|module| module.ends_with("self.query")).unwrap().clone();
    let mut whole = folder("lora");
    whole.modules.retain(|module, _| module.ends_with("intermediate.dense"));
    whole.biases = adapter_files::Biases::None;
    whole.whole = BTreeMap::from([(format!("{module}.weight"), Tensor::new([32, 32], vec![0.5; 32 * 32]).unwrap())]);
    let merged = |adapters: &[(&Adapter, f64)]| merge_adapters(&bert(), adapters, &catalog);
    let error = merged(&[(&sum, 1.0), (&whole, 1.0)]).unwrap_err().to_string();
    assert!(error.contains("adapter 2 (rsLoRA") && error.contains("what adapter 1 (VeRA"), "{error}");
    assert!(merged(&[(&whole, 1.0), (&sum, 1.0)]).is_ok());
}

#[test]
fn an_adapter_that_does_not_fit_is_an_error_that_names_both_sides() {
    let catalog = OperatorCatalog::standard();
    let merge = |adapters: &[(&Adapter, f64)]| merge_adapters(&bert(), adapters, &catalog).unwrap_err().to_string();
    let renamed = |from: &str, to: &str| {
        let mut adapter = folder("oft");
        let own = std::mem::take(&mut adapter.modules).into_iter();
        adapter.modules = own.map(|(name, own)| (name.replace(from, to), own)).collect();
        adapter
    };
    let error = merge(&[(&renamed(".layer.1.", ".layer.7."), 1.0)]);
    assert!(error.contains("`bert.encoder.layer.7.attention.self.query`") && error.contains("`model.bert."), "{error}");
    let error = merge(&[(&renamed("self.query", "output.dense"), 1.0), (&folder("oft"), 1.0)]);
    assert!(error.contains("two adapters go to layer"), "{error}");
    let error = merge(&[(&renamed("attention.self.value", "output.dense"), 1.0)]);
    assert!(error.contains("has the shape [4, 28], and the layer takes [8, 28]"), "{error}");
    for (name, words) in [
        ("ia3", "IA3 multiplies what the model has, so that it has no part of 0.5"),
        ("dora", "DoRA multiplies what the model has"),
        ("pissa", "PiSSA is for weights without a part of theirs"),
        ("prompt_tuning", "PROMPT_TUNING puts virtual tokens in front of rows"),
        ("p_tuning", "P_TUNING puts virtual tokens in front of rows"),
        ("prefix_tuning", "PREFIX_TUNING puts keys and values in front of those of rows"),
    ] {
        let error = merge(&[(&folder(name), 0.5)]);
        assert!(error.contains(words), "{error}");
    }
    for (name, reason) in [
        ("ln_tuning", "LN_TUNING holds other numbers in the place of the model's own"),
        ("prompt_tuning", "rows with virtual tokens are longer than without"),
        ("p_tuning", "rows with virtual tokens are longer than without"),
        ("prefix_tuning", "rows with virtual tokens are longer than without"),
        ("pissa", "PiSSA is for weights that are others than the model's own"),
    ] {
        let refused = taking_adapter(&bert(), &folder(name), &catalog).unwrap_err().to_string();
        assert!(refused.contains(reason) && refused.ends_with("; merge it, or keep PEFT's folder"), "{refused}");
        assert_eq!(OnnxAdapter::of(&folder(name)).unwrap_err(), refused);
    }
    let error = merge(&[(&folder("lora"), 0.5)]);
    assert!(error.contains("`bert.encoder.layer.0.attention.self.query.bias` whole"), "{error}");
    let mut lora = folder("lora");
    let head = lora.whole.remove("classifier.weight").unwrap();
    lora.whole.insert("scorer.weight".into(), head);
    let error = merge(&[(&lora, 1.0)]);
    assert!(error.contains("holds `scorer.weight` whole, and the model has no layer of that name"), "{error}");
}
