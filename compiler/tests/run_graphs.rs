//! Graphs with large frozen weights beside them do what the files with all weights inside do.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::graph::{Constant, Graph, Length, TensorType};
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{
    FineTuning, FrozenPrefix, HeadChoice, Model, OperatorCatalog, Provider, RunGraph, TrainingProgram, compile,
};
use millstream_schemas::recipe::TrainSelection;
use onnx_runtime::{floats, run, session};
use ort::value::DynValue;

const ROWS: usize = 3;
const CLASSES: usize = 4;
/// Numbers in a row: 16 MiB are a matrix of this side.
const SIDE: usize = 2048;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index.wrapping_mul(40_503) + seed * 7_919) % 1_009) as f32 / 504.0 - 1.0).collect()
}

/// So many layers, the last of which reads the matrix of the first again, and a head.
fn network(layers: usize) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("x", TensorType::f32([Length::named("batch"), SIDE.into()]));
    let weight = |graph: &mut Graph, name: &str, columns: usize, seed: usize| {
        let values: Vec<f32> = numbers(SIDE * columns, seed).into_iter().map(|value| value / 32.0).collect();
        graph.constant(name, Constant::f32([SIDE, columns], &values))
    };
    let first = weight(&mut graph, "layer0.weight", SIDE, 0);
    for layer in 0..layers {
        let matrix = match layer {
            0 => first,
            layer if layer + 1 == layers => first,
            layer => weight(&mut graph, &format!("layer{layer}.weight"), SIDE, layer),
        };
        let product = graph.add("MatMul", &[value, matrix], &[]).unwrap();
        value = graph.add("Tanh", &[product], &[]).unwrap();
    }
    let head = weight(&mut graph, "head.weight", CLASSES, 99);
    let bias = graph.constant("head.bias", Constant::f32([CLASSES], &[0.0; CLASSES]));
    let logits = graph.add("Gemm", &[value, head, bias], &[]).unwrap();
    graph.output(logits);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

fn inputs(program: &TrainingProgram) -> Vec<(String, DynValue)> {
    let manifest = &program.manifest;
    let entries = manifest.inputs.iter().chain(&manifest.targets).chain(&manifest.weights);
    let data = entries.map(|entry| {
        let shape = entry.fixed_shape().unwrap();
        (entry.name.clone(), floats(&shape, &numbers(shape.iter().product(), 5)))
    });
    let parameters = manifest.parameters.iter().zip(&program.parameters);
    data.chain(parameters.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values)))).collect()
}

fn beside(graph: &RunGraph) -> Vec<(String, DynValue)> {
    let value = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    graph.weights().iter().map(|weight| (weight.name.clone(), floats(&weight.shape, &value(&weight.bytes)))).collect()
}

/// Only the order of sums may differ.
fn assert_close(got: &[Vec<f32>], wanted: &[Vec<f32>], what: &str) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert_eq!(got.len(), wanted.len());
        let largest = wanted.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert!(largest > 0.0, "{what}");
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got - wanted).abs() <= 1e-4 * largest, "{what}: {got} instead of {wanted}");
        }
    }
}

#[test]
fn large_frozen_matrices_lie_beside_all_graphs_in_one_memory() {
    if !onnx_runtime::available() {
        return;
    }
    let catalog = OperatorCatalog::standard();
    let model = network(5); // 64 MiB in four matrices
    let last = FineTuning { train: TrainSelection::Match(vec!["layer3".into()]), ..FineTuning::head(ROWS, CLASSES) };
    for (wanted, names) in [
        (FineTuning::head(ROWS, CLASSES), &["layer0.weight", "layer1.weight", "layer2.weight", "layer3.weight"][..]),
        // those that are left are no 64 MiB
        (last, &["layer0.weight", "layer1.weight", "layer2.weight"]),
    ] {
        let program = compile(&model, &wanted, &catalog).unwrap();
        let graphs = program.run_graphs(Provider::Cpu).unwrap();
        let files = [program.step(), program.evaluation()].map(|file| file.unwrap().to_vec());
        let named = |graph: &RunGraph| graph.weights().iter().map(|weight| weight.name.clone()).collect::<Vec<_>>();
        for (graph, file) in graphs.iter().zip(&files) {
            assert_eq!(named(graph), names);
            let outside: usize = graph.weights().iter().map(|weight| weight.bytes.len()).sum();
            assert!(graph.file().length() + outside < file.len() + 1024);
            let got = run(
                &mut session(&graph.file().to_vec()),
                [inputs(&program), beside(graph)].into_iter().flatten().collect(),
            );
            assert_close(&got, &run(&mut session(file), inputs(&program)), &format!("{names:?}"));
        }
        let [step, evaluation] = &graphs;
        for (one, other) in step.weights().iter().zip(evaluation.weights()) {
            assert_eq!(one.bytes.as_ptr(), other.bytes.as_ptr());
            assert!(one.bytes.as_ptr().addr().is_multiple_of(4));
        }
    }
    let scoring = model.evaluated(None, PredictionKind::ClassScores, None, &catalog).unwrap().model;
    assert_eq!(scoring.weights().len(), 4);
    let x = || ("x".to_owned(), floats(&[ROWS, SIDE], &numbers(ROWS * SIDE, 5)));
    let got = run(&mut session(&scoring.file().to_vec()), std::iter::once(x()).chain(beside(&scoring)).collect());
    let exported =
        compile(&model, &FineTuning { head: HeadChoice::keep(), ..FineTuning::head(ROWS, CLASSES) }, &catalog).unwrap();
    let exported = exported.export(&exported.parameters, &[]).unwrap().to_vec();
    assert_close(&got, &run(&mut session(&exported), vec![x()]), "scores");
}

#[test]
fn frozen_matrices_of_a_small_model_are_no_constants_of_its_sessions_nor_of_its_frozen_prefix() {
    if !onnx_runtime::available() {
        return;
    }
    // 64 KiB are a matrix of this side
    const WIDE: usize = 128;
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("x", TensorType::f32([Length::named("batch"), WIDE.into()]));
    for (layer, columns) in [WIDE, WIDE, WIDE - 1].into_iter().enumerate() {
        let values: Vec<f32> = numbers(WIDE * columns, layer).into_iter().map(|value| value / 8.0).collect();
        let weight = graph.constant(&format!("layer{layer}.weight"), Constant::f32([WIDE, columns], &values));
        let product = graph.add("MatMul", &[value, weight], &[]).unwrap();
        value = graph.add("Tanh", &[product], &[]).unwrap();
    }
    let head = graph.constant("head.weight", Constant::f32([WIDE - 1, CLASSES], &numbers((WIDE - 1) * CLASSES, 9)));
    let logits = graph.add("MatMul", &[value, head], &[]).unwrap();
    graph.output(logits);
    let (model, catalog) = (Model::from_bytes(graph.to_onnx("small")).unwrap(), OperatorCatalog::standard());
    let wanted = FineTuning::head(ROWS, CLASSES);
    let program = compile(&model, &wanted, &catalog).unwrap();
    let named = |graph: &RunGraph| graph.weights().iter().map(|weight| weight.name.clone()).collect::<Vec<_>>();
    // one number less in a row is too little to be worth it
    let names = ["layer0.weight", "layer1.weight"];
    let files = [program.step(), program.evaluation()].map(|file| file.unwrap().to_vec());
    for (graph, file) in program.run_graphs(Provider::Cpu).unwrap().iter().zip(&files) {
        assert_eq!(named(graph), names);
        assert!(graph.file().length() + 2 * WIDE * WIDE * 4 < file.len() + 1024);
        let given = [inputs(&program), beside(graph)].into_iter().flatten().collect();
        let got = run(&mut session(&graph.file().to_vec()), given);
        assert_close(&got, &run(&mut session(file), inputs(&program)), "a small model");
    }
    let prefix = FrozenPrefix::of(&program, &model, &wanted, &catalog).unwrap();
    assert_eq!(named(&prefix.run_graph(Provider::Cpu).unwrap()), names);
    // one session alone packs them
    let scoring = model.evaluated(None, PredictionKind::ClassScores, None, &catalog).unwrap().model;
    assert!(scoring.weights().is_empty());
}

/// Depthwise, the second layer with padding on one side alone: what that gives back is a transposed convolution.
fn unevenly_padded() -> Model {
    const CHANNELS: usize = 3;
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("x", TensorType::f32([Length::named("batch"), CHANNELS.into(), 6.into(), 6.into()]));
    for (layer, pads) in [[1_i64, 1, 1, 1], [0, 1, 1, 0]].into_iter().enumerate() {
        let shape = [CHANNELS, 1, 3, 3];
        let kernel = Constant::f32(shape, &numbers(shape.iter().product(), layer));
        let kernel = graph.constant(&format!("layer{layer}.weight"), kernel);
        let attributes = [("strides", vec![2, 2].into()), ("pads", pads.to_vec().into()), ("group", 3.into())];
        value = graph.add("Conv", &[value, kernel], &attributes).unwrap();
    }
    let flat = graph.add("Flatten", &[value], &[]).unwrap();
    let width = graph.shape(flat).unwrap()[1].fixed().unwrap();
    let head = graph.constant("head.weight", Constant::f32([width, CLASSES], &numbers(width * CLASSES, 9)));
    let logits = graph.add("MatMul", &[flat, head], &[]).unwrap();
    graph.output(logits);
    Model::from_bytes(graph.to_onnx("uneven")).unwrap()
}

#[test]
fn transposed_convolutions_have_even_padding_on_cuda_and_compute_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    let wanted = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(ROWS, CLASSES) };
    let program = compile(&unevenly_padded(), &wanted, &OperatorCatalog::standard()).unwrap();
    let [on_cpu, on_cuda] = [Provider::Cpu, Provider::Cuda].map(|provider| {
        let [step, _] = program.run_graphs(provider).unwrap();
        step.file().to_vec()
    });
    assert!(on_cpu != on_cuda, "the network has no transposed convolution with uneven padding");
    let [wanted, got] = [on_cpu, on_cuda].map(|file| run(&mut session(&file), inputs(&program)));
    assert_close(&got, &wanted, "the step");
}

type Numbers = [(&'static str, &'static [i64])];

/// A transposed convolution of images of 5×4, or a convolution whose gradient by its input is one, and a second layer in front of it.
fn with_strides(operator: &str, kernel: [usize; 2], attributes: &Numbers, has_bias: bool) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 3.into(), 5.into(), 4.into()]));
    let first = graph.constant("first.weight", Constant::f32([2, 3, 1, 1], &numbers(6, 0)));
    let value = graph.add("Conv", &[x, first], &[]).unwrap();
    let channels = if operator == "Conv" { [4, 2] } else { [2, 4] };
    let shape: Vec<usize> = channels.into_iter().chain(kernel).collect();
    let weight = graph.constant("layer.weight", Constant::f32(shape.clone(), &numbers(shape.iter().product(), 1)));
    let bias = has_bias.then(|| graph.constant("layer.bias", Constant::f32([4], &numbers(4, 2))));
    let inputs: Vec<_> = [value, weight].into_iter().chain(bias).collect();
    let attributes: Vec<_> = attributes.iter().map(|(name, values)| (*name, values.to_vec().into())).collect();
    let value = graph.add(operator, &inputs, &attributes).unwrap();
    let flat = graph.add("Flatten", &[value], &[]).unwrap();
    let width = graph.shape(flat).unwrap()[1].fixed().unwrap();
    let head = graph.constant("head.weight", Constant::f32([width, CLASSES], &numbers(width * CLASSES, 9)));
    let logits = graph.add("MatMul", &[flat, head], &[]).unwrap();
    graph.output(logits);
    Model::from_bytes(graph.to_onnx("strides")).unwrap()
}

#[test]
fn transposed_convolutions_with_strides_are_convolutions_on_cuda_and_compute_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    let two: (&str, &[i64]) = ("strides", &[2, 2]);
    let rows: [(&str, [usize; 2], &Numbers); 14] = [
        ("Conv", [3, 3], &[two, ("pads", &[1, 1, 1, 1])]),
        ("Conv", [3, 3], &[two, ("pads", &[0, 0, 1, 1])]),
        ("Conv", [2, 2], &[two]),
        ("Conv", [5, 4], &[("strides", &[3, 2]), ("pads", &[2, 1, 2, 1])]),
        ("ConvTranspose", [2, 2], &[two]),
        ("ConvTranspose", [3, 3], &[two, ("pads", &[1, 1, 1, 1]), ("output_padding", &[1, 1])]),
        ("ConvTranspose", [4, 4], &[two, ("pads", &[1, 1, 1, 1])]),
        ("ConvTranspose", [2, 4], &[two, ("output_padding", &[1, 1])]),
        ("ConvTranspose", [3, 2], &[("strides", &[1, 2]), ("pads", &[0, 1, 2, 0])]),
        // kernels that leave places of a stride out
        ("Conv", [1, 1], &[two]),
        ("ConvTranspose", [1, 1], &[two, ("output_padding", &[1, 1])]),
        ("ConvTranspose", [2, 1], &[("strides", &[3, 2])]),
        ("ConvTranspose", [1, 3], &[two, ("pads", &[0, 1, 0, 1])]),
        ("ConvTranspose", [2, 3], &[("strides", &[4, 2]), ("pads", &[1, 0, 0, 1]), ("output_padding", &[2, 0])]),
    ];
    for (operator, kernel, attributes) in rows {
        let told = format!("{operator} {kernel:?} {attributes:?}");
        let model = with_strides(operator, kernel, attributes, operator == "ConvTranspose");
        let wanted =
            FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(ROWS, CLASSES) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let [on_cpu, on_cuda] = [Provider::Cpu, Provider::Cuda].map(|provider| {
            let [step, _] = program.run_graphs(provider).unwrap();
            step.file().to_vec()
        });
        // as a node says its operator in protobuf
        let transposed = |file: &[u8]| file.windows(15).filter(|bytes| bytes == b"\x22\x0dConvTranspose").count();
        assert_eq!((transposed(&on_cpu), transposed(&on_cuda)), (1, 0), "{told}");
        let [wanted, got] = [on_cpu, on_cuda].map(|file| run(&mut session(&file), inputs(&program)));
        assert_close(&got, &wanted, &told);
    }
}

#[test]
fn sums_are_products_on_cuda_and_come_out_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("x", TensorType::f32([Length::named("batch"), 3.into(), 6.into(), 6.into()]));
    let kernel = graph.constant("conv.weight", Constant::f32([4, 3, 3, 3], &numbers(4 * 27, 0)));
    let bias = graph.constant("conv.bias", Constant::f32([4], &numbers(4, 1)));
    value = graph.add("Conv", &[value, kernel, bias], &[]).unwrap();
    value = graph.add("Relu", &[value], &[]).unwrap();
    let rows = graph.integers(&[0, 4, 16]);
    value = graph.add("Reshape", &[value, rows], &[]).unwrap();
    let scale = graph.constant("norm.weight", Constant::f32([16], &numbers(16, 2)));
    let shift = graph.constant("norm.bias", Constant::f32([16], &numbers(16, 3)));
    value = graph.add("LayerNormalization", &[value, scale, shift], &[]).unwrap();
    let flat = graph.add("Flatten", &[value], &[]).unwrap();
    let head = graph.constant("head.weight", Constant::f32([64, CLASSES], &numbers(64 * CLASSES, 9)));
    let logits = graph.add("MatMul", &[flat, head], &[]).unwrap();
    graph.output(logits);
    let model = Model::from_bytes(graph.to_onnx("summed")).unwrap();
    let wanted = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(ROWS, CLASSES) };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    let [on_cpu, on_cuda] = [Provider::Cpu, Provider::Cuda].map(|provider| {
        let [step, _] = program.run_graphs(provider).unwrap();
        step.file().to_vec()
    });
    // as a node says its operator in protobuf
    let sums = |file: &[u8]| file.windows(11).filter(|bytes| bytes == b"\x22\x09ReduceSum").count();
    assert!(sums(&on_cuda) < sums(&on_cpu), "{} of {} sums are left", sums(&on_cuda), sums(&on_cpu));
    let [wanted, got] = [on_cpu, on_cuda].map(|file| run(&mut session(&file), inputs(&program)));
    assert_close(&got, &wanted, "the step");
}

#[test]
fn kernels_larger_than_what_they_make_are_products_on_cuda_and_compute_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 3.into(), 31.into(), 30.into()]));
    let kernel = graph.constant("stem.weight", Constant::f32([4, 3, 3, 3], &numbers(4 * 27, 0)));
    let attributes = [("strides", vec![2, 2].into()), ("pads", vec![1, 0, 1, 1].into())];
    let value = graph.add("Conv", &[x, kernel], &attributes).unwrap();
    let value = graph.add("GlobalAveragePool", &[value], &[]).unwrap();
    let flat = graph.add("Flatten", &[value], &[]).unwrap();
    let head = graph.constant("head.weight", Constant::f32([4, CLASSES], &numbers(4 * CLASSES, 9)));
    let logits = graph.add("MatMul", &[flat, head], &[]).unwrap();
    graph.output(logits);
    let model = Model::from_bytes(graph.to_onnx("stem")).unwrap();
    let wanted = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(ROWS, CLASSES) };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    let [on_cpu, on_cuda] = [Provider::Cpu, Provider::Cuda].map(|provider| {
        let [step, _] = program.run_graphs(provider).unwrap();
        step.file().to_vec()
    });
    // as a node says its operator in protobuf
    let convolutions = |file: &[u8]| file.windows(6).filter(|bytes| bytes == b"\x22\x04Conv").count();
    assert_eq!((convolutions(&on_cpu), convolutions(&on_cuda)), (2, 1));
    let [wanted, got] = [on_cpu, on_cuda].map(|file| run(&mut session(&file), inputs(&program)));
    assert_close(&got, &wanted, "the step");
}

#[test]
fn updates_that_overflow_when_all_are_added_up_are_no_reason_for_nan() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, 3]));
    let huge = graph.constant("huge", Constant::f32([3], &[2e38, 3e38, 1e38]));
    let updates = graph.add("Mul", &[x, huge], &[]).unwrap();
    let nothing = graph.constant("nothing", Constant::f32([ROWS, 3], &[0.0; ROWS * 3]));
    let places = graph.constant("places", Constant::i64([ROWS, 3], &[1, 2, 0].repeat(ROWS)));
    let attributes = [("axis", 1.into()), ("reduction", "add".into())];
    let sums = graph.add("ScatterElements", &[nothing, places, updates], &attributes).unwrap();
    let tiny = graph.scalar(1e-37);
    let flat = graph.times(sums, tiny).unwrap();
    let head = graph.constant("head.weight", Constant::f32([3, CLASSES], &numbers(3 * CLASSES, 9)));
    let logits = graph.add("MatMul", &[flat, head], &[]).unwrap();
    graph.output(logits);
    let model = Model::from_bytes(graph.to_onnx("huge")).unwrap();
    let wanted = FineTuning { head: HeadChoice::keep(), ..FineTuning::head(ROWS, CLASSES) };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    let [wanted, got] = [Provider::Cpu, Provider::Cuda].map(|provider| {
        let [step, _] = program.run_graphs(provider).unwrap();
        let mut given = inputs(&program);
        let x = given.iter_mut().find(|(name, _)| name == "x").unwrap();
        x.1 = floats(&[ROWS, 3], &[0.9, 0.8, 0.7].repeat(ROWS));
        run(&mut session(&step.file().to_vec()), given)
    });
    assert_close(&got, &wanted, "the step");
}

#[test]
fn sums_at_indices_are_of_integers_on_cuda_and_come_out_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 3.into(), 9.into(), 9.into()]));
    let kernel = graph.constant("stem.weight", Constant::f32([4, 3, 2, 2], &numbers(4 * 12, 0)));
    let value = graph.add("Conv", &[x, kernel], &[]).unwrap();
    let attributes = [("kernel_shape", vec![3, 3].into()), ("strides", vec![1, 2].into())];
    let value = graph.add("MaxPool", &[value], &attributes).unwrap();
    let table = graph.constant("bias.table", Constant::f32([5, 4], &numbers(20, 3)));
    let places =
        graph.constant("places", Constant::i64([6, 3], &[0, 1, 2, 0, 1, 1, 4, -1, 4, 0, 0, 0, 2, 2, 2, 1, 0, 1]));
    let bias = graph.add("Gather", &[table, places], &[]).unwrap();
    let bias = graph.transpose(bias, &[2, 0, 1]).unwrap();
    let value = graph.plus(value, bias).unwrap();
    let corners = graph.constant("corner.table", Constant::f32([3, 2, 4], &numbers(24, 4)));
    let places = graph.constant("corners", Constant::i64([3, 2], &[0, 1, 2, -1, 0, 1]));
    let corners = graph.add("GatherND", &[corners, places], &[]).unwrap();
    let corners = graph.transpose(corners, &[1, 0]).unwrap();
    let corners = graph.reshape(corners, &[4, 1, 3]).unwrap();
    let value = graph.plus(value, corners).unwrap();
    let flat = graph.add("Flatten", &[value], &[]).unwrap();
    let head = graph.constant("head.weight", Constant::f32([72, CLASSES], &numbers(72 * CLASSES, 9)));
    let logits = graph.add("MatMul", &[flat, head], &[]).unwrap();
    graph.output(logits);
    let model = Model::from_bytes(graph.to_onnx("tables")).unwrap();
    let wanted = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(ROWS, CLASSES) };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    assert_eq!(program.parameters.len(), 4);
    let [on_cpu, on_cuda] = [Provider::Cpu, Provider::Cuda].map(|provider| {
        let [step, _] = program.run_graphs(provider).unwrap();
        step.file().to_vec()
    });
    let scatters = |file: &[u8], name: &[u8]| file.windows(name.len()).filter(|bytes| *bytes == name).count();
    let [rows, elements] = [&b"\x22\x09ScatterND"[..], b"\x22\x0fScatterElements"];
    assert_eq!([rows, elements].map(|name| scatters(&on_cpu, name)), [2, 1]);
    assert_eq!([rows, elements].map(|name| scatters(&on_cuda, name)), [0, 3]);
    let [mut on_cpu, mut on_cuda] = [on_cpu, on_cuda].map(|file| session(&file));
    let [wanted, got] = [&mut on_cpu, &mut on_cuda].map(|session| run(session, inputs(&program)));
    assert_close(&got, &wanted, "the step");
    // what is no number shows in all that it was added up with
    let unusual = |value: f32| {
        let mut given = inputs(&program);
        let x = given.iter_mut().find(|(name, _)| name == "x").unwrap();
        let mut values = numbers(ROWS * 243, 5);
        values[100] = value;
        x.1 = floats(&[ROWS, 3, 9, 9], &values);
        given
    };
    for value in [f32::NAN, f32::INFINITY] {
        let [wanted, got] = [&mut on_cpu, &mut on_cuda].map(|session| {
            let outputs = run(session, unusual(value));
            outputs.iter().map(|values| values.iter().any(|value| !value.is_finite())).collect::<Vec<bool>>()
        });
        assert!(wanted.contains(&true));
        assert_eq!(got, wanted, "{value}");
    }
}
