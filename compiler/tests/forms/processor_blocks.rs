//! Files that ONNX Runtime has laid out in blocks of channels for one kind of processor (`com.microsoft.nchwc`), as its sessions write
//! them unless they are told not to: made here by a session.

use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, TensorProto};
use crate::onnx_file::{Value, graph, model, node, rows, weight};
use crate::{CLASSES, FLOAT, ROWS, compiled, fed, ints, onnx_runtime};

const IMAGE: [usize; 4] = [ROWS, 3, 8, 8];

/// A weight that keeps the spread of what it is multiplied with.
fn kernel(name: &str, shape: &[i64]) -> TensorProto {
    let inputs: i64 = shape[1..].iter().product();
    let factor = (3.0 / inputs as f32).sqrt();
    let mut own = weight(name, shape);
    own.float_data.iter_mut().for_each(|value| *value *= factor);
    own
}

/// Convolutions with activations behind, over channels as they are, and of one pixel with a sum behind; pools between them. So many
/// channels in the trunk, in what is wider, and at the end.
fn network([trunk, wide, last]: [i64; 3]) -> ModelProto {
    let around = |node: NodeProto| node.with("pads", ints(&[1, 1, 1, 1]));
    let halved = |node: NodeProto| node.with("kernel_shape", ints(&[2, 2])).with("strides", ints(&[2, 2]));
    let nodes = vec![
        around(node("Conv", "x first.weight first.bias", "a")),
        node("Relu", "a", "b"),
        halved(node("MaxPool", "b", "c")),
        around(node("Conv", "c wide.weight wide.bias", "d")),
        node("LeakyRelu", "d", "e").with("alpha", Value::Float(0.2)),
        around(node("Conv", "e depthwise.weight depthwise.bias", "f")).with("group", Value::Int(wide)),
        node("Conv", "f back.weight back.bias", "g"),
        node("Add", "g c", "s"),
        node("Relu", "s", "r"),
        halved(node("AveragePool", "r", "p")),
        node("Conv", "p last.weight last.bias", "l"),
        node("GlobalAveragePool", "l", "m"),
        node("Flatten", "m", "z"),
        node("Gemm", "z fc.weight fc.bias", "y"),
    ];
    let classes = CLASSES as i64;
    let weights = vec![
        kernel("first.weight", &[trunk, 3, 3, 3]),
        weight("first.bias", &[trunk]),
        kernel("wide.weight", &[wide, trunk, 3, 3]),
        weight("wide.bias", &[wide]),
        kernel("depthwise.weight", &[wide, 1, 3, 3]),
        weight("depthwise.bias", &[wide]),
        kernel("back.weight", &[trunk, wide, 1, 1]),
        weight("back.bias", &[trunk]),
        kernel("last.weight", &[last, trunk, 1, 1]),
        weight("last.bias", &[last]),
        weight("fc.weight", &[last, classes]),
        weight("fc.bias", &[classes]),
    ];
    let (inputs, outputs) = (vec![rows("x", FLOAT, &[3, 8, 8])], vec![rows("y", FLOAT, &[classes])]);
    model(17, graph(nodes, weights, inputs, outputs), vec![])
}

/// The file as a session of ONNX Runtime writes it that optimizes as it does by default.
fn optimized(model: &[u8], name: &str) -> Vec<u8> {
    let file = std::env::temp_dir().join(format!("millstream-blocks-{}-{name}.onnx", std::process::id()));
    let builder = onnx_runtime::builder().with_optimized_model_path(&file);
    builder.unwrap().commit_from_memory(model).unwrap();
    let written = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    written
}

/// The largest difference, and the largest number.
fn apart(found: &[f32], wanted: &[f32]) -> (f32, f32) {
    assert_eq!(found.len(), wanted.len());
    let differences = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs());
    (differences.fold(0.0, f32::max), wanted.iter().map(|wanted| wanted.abs()).fold(0.0, f32::max))
}

#[test]
fn a_file_in_blocks_of_channels_has_the_gradients_of_the_file_that_it_was_made_from() {
    if !onnx_runtime::available() {
        return;
    }
    // those that fill no block of 8 or 16, and those that fill blocks of both, which leaves the length to the processor
    for (name, channels) in [("filled", [12, 20, 8]), ("whole", [16, 32, 16])] {
        let file = network(channels).encode_to_vec();
        let in_blocks = optimized(&file, name);
        let nodes = ModelProto::decode(in_blocks.as_slice()).unwrap().graph.unwrap().node;
        let of_blocks = nodes.iter().filter(|node| node.domain() == "com.microsoft.nchwc" && node.op_type() == "Conv");
        let count = of_blocks.count();
        if count == 0 && std::env::consts::ARCH != "x86_64" {
            println!("left out: ONNX Runtime has no blocks of channels on this processor");
            return;
        }
        assert_eq!(count, 5, "{name}");
        let (own, found) = (compiled(&file), compiled(&in_blocks));
        let told = "for one kind of processor (com.microsoft.nchwc), in blocks";
        assert!(found.notes.iter().any(|note| note.contains(told)), "{name}: {:?}", found.notes);
        assert_eq!((found.trained, found.parameters.len()), (own.trained, own.parameters.len()), "{name}");
        let step = |program: &millstream_compiler::TrainingProgram| {
            let mut session = onnx_runtime::session(&program.step().unwrap().to_vec());
            onnx_runtime::run(&mut session, fed(program, &IMAGE, &program.parameters))
        };
        // loss, scores, then the gradients
        let (wanted, got) = (step(&own), step(&found));
        for (at, part) in ["loss", "scores"].into_iter().enumerate() {
            let (difference, largest) = apart(&got[at], &wanted[at]);
            assert!(difference <= 1e-5 * largest, "{name}: {part} {:?} instead of {:?}", got[at], wanted[at]);
        }
        for (at, entry) in own.manifest.parameters.iter().enumerate() {
            // the optimizer has the weights in another order, and gives some another name
            let mut others = found.manifest.parameters.iter().zip(&found.parameters);
            let place = others.position(|(other, values)| other.shape == entry.shape && *values == own.parameters[at]);
            let place = place.unwrap_or_else(|| panic!("{name}: {} {:?} is not read", entry.name, entry.shape));
            let (difference, largest) = apart(&got[2 + place], &wanted[2 + at]);
            assert!(largest > 1e-6, "{name}: {} has no gradient", entry.name);
            assert!(difference <= 1e-5 * largest, "{name}: {} differs by {difference} of {largest}", entry.name);
        }
    }
}
