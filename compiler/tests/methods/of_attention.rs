//! Methods that know what attention is.

use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};
use millstream_compiler::{Method, Model, OperatorCatalog};
use millstream_schemas::Choice;
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use serde_json::json;

use crate::{CLASSES, IMAGE, compiled, compiled_in, numbers, onnx_runtime, scores, transformer, weight};

/// One attention over 3 tokens of 8 numbers with two heads of queries and one of keys; with a prefix of 2 keys and values in
/// front of its own, where there is one.
fn grouped(prefix: Option<[&[f32]; 2]>) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32(IMAGE));
    let reshape = |graph: &mut Graph, value: ValueId, shape: &[i64]| {
        let shape = graph.named_constant("shape", Constant::i64([shape.len()], shape));
        graph.add("Reshape", &[value, shape], &[]).unwrap()
    };
    let turn = |graph: &mut Graph, value: ValueId, order: &[i64]| {
        graph.add("Transpose", &[value], &[("perm", Attribute::Ints(order.to_vec()))]).unwrap()
    };
    let tokens = reshape(&mut graph, x, &[2, 3, 108]);
    let heads = |graph: &mut Graph, name: &str, count: i64| {
        let matrix = weight(graph, &format!("{name}.weight"), &[108, 4 * count as usize]);
        let made = graph.add("MatMul", &[tokens, matrix], &[]).unwrap();
        let made = reshape(graph, made, &[2, 3, count, 4]);
        turn(graph, made, &[0, 2, 1, 3])
    };
    let (q, mut k, mut v) = (heads(&mut graph, "q", 2), heads(&mut graph, "k", 1), heads(&mut graph, "v", 1));
    if let Some([keys, values]) = prefix {
        // keys are stored [heads, size, length], in the units of the scores
        let keys: Vec<f32> = (0..2).flat_map(|at| (0..4).map(move |size| keys[size * 2 + at] / 0.5)).collect();
        let both = |numbers: &[f32]| Constant::f32([2, 1, 2, 4], &[numbers, numbers].concat());
        let (keys, values) = (graph.constant("keys", both(&keys)), graph.constant("values", both(values)));
        k = graph.add("Concat", &[keys, k], &[("axis", 2.into())]).unwrap();
        v = graph.add("Concat", &[values, v], &[("axis", 2.into())]).unwrap();
    }
    let length = if prefix.is_some() { 5 } else { 3 };
    let shape = graph.named_constant("shape", Constant::i64([4], &[2, 2, length, 4]));
    let (k, v) = (graph.add("Expand", &[k, shape], &[]).unwrap(), graph.add("Expand", &[v, shape], &[]).unwrap());
    let keys = turn(&mut graph, k, &[0, 1, 3, 2]);
    let scores = graph.add("MatMul", &[q, keys], &[]).unwrap();
    let scale = graph.named_constant("scale", Constant::f32([], &[0.5]));
    let scores = graph.add("Mul", &[scores, scale], &[]).unwrap();
    let weights = graph.add("Softmax", &[scores], &[("axis", (-1).into())]).unwrap();
    let mixed = graph.add("MatMul", &[weights, v], &[]).unwrap();
    let mixed = turn(&mut graph, mixed, &[0, 2, 1, 3]);
    let shape = graph.named_constant("shape", Constant::i64([2], &[2, 24]));
    let mixed = graph.add("Reshape", &[mixed, shape], &[]).unwrap();
    let head = weight(&mut graph, "head.weight", &[24, CLASSES]);
    let scores = graph.add("MatMul", &[mixed, head], &[]).unwrap();
    graph.set_outputs(&[scores]);
    graph.to_onnx("grouped")
}

#[test]
fn a_prefix_computes_what_keys_and_values_in_front_of_the_models_own_do() {
    if !onnx_runtime::available() {
        return;
    }
    let model = Model::from_bytes(grouped(None)).unwrap();
    let prefix = Choice::new("prefix_tuning", json!({"length": 2}));
    let program = compiled_in(&model, &[prefix], TrainSelection::Nothing).unwrap();
    let shapes: Vec<&[usize]> = program.manifest.parameters.iter().map(|entry| entry.shape.as_slice()).collect();
    assert_eq!(shapes, [[1, 4, 2], [1, 2, 4]]);
    let learned = [numbers(8, 1), numbers(8, 2)];
    let tuned = scores(&program.export(&learned, &[]).unwrap().to_vec());
    let wanted = scores(&grouped(Some([&learned[0], &learned[1]])));
    let apart = tuned.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 2e-6, "{tuned:?}, {wanted:?}");
    let base = scores(&grouped(None));
    assert!(base.iter().zip(&wanted).any(|(a, b)| (a - b).abs() > 1e-2), "the prefix changes something");
    for (options, wanted) in [
        (json!({"length": 0}), "length is 1 or more, got 0"),
        (json!({"standard_deviation": 0}), "standard_deviation is a finite number above 0, got 0"),
        (json!({"projection": true, "hidden_size": 0}), "hidden_size is 1 or more, got 0"),
        (json!({"hidden_size": 5}), "hidden_size is that of `projection: true`"),
    ] {
        let choice = Choice::new("prefix_tuning", options);
        let error = Method::choose(methods::standard(), &choice, "model.methods[0]").unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let twice = ["prefix_tuning"; 2].map(|name| Choice::new(name, json!({})));
    let error = compiled_in(&model, &twice, TrainSelection::Nothing).unwrap_err().to_string();
    assert!(error.contains("goes into a model once"), "{error}");
    let error = compiled(&twice[..1], TrainSelection::Nothing).unwrap_err().to_string();
    assert!(error.contains("a prefix goes into every attention, and no attention was found"), "{error}");
}

/// The attention of [`grouped`] as one node of opset 23 with so many outputs, of values with an axis of heads or without, and with a mask
/// or without.
fn in_one_node(is_flat: bool, mask: Option<Constant>, outputs: usize) -> Vec<u8> {
    let mut graph = Graph::new(23, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32(IMAGE));
    let reshape = |graph: &mut Graph, value: ValueId, shape: &[i64]| {
        let shape = graph.named_constant("shape", Constant::i64([shape.len()], shape));
        graph.add("Reshape", &[value, shape], &[]).unwrap()
    };
    let turn = |graph: &mut Graph, value: ValueId| {
        graph.add("Transpose", &[value], &[("perm", Attribute::Ints(vec![0, 2, 1, 3]))]).unwrap()
    };
    let tokens = reshape(&mut graph, x, &[2, 3, 108]);
    let mut parts = Vec::new();
    for (name, count) in [("q", 2_i64), ("k", 1), ("v", 1)] {
        let matrix = weight(&mut graph, &format!("{name}.weight"), &[108, 4 * count as usize]);
        let mut made = graph.add("MatMul", &[tokens, matrix], &[]).unwrap();
        if !is_flat {
            made = reshape(&mut graph, made, &[2, 3, count, 4]);
            made = turn(&mut graph, made);
        }
        parts.push(Some(made));
    }
    parts.extend(mask.map(|mask| Some(graph.constant("mask", mask))));
    let heads = [("q_num_heads", Attribute::Int(2)), ("kv_num_heads", Attribute::Int(1))];
    let heads = if is_flat { heads.to_vec() } else { Vec::new() };
    let mut mixed = graph.add_with("Attention", &parts, &heads, outputs).unwrap()[0];
    if !is_flat {
        mixed = turn(&mut graph, mixed);
    }
    let mixed = reshape(&mut graph, mixed, &[2, 24]);
    let head = weight(&mut graph, "head.weight", &[24, CLASSES]);
    let scores = graph.add("MatMul", &[mixed, head], &[]).unwrap();
    graph.set_outputs(&[scores]);
    graph.to_onnx("in_one_node")
}

#[test]
fn a_prefix_in_an_attention_that_is_one_node_is_that_of_its_parts() {
    if !onnx_runtime::available() {
        return;
    }
    let prefix = [Choice::new("prefix_tuning", json!({"length": 2}))];
    let learned = [numbers(8, 1), numbers(8, 2)];
    let tuned = |model: Vec<u8>| {
        let program = compiled_in(&Model::from_bytes(model).unwrap(), &prefix, TrainSelection::Nothing).unwrap();
        scores(&program.export(&learned, &[]).unwrap().to_vec())
    };
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let mask = |hidden: usize| {
        let sees = move |at: usize| at % 3 < 3 - hidden;
        let bytes: Vec<u8> = (0..9).map(|at| u8::from(sees(at))).collect();
        let floats: Vec<f32> = (0..9).map(|at| if sees(at) { 0.0 } else { f32::MIN }).collect();
        let truths = Constant { dtype: ElementType::Bool, shape: vec![1, 1, 3, 3], bytes: bytes.into() };
        [truths, Constant::f32([3, 3], &floats)]
    };
    let wanted = scores(&grouped(Some([&learned[0], &learned[1]])));
    for is_flat in [true, false] {
        let found = tuned(in_one_node(is_flat, None, 1));
        assert!(apart(&found, &wanted) < 2e-6, "{is_flat}: {found:?}, {wanted:?}");
        for of_all in mask(0) {
            let found = tuned(in_one_node(is_flat, Some(of_all), 1));
            assert!(apart(&found, &wanted) < 2e-6, "{is_flat}, masked: {found:?}, {wanted:?}");
        }
        // the last token is hidden, and the prefix is not
        let [truths, floats] = mask(1).map(|mask| tuned(in_one_node(is_flat, Some(mask), 1)));
        assert!(apart(&truths, &floats) < 2e-6, "{is_flat}: {truths:?}, {floats:?}");
        assert!(apart(&truths, &wanted) > 1e-3, "{is_flat}: the mask hides something");
    }
    let model = Model::from_bytes(in_one_node(true, None, 1)).unwrap();
    let choice = Choice::new("prefix_tuning", json!({"moves_places": true}));
    let error = compiled_in(&model, &[choice], TrainSelection::Nothing).unwrap_err().to_string();
    assert!(error.contains("is one node"), "{error}");
}

/// Its scores and what its heads give are outputs of the node, whose names they keep when it is written out.
#[test]
fn a_prefix_in_an_attention_that_gives_its_products_is_that_of_its_parts() {
    if !onnx_runtime::available() {
        return;
    }
    let prefix = [Choice::new("prefix_tuning", json!({"length": 2}))];
    let learned = [numbers(8, 1), numbers(8, 2)];
    let wanted = scores(&grouped(Some([&learned[0], &learned[1]])));
    for is_flat in [true, false] {
        let model = Model::from_bytes(in_one_node(is_flat, None, 4)).unwrap();
        let program = compiled_in(&model, &prefix, TrainSelection::Nothing).unwrap();
        assert!(program.notes.iter().any(|note| note.contains("written out in plain operators")), "{is_flat}");
        let tuned = scores(&program.export(&learned, &[]).unwrap().to_vec());
        let apart = tuned.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 2e-6, "{is_flat}: {tuned:?}, {wanted:?}");
    }
}

/// A bias that something else reads is untied before it is scaled; one number for all outputs cannot hold the scales of each.
#[test]
fn biases_are_merged_where_that_changes_nothing_else() {
    if !onnx_runtime::available() {
        return;
    }
    let of = |length: usize| {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32(IMAGE));
        let pooled = graph.add("GlobalAveragePool", &[x], &[]).unwrap();
        let pooled = graph.add("Flatten", &[pooled], &[]).unwrap();
        let matrix = weight(&mut graph, "first.weight", &[4, 4]);
        let shared = weight(&mut graph, "shared.bias", &[length]);
        let value = graph.add("Gemm", &[pooled, matrix, shared], &[]).unwrap();
        let value = graph.add("Max", &[value, shared], &[]).unwrap();
        let head = weight(&mut graph, "head.weight", &[4, CLASSES]);
        let scored = graph.add("MatMul", &[value, head], &[]).unwrap();
        graph.set_outputs(&[scored]);
        Model::from_bytes(graph.to_onnx("shared")).unwrap()
    };
    for (length, stays) in [(4, false), (1, true)] {
        let ia3 = Choice::new("ia3", json!({"layers": "linear", "feed_forward": null}));
        let program = compiled_in(&of(length), &[ia3], TrainSelection::Nothing).unwrap();
        let told = "the bias of `first` is not one number for each that the layer makes, so what `ia3` adds stays";
        assert_eq!(program.notes.iter().any(|note| note.contains(told)), stays, "{:?}", program.notes);
        let learned = vec![vec![0.5, -1.0, 2.0, 3.0]];
        let [merged, unmerged] = [AdaptersOutput::Merged, AdaptersOutput::Unmerged]
            .map(|adapters| program.export_with(&learned, adapters, &[]).unwrap().to_vec());
        assert_eq!(merged.len() == unmerged.len(), stays);
        let apart = scores(&merged).into_iter().zip(scores(&unmerged)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 2e-6, "{length}: {apart}");
        assert_ne!(scores(&merged), scores(&program.export(&program.parameters, &[]).unwrap().to_vec()));
    }
}

#[test]
fn two_bottlenecks_at_one_normalization_are_refused() {
    let adapter = || Choice::new("adapter", json!({"placement": "pfeiffer"}));
    let one = compiled_in(&transformer().unwrap(), &[adapter()], TrainSelection::Nothing);
    assert!(one.is_ok(), "{:?}", one.err());
    let two = compiled_in(&transformer().unwrap(), &[adapter(), adapter()], TrainSelection::Nothing);
    let error = two.unwrap_err().to_string();
    assert!(error.contains("another `adapter` stands at the normalization behind"), "{error}");
}
