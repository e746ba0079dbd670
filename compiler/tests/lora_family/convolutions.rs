//! `lora` beside convolutions, in groups and dilated, against what PEFT makes of the same folder.

use millstream_compiler::adapter_files::PeftFolder;
use millstream_compiler::graph::{Attribute, Constant, Graph, TensorType};
use millstream_compiler::{
    Model, OperatorCatalog, TrainingProgram, adapters_in, dilated_beside, merge_adapters, taking_adapter,
};
use millstream_schemas::Choice;
use millstream_schemas::recipe::AdaptersOutput;
use serde_json::{Value, json};

use crate::onnx_runtime::{self, floats, run, session};
use crate::{OUTPUTS, ROWS, assert_close, numbers, tuned};

const IMAGE: [usize; 4] = [ROWS, 4, 6, 6];
const CHANNELS: usize = 8;

/// A and B by their shapes and numbers, and what their product is multiplied by.
type Beside = ([(Vec<usize>, Vec<f32>); 2], f32);

/// A convolution, means and a head; with A, B and a scale beside it as PEFT has them: A reads all channels, and B has the groups.
fn convolution((groups, dilation): (usize, i64), beside: Option<Beside>) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32(IMAGE));
    let shape = [CHANNELS, IMAGE[1] / groups, 3, 3];
    let weight = graph.constant("conv.weight", Constant::f32(shape, &numbers(shape.iter().product(), 1)));
    let ints = |value: i64, count: usize| Attribute::Ints(vec![value; count]);
    let windows = [("pads", ints(dilation, 4)), ("dilations", ints(dilation, 2)), ("group", (groups as i64).into())];
    let mut value = graph.add("Conv", &[x, weight], &windows).unwrap();
    if let Some((factors, scale)) = beside {
        let [a, b] = factors.map(|(shape, values)| graph.named_constant("factor", Constant::f32(shape, &values)));
        let ranks = graph.add("Conv", &[x, a], &[("pads", ints(1, 4))]).unwrap();
        let product = graph.add("Conv", &[ranks, b], &[("group", (groups as i64).into())]).unwrap();
        let scale = graph.named_constant("scale", Constant::f32([], &[scale]));
        let product = graph.add("Mul", &[product, scale], &[]).unwrap();
        value = graph.add("Add", &[value, product], &[]).unwrap();
    }
    let value = graph.add("Relu", &[value], &[]).unwrap();
    let value = graph.add("GlobalAveragePool", &[value], &[]).unwrap();
    let value = graph.add("Flatten", &[value], &[]).unwrap();
    let head = graph.constant("head.weight", Constant::f32([CHANNELS, OUTPUTS], &numbers(CHANNELS * OUTPUTS, 2)));
    let scores = graph.add("MatMul", &[value, head], &[]).unwrap();
    graph.set_outputs(&[scores]);
    graph.to_onnx("convolution")
}

fn beside_convolution(form: (usize, i64), mut options: Value) -> TrainingProgram {
    options["layers"] = json!("convolution");
    let model = Model::from_bytes(convolution(form, None)).unwrap();
    tuned(&model, &[Choice::new("lora", options)], OUTPUTS).unwrap()
}

#[test]
fn a_folder_of_a_convolution_in_groups_is_as_peft_loads_it_and_computes_there_what_it_does_here() {
    if !onnx_runtime::available() {
        return;
    }
    let x = || vec![("x".to_owned(), floats(&IMAGE, &numbers(IMAGE.iter().product(), 3)))];
    let of_model = |model: &[u8]| run(&mut session(model), x()).remove(0);
    for is_rank_stabilized in [false, true] {
        let options = json!({"rank": 2, "alpha": 6, "rank_stabilized": is_rank_stabilized});
        let program = beside_convolution((2, 1), options);
        let first = program.parameters.iter().enumerate();
        let parameters: Vec<Vec<f32>> = first.map(|(at, own)| numbers(own.len(), at + 4)).collect();
        let exported = |adapters| program.export_with(&parameters, adapters, &[]).unwrap().to_vec();
        let wanted = of_model(&exported(AdaptersOutput::Merged));
        let (adapters, notes) = program.peft_adapters(&parameters).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        let files = PeftFolder::of(&adapters[0]);
        let config: Value = serde_json::from_slice(&files.config).unwrap();
        // PEFT divides by the ranks of all groups
        let (rank, alpha) = (config["r"].as_f64().unwrap(), config["lora_alpha"].as_f64().unwrap());
        assert!((rank - 4.0).abs() < 1e-9, "{config}");
        let scale = alpha / if is_rank_stabilized { rank.sqrt() } else { rank };
        let tensors = safetensors::SafeTensors::deserialize(&files.tensors).unwrap();
        let factors = ["A", "B"].map(|part| {
            let tensor = tensors.tensor(&format!("base_model.model.conv.lora_{part}.weight")).unwrap();
            let bytes = tensor.data().chunks_exact(4);
            let values: Vec<f32> = bytes.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            (tensor.shape().to_vec(), values)
        });
        assert_eq!((factors[0].0.as_slice(), factors[1].0.as_slice()), (&[4, 4, 3, 3][..], &[8, 2, 1, 1][..]));
        let of_peft = convolution((2, 1), Some((factors, scale as f32)));
        assert_close(&of_model(&of_peft), &wanted, 1e-3, "as PEFT computes it");

        let read = files.adapter().unwrap();
        assert_eq!(read, adapters[0]);
        let model = Model::from_bytes(convolution((2, 1), None)).unwrap();
        let (merged, _) = merge_adapters(&model, &[(&read, 1.0)], &OperatorCatalog::standard()).unwrap();
        assert_close(&of_model(&merged.to_vec()), &wanted, 1e-3, "merged");
        let unmerged = Model::from_bytes(exported(AdaptersOutput::Unmerged)).unwrap();
        assert_eq!(adapters_in(&unmerged).unwrap(), adapters);
    }
}

#[test]
fn a_convolution_that_peft_would_compute_otherwise_is_refused_before_a_run_writes_a_folder_of_peft() {
    for (form, options, words) in [
        ((1, 2), json!({"rank": 1}), "layer `conv`: it is a dilated convolution, and PEFT's A is none"),
        ((2, 1), json!({"rank": 1, "dora": true}), "layer `conv`: PEFT computes DoRA of a convolution in groups"),
    ] {
        let program = beside_convolution(form, options);
        let refused = program.require_adapters(false).unwrap_err().to_string();
        assert!(refused.contains(words) && refused.contains("write `onnx_adapter` alone"), "{refused}");
        assert!(program.peft_notes().is_err() && program.require_adapters(true).is_ok());
        let unmerged = program.export_with(&program.parameters, AdaptersOutput::Unmerged, &[]).unwrap().to_vec();
        let dilated = dilated_beside(&Model::from_bytes(unmerged).unwrap());
        assert_eq!(dilated.is_some(), form == (1, 2), "{dilated:?}");
    }
    let grouped = beside_convolution((2, 1), json!({"rank": 1, "dora": true}));
    let adapters = grouped.adapters(&grouped.parameters).unwrap();
    assert!(adapters[0].not_in_peft().unwrap().starts_with("module `conv`: PEFT computes DoRA"));
    assert!(beside_convolution((1, 1), json!({"rank": 1, "dora": true})).require_adapters(false).is_ok());
}

#[test]
fn a_convolution_with_a_normalization_folded_into_it_is_noted_since_peft_applies_that_to_what_is_added() {
    let noted = |bytes: Vec<u8>| {
        let lora = Choice::new("lora", json!({"rank": 1, "layers": "convolution"}));
        let program = tuned(&Model::from_bytes(bytes).unwrap(), &[lora], OUTPUTS).unwrap();
        program.peft_notes().unwrap().iter().any(|note| note.contains("folded a BatchNormalization"))
    };
    let (own, made_up) = (b"conv.weight", b"onnx::Conv_");
    let plain = convolution((1, 1), None);
    let mut folded = plain.clone();
    let places: Vec<usize> = (0..plain.len() - own.len()).filter(|at| plain[*at..].starts_with(own)).collect();
    places.into_iter().for_each(|at| folded[at..at + own.len()].copy_from_slice(made_up));
    assert_eq!((noted(plain), noted(folded)), (false, true));
}

/// "Reshape node 'conv.lora_B.matrix': the input tensor cannot be reshaped to the requested shape".
#[test]
fn a_base_of_dora_on_a_convolution_runs_without_an_adapter_and_with_those_of_other_ranks() {
    if !onnx_runtime::available() {
        return;
    }
    let x = || ("x".to_owned(), floats(&IMAGE, &numbers(IMAGE.iter().product(), 3)));
    let catalog = OperatorCatalog::standard();
    for (groups, is_dora) in [(1, true), (2, true), (2, false)] {
        let bare = Model::from_bytes(convolution((groups, 1), None)).unwrap();
        let wanted = run(&mut session(&convolution((groups, 1), None)), vec![x()]).remove(0);
        // each with what the merged model makes
        let ranks = [2, 1, 3].map(|rank| {
            let program = beside_convolution((groups, 1), json!({"rank": rank, "dora": is_dora}));
            let first = program.parameters.iter().enumerate();
            let parameters: Vec<Vec<f32>> = first.map(|(at, own)| numbers(own.len(), at + 4)).collect();
            let adapter = program.adapters(&parameters).unwrap().remove(0);
            let merged = program.export_with(&parameters, AdaptersOutput::Merged, &[]).unwrap().to_vec();
            let taking = taking_adapter(&bare, &adapter, &catalog).unwrap();
            (taking, run(&mut session(&merged), vec![x()]).remove(0))
        });
        let base = ranks[0].0.model.to_vec();
        assert_close(&run(&mut session(&base), vec![x()])[0], &wanted, 1e-3, "without an adapter");
        for (taking, wanted) in &ranks {
            let parts = taking.adapter.parameters.iter();
            let given = parts.map(|(name, tensor)| (name.clone(), floats(tensor.shape(), tensor.values())));
            let found = run(&mut session(&base), std::iter::once(x()).chain(given).collect()).remove(0);
            assert_close(&found, wanted, 1e-3, "with an adapter");
        }
    }
}
