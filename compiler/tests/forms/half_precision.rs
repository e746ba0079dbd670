//! Floats of 16 bits: trained as 32-bit floats, exported as they came.

use millstream_compiler::finetuning::pattern_matches;
use millstream_compiler::{HeadChoice, Model, OperatorCatalog, compile};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, TensorProto};
use crate::onnx_file::{Value, floats, graph, model, node, rows, weight};
use crate::{CLASSES, FLOAT, compiled, everything, holds, ints, onnx_runtime};

const HALF: i32 = 10;
const BRAIN: i32 = 16;

/// The bits of a number that both types of 16 bits hold: eighths up to 16.
fn bits(value: f32, kind: i32) -> i32 {
    let bits = value.to_bits();
    if kind == BRAIN {
        return (bits >> 16) as i32;
    }
    if value == 0.0 {
        return 0;
    }
    ((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | bits >> 13 & 0x3ff) as i32
}

/// A tensor as one of 16 bits, its numbers rounded to eighths.
fn narrow(tensor: TensorProto, kind: i32) -> TensorProto {
    let eighths = tensor.float_data.iter().map(|value| bits((value * 8.0).round() / 8.0, kind));
    TensorProto { data_type: Some(kind), int32_data: eighths.collect(), float_data: vec![], ..tensor }
}

/// `kind` inside; `ends` of its input and output.
fn network(kind: i32, ends: i32) -> ModelProto {
    let cast = |from: &str, to: &str, kind: i32| {
        if ends == HALF || ends == BRAIN {
            node("Identity", from, to)
        } else {
            node("Cast", from, to).with("to", Value::Int(kind.into()))
        }
    };
    let w = |name: &str, shape: &[i64]| narrow(weight(name, shape), kind);
    let filled = narrow(floats("", &[1], &[0.25]), kind);
    let nodes = vec![
        cast("x", "x16", kind),
        node("Conv", "x16 conv.weight conv.bias", "c").with("pads", ints(&[1, 1, 1, 1])),
        node("BatchNormalization", "c norm.weight norm.bias norm.running_mean norm.running_var", "n"),
        node("Relu", "n", "r"),
        node("Resize", "r _ scales", "u").with("mode", Value::Text("nearest")),
        node("GlobalAveragePool", "u", "mean"),
        node("Flatten", "mean", "flat"),
        node("Constant", "", "k").with("value", Value::Tensor(w("", &[4]))),
        node("Mul", "flat k", "scaled"),
        node("Shape", "scaled", "shape"),
        node("ConstantOfShape", "shape", "quarters").with("value", Value::Tensor(filled)),
        node("Add", "scaled quarters", "more"),
        node("Gemm", "more fc.weight fc.bias", "scores"),
        cast("scores", "y", FLOAT),
    ];
    let weights = vec![
        w("conv.weight", &[4, 3, 3, 3]),
        w("conv.bias", &[4]),
        w("norm.weight", &[4]),
        w("norm.bias", &[4]),
        w("norm.running_mean", &[4]),
        narrow(floats("norm.running_var", &[4], &[0.5, 1.0, 1.5, 2.0]), kind),
        floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]),
        w("fc.weight", &[4, CLASSES as i64]),
        w("fc.bias", &[CLASSES as i64]),
    ];
    let (inputs, outputs) = (vec![rows("x", ends, &[3, 6, 6])], vec![rows("y", ends, &[CLASSES as i64])]);
    model(17, graph(nodes, weights, inputs, outputs), vec![])
}

/// Weights of 16 bits, computed with in 32.
fn compressed() -> ModelProto {
    let to = |name: &str| node("Cast", name, &format!("{name}.wide")).with("to", Value::Int(1));
    let nodes = vec![
        to("a.weight"),
        node("MatMul", "x a.weight.wide", "h"),
        to("a.bias"),
        node("Add", "h a.bias.wide", "hb"),
        node("Tanh", "hb", "t"),
        to("fc.weight"),
        node("MatMul", "t fc.weight.wide", "y"),
    ];
    let weights = [("a.weight", vec![6, 8]), ("a.bias", vec![8]), ("fc.weight", vec![8, CLASSES as i64])];
    let weights = weights.map(|(name, shape)| narrow(weight(name, &shape), HALF)).to_vec();
    let (inputs, outputs) = (vec![rows("x", FLOAT, &[6])], vec![rows("y", FLOAT, &[CLASSES as i64])]);
    model(17, graph(nodes, weights, inputs, outputs), vec![])
}

fn decoded(bytes: &[u8]) -> ModelProto {
    ModelProto::decode(bytes).unwrap()
}

/// Initializers by name, with their types and bytes.
fn tensors(file: &ModelProto) -> Vec<(String, i32, Vec<u8>)> {
    let bytes = |tensor: &TensorProto| match &tensor.raw_data {
        Some(bytes) => bytes.to_vec(),
        None if tensor.data_type() == FLOAT => tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        None => tensor.int32_data.iter().flat_map(|bits| (*bits as u16).to_le_bytes()).collect(),
    };
    let all = &file.graph.as_ref().unwrap().initializer;
    let mut found: Vec<_> =
        all.iter().map(|tensor| (tensor.name().to_owned(), tensor.data_type(), bytes(tensor))).collect();
    found.sort();
    found
}

#[test]
fn files_of_16_bits_are_trained_in_32_and_exported_as_they_came() {
    if !onnx_runtime::available() {
        return;
    }
    let note =
        "what the file has in float16 is trained and evaluated in float32; the exported model has it in float16 again";
    holds("16 bits between casts", &network(HALF, FLOAT), &[note], 4 * 27 + 4 + 8 + 4 + 25);
    holds("weights of 16 bits", &compressed(), &[note], 48 + 8 + 40);
    for (kind, name) in [(HALF, "float16"), (BRAIN, "bfloat16")] {
        let file = network(kind, kind);
        let model = Model::from_bytes(file.encode_to_vec()).unwrap();
        assert_eq!(model.input_type("x"), Some("float32"));
        let program = compiled(&file.encode_to_vec());
        assert_eq!(program.manifest.inputs[0].dtype, "float32");
        assert!(program.notes.iter().any(|note| note.contains(&format!("the exported model has it in {name} again"))));
        let exported = decoded(&program.export(&program.parameters, &[]).unwrap().to_vec());
        let [own, graph] = [&file, &exported].map(|file| file.graph.clone().unwrap());
        let types = |values: &[crate::onnx_file::onnx::ValueInfoProto]| {
            values.iter().map(|value| value.r#type.clone()).collect::<Vec<_>>()
        };
        assert_eq!((types(&graph.input), types(&graph.output)), (types(&own.input), types(&own.output)), "{name}");
        let (mut found, mut wanted) = (tensors(&exported), tensors(&file));
        // a constant that is trained is an initializer now
        let constant = |file: &ModelProto| {
            let nodes = &file.graph.as_ref().unwrap().node;
            let holder = nodes.iter().find(|node| node.op_type() == "Constant").cloned();
            holder.and_then(|node| node.attribute[0].t.clone())
        };
        let own_constant = constant(&file).unwrap();
        let bytes = own_constant.int32_data.iter().flat_map(|bits| (*bits as u16).to_le_bytes()).collect();
        wanted.push(("k".into(), kind, bytes));
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{name}");
        let operators = |nodes: &[NodeProto]| {
            let names = nodes.iter().map(|node| node.op_type().to_owned());
            names.filter(|name| name != "Constant").collect::<Vec<String>>()
        };
        assert_eq!(operators(&graph.node), operators(&own.node), "{name}");
    }
}

#[test]
fn what_is_added_to_a_file_of_16_bits_is_of_16_bits_too() {
    if !onnx_runtime::available() {
        return;
    }
    let file = network(HALF, FLOAT);
    let model = Model::from_bytes(file.encode_to_vec()).unwrap();
    let head = HeadChoice::default();
    let wanted = millstream_compiler::FineTuning { head, classes: 7, ..everything() };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
    let found = tensors(&decoded(&exported));
    let of_head: Vec<i32> =
        found.iter().filter(|(name, ..)| pattern_matches("fc.*", name)).map(|(_, kind, _)| *kind).collect();
    assert_eq!(of_head, [HALF, HALF]);
    assert_eq!(crate::answer(&exported, &[3, 3, 6, 6]).len(), 21);
    // a number that 16 bits do not hold
    let mut parameters = program.parameters.clone();
    parameters[0][0] = 1e6;
    let error = program.export(&parameters, &[]).unwrap_err().to_string();
    assert!(error.contains("has become 1000000, and the model stores it as float16"), "{error}");
}
