//! Folders as PEFT loads them, and as it writes them.

use super::*;

/// The model, whose pooler and head are the two layers of one module `score`.
fn bert_with_a_head_of_two_layers() -> Model {
    let mut bytes = fs::read(place("architectures/bert.script.onnx")).unwrap();
    for (from, to) in [
        ("bert/pooler/dense", "score/dense_proj0"),
        ("bert.pooler.dense", "score.dense_proj0"),
        ("/classifier", "/score/proj"),
        (".classifier", ".score.proj"),
    ] {
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
        assert!(!places.is_empty(), "{from}");
        places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    }
    Model::from_bytes(bytes).unwrap()
}

/// PEFT, told `SEQ_CLS`, looks for every parameter of `classifier` and `score`: `KeyError: 'base_model.classifier.dense.weight'`.
#[test]
fn virtual_tokens_of_a_classifier_whose_head_has_two_layers_lack_no_key_that_peft_looks_for() {
    let model = bert_with_a_head_of_two_layers();
    for (name, options) in [
        ("p_tuning", json!({"length": 3, "encoder": "lstm", "hidden_size": 6})),
        ("prompt_tuning", json!({"length": 3})),
        ("prefix_tuning", json!({"length": 3, "moves_places": true})),
    ] {
        let program = try_compiled_of(&model, &[Choice::new(name, options)], TrainSelection::Head).unwrap();
        let (adapters, _) = program.peft_adapters(&program.parameters).unwrap();
        let whole: Vec<&str> = adapters[0].whole.keys().map(String::as_str).collect();
        let wanted = ["score.dense_proj0.bias", "score.dense_proj0.weight", "score.proj.bias", "score.proj.weight"];
        assert_eq!(whole, wanted, "{name}");
        let files = PeftFolder::of(&adapters[0]);
        let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
        assert_eq!((&config["task_type"], &config["modules_to_save"]), (&json!("SEQ_CLS"), &json!(["score"])));
        let read = files.adapter().unwrap();
        assert_eq!(read, adapters[0], "{name}");
        assert!(merge_adapters(&model, &[(&read, 1.0)], &OperatorCatalog::standard()).is_ok());
    }
    // beside layers, PEFT holds whole what the folder names
    let lora = Choice::new("lora", json!({"rank": 2, "layers": {"roles": ["query"]}}));
    let program = try_compiled_of(&model, &[lora], TrainSelection::Head).unwrap();
    let (adapters, _) = program.peft_adapters(&program.parameters).unwrap();
    assert_eq!(adapters[0].whole.len(), 2, "{:?}", adapters[0].whole.keys());
}

/// PEFT's scores of GPT-2 and OPT are others on padded rows.
#[test]
fn that_peft_reads_a_padding_where_a_decoder_classifies_behind_virtual_tokens_is_told() {
    let is_told =
        |notes: &[String]| notes.iter().any(|note| note.contains("the last token of each row that is no padding"));
    let model = Model::read(&place("adapter_files/llama.onnx")).unwrap();
    let catalog = OperatorCatalog::standard();
    let prompt = Tensor::new([2, 16], vec![0.5; 32]).unwrap();
    for method in [AdapterMethod::PromptTuning, AdapterMethod::PTuning] {
        let adapter =
            Adapter { method, prompt: Some(prompt.clone()), whole: BTreeMap::new(), ..folder("prompt_tuning") };
        let (_, notes) = merge_adapters(&model, &[(&adapter, 1.0)], &catalog).unwrap();
        assert!(is_told(&notes), "{notes:?}");
    }
    // a prefix is given beside tokens, and a pooler reads the first place of each row
    let (_, notes) = merge_adapters(&model, &[(&folder("prefix_tuning_llama"), 1.0)], &catalog).unwrap();
    assert!(!is_told(&notes), "{notes:?}");
    for name in ["prompt_tuning", "p_tuning"] {
        let program = compiled(&[Choice::new(name, json!({"length": 2}))], TrainSelection::Nothing);
        assert!(!is_told(&program.peft_notes().unwrap()));
        let program = try_compiled_of(&model, &[Choice::new(name, json!({"length": 2}))], TrainSelection::Nothing);
        assert!(is_told(&program.unwrap().peft_notes().unwrap()), "{name}");
    }
}
