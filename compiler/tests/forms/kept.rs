//! Branches and loops of which the data decide what they do.

use std::collections::BTreeMap;

use millstream_compiler::{FineTuning, Model, OperatorCatalog, compile, describe, export_advice};
use millstream_schemas::AxisLength;
use millstream_schemas::recipe::TrainSelection;
use prost::Message;

use crate::onnx_file::onnx::{
    GraphProto, ModelProto, NodeProto, TensorProto, tensor_shape_proto::dimension::Value as Length, type_proto,
};
use crate::onnx_file::{Value, floats, function, graph, integers, node, of_type, truth, weight};
use crate::written_out::body;
use crate::{FLOAT, answer, everything, holds, ints, network, onnx_runtime, slopes};

/// Whether the mean of `x` is above a bound, as `above`.
fn condition() -> Vec<NodeProto> {
    vec![node("ReduceMean", "x", "mean").with("keepdims", Value::Int(0)), node("Greater", "mean bound", "above")]
}

fn bound(value: f32) -> TensorProto {
    floats("bound", &[], &[value])
}

/// A branch that makes this value.
fn branch(nodes: Vec<NodeProto>, weights: Vec<TensorProto>, made: &str) -> Value {
    Value::Graph(graph(nodes, weights, vec![], vec![of_type(made, FLOAT)]))
}

/// `x` `[batch, 6]` times one matrix or another, which lies in the branch; what both give goes on.
fn branches(at: f32) -> ModelProto {
    let then_branch = branch(vec![node("MatMul", "below a.weight", "p")], vec![], "p");
    let other = vec![node("MatMul", "below b.weight", "q"), node("Tanh", "q", "t"), node("Add", "t quarter", "u")];
    let else_branch = branch(other, vec![weight("b.weight", &[6, 8]), floats("quarter", &[], &[0.25])], "u");
    let nodes = vec![
        node("MatMul", "x below.weight", "below"),
        node("If", "above", "made").with("then_branch", then_branch).with("else_branch", else_branch),
        node("Add", "made d.bias", "z"),
    ];
    let weights = vec![bound(at), weight("below.weight", &[6, 6]), weight("a.weight", &[6, 8]), weight("d.bias", &[8])];
    network(17, &[6], [condition(), nodes].concat(), weights)
}

/// Of two values each, in other orders; a branch calls a function and holds branches of its own.
fn nested(at: f32) -> ModelProto {
    let inner = |name: &'static str, operator: &str, made: &str| branch(vec![node(operator, name, made)], vec![], made);
    let two = |first: &str, second: &str| [first, second].map(|name| of_type(name, FLOAT)).to_vec();
    let then_nodes = vec![
        node("own.Dense", "x a.weight", "p"),
        node("ReduceMax", "p", "largest").with("keepdims", Value::Int(0)),
        node("Greater", "largest bound", "large"),
        node("If", "large", "bent")
            .with("then_branch", inner("p", "Tanh", "i"))
            .with("else_branch", inner("p", "Sigmoid", "j")),
        node("Identity", "x", "same"),
    ];
    let else_nodes = vec![node("MatMul", "x a.weight", "q"), node("Mul", "x x", "square")];
    let then_branch = Value::Graph(graph(then_nodes, vec![], vec![], two("bent", "same")));
    let else_branch = Value::Graph(graph(else_nodes, vec![], vec![], two("q", "square")));
    let nodes = vec![
        node("If", "above", "made kept").with("then_branch", then_branch).with("else_branch", else_branch),
        node("MatMul", "kept c.weight", "r"),
        node("Mul", "made r", "z"),
    ];
    let weights = vec![bound(at), weight("a.weight", &[6, 8]), weight("c.weight", &[6, 8])];
    let mut file = network(17, &[6], [condition(), nodes].concat(), weights);
    file.functions = vec![function("Dense", 17, &["x", "w"], &["y"], vec![node("MatMul", "x w", "y")])];
    file
}

#[test]
fn gradients_flow_through_the_branch_that_the_data_decide_for() {
    if !onnx_runtime::available() {
        return;
    }
    let note = "node `made` (If), whose condition depends on the data in `x`, runs as it is";
    for at in [-10.0, 10.0] {
        holds(&format!("branches, bound {at}"), &branches(at), &[note], 36 + 48 + 48 + 8 + 45);
        holds(&format!("nested, bound {at}"), &nested(at), &[note], 48 + 48 + 45);
    }
}

#[test]
fn a_branch_that_was_not_taken_gives_no_gradient_that_is_no_number() {
    if !onnx_runtime::available() {
        return;
    }
    // the logarithm of what is not above zero is taken in no run
    let logarithms = |at: f32| {
        let then_branch = branch(vec![node("Log", "p", "l")], vec![], "l");
        let else_branch = branch(vec![node("Identity", "p", "i")], vec![], "i");
        let nodes = vec![
            node("MatMul", "x a.weight", "p"),
            node("If", "above", "z").with("then_branch", then_branch).with("else_branch", else_branch),
        ];
        network(17, &[6], [condition(), nodes].concat(), vec![bound(at), weight("a.weight", &[6, 8])])
    };
    holds("Log", &logarithms(10.0), &[], 48 + 45);
}

/// With any number of steps on the second axis of its input.
fn of_any_length(mut file: ModelProto) -> ModelProto {
    let kind = file.graph.as_mut().and_then(|graph| graph.input[0].r#type.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = kind.and_then(|kind| kind.value.as_mut()) else { panic!() };
    tensor.shape.as_mut().unwrap().dim[1].value = Some(Length::DimParam("steps".into()));
    file
}

/// h = tanh(hW + x_t), as many turns as `x` has steps; what all turns make is averaged.
fn recurrent() -> ModelProto {
    let cell = vec![
        node("Gather", "x turn", "step").with("axis", Value::Int(1)),
        node("MatMul", "h cell.weight", "m"),
        node("Add", "m step", "s"),
        node("Tanh", "s", "next"),
        node("Identity", "go_on", "further"),
    ];
    let nodes = vec![
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "count"),
        node("MatMul", "x first.weight", "ahead"),
        node("ReduceMean", "ahead", "start").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
        node("Loop", "count yes start", "last all")
            .with("body", body(cell, vec![], &["h"], &["further", "next", "next"])),
        node("ReduceMean", "all", "mean").with("axes", ints(&[0])).with("keepdims", Value::Int(0)),
        node("Add", "last mean", "sum"),
        node("MatMul", "sum behind.weight", "z"),
    ];
    let weights = vec![
        integers("one", &[], &[1]),
        truth("yes", true),
        weight("first.weight", &[8, 8]),
        weight("cell.weight", &[8, 8]),
        weight("behind.weight", &[8, 8]),
    ];
    of_any_length(network(17, &[5, 8], nodes, weights))
}

/// Doubled as long as its mean is below a bound.
fn while_small() -> ModelProto {
    let turn = vec![
        node("Add", "h h", "next"),
        node("ReduceMean", "next", "mean").with("keepdims", Value::Int(0)),
        node("Less", "mean bound", "further"),
    ];
    let nodes = vec![
        node("Abs", "x", "size"),
        node("Loop", "_ yes size", "grown").with("body", body(turn, vec![], &["h"], &["further", "next"])),
        node("MatMul", "grown a.weight", "z"),
    ];
    network(17, &[6], nodes, vec![truth("yes", true), bound(9.0), weight("a.weight", &[6, 8])])
}

/// The sum of all steps, one after another.
fn scanned() -> ModelProto {
    let step = vec![node("Add", "h step", "next"), node("Identity", "next", "shown")];
    let (inputs, outputs) = (["h", "step"], ["next", "shown"]);
    let [inputs, outputs] = [inputs, outputs].map(|names| names.map(|name| of_type(name, FLOAT)).to_vec());
    let nodes = vec![
        node("ReduceMean", "x", "start").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
        node("Scan", "start x", "last all")
            .with("body", Value::Graph(graph(step, vec![], inputs, outputs)))
            .with("num_scan_inputs", Value::Int(1))
            .with("scan_input_axes", ints(&[1]))
            .with("scan_output_axes", ints(&[1])),
        node("ReduceMean", "all", "mean").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
        node("Add", "last mean", "sum"),
        node("MatMul", "sum behind.weight", "z"),
    ];
    of_any_length(network(17, &[5, 6], nodes, vec![weight("behind.weight", &[6, 8])]))
}

#[test]
fn a_loop_that_the_data_decide_passes_through_below_what_is_trained() {
    if !onnx_runtime::available() {
        return;
    }
    let rows: [(&str, ModelProto, &[usize], usize, &str); 3] = [
        (
            "Loop",
            recurrent(),
            &[3, 5, 8],
            2,
            "node `last` (Loop), whose number of turns depends on the length of `steps`",
        ),
        (
            "Loop that asks",
            while_small(),
            &[3, 6],
            2,
            "node `grown` (Loop) decides in each turn whether there is a further one",
        ),
        ("Scan", scanned(), &[3, 5, 6], 2, "node `last` (Scan) goes along an axis whose length the data decide"),
    ];
    for (name, file, shape, last, note) in rows {
        let bytes = file.encode_to_vec();
        let model = Model::from_bytes(bytes.clone()).unwrap();
        let wanted = FineTuning { train: TrainSelection::Last(last), ..everything() };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        assert!(program.notes.iter().any(|found| found.contains(note)), "{name}: {:?}", program.notes);
        let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
        for steps in [shape[1], shape[1] + 2].into_iter().take(if shape.len() == 3 { 2 } else { 1 }) {
            let shape = [&[shape[0], steps], &shape[2..]].concat();
            assert_eq!(answer(&exported, &shape), answer(&bytes, &shape), "{name}, {steps} steps");
        }
        let kinds = |bytes: &[u8]| -> Vec<String> {
            let graph: GraphProto = ModelProto::decode(bytes).unwrap().graph.unwrap();
            graph.node.into_iter().filter_map(|node| node.op_type).collect()
        };
        assert_eq!(kinds(&exported), kinds(&bytes), "{name} passes through as it is");
    }
}

#[test]
fn a_loop_along_an_axis_that_has_one_length_in_all_batches_is_written_out_and_trained() {
    let (bytes, catalog) = (recurrent().encode_to_vec(), OperatorCatalog::standard());
    let model = Model::from_bytes(bytes.clone()).unwrap();
    let with = |steps: AxisLength| {
        let shape = vec![AxisLength::from("batch"), steps, AxisLength::Fixed(8)];
        let wanted = FineTuning { inputs: BTreeMap::from([("x".to_owned(), shape)]), ..everything() };
        compile(&model, &wanted, &catalog)
    };
    assert!(with(AxisLength::from("sequence")).is_err());
    let program = with(AxisLength::Fixed(5)).unwrap();
    assert_eq!(program.trained, 3 * 64 + 45);
    let note = "axis 1 of input `x` has the length 5, in the exported model too";
    assert!(program.notes.iter().any(|found| found.contains(note)), "{:?}", program.notes);
    if onnx_runtime::available() {
        let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
        assert_eq!(answer(&exported, &[3, 5, 8]), answer(&bytes, &[3, 5, 8]));
    }
}

#[test]
fn parameters_that_such_a_loop_hides_are_told_with_what_to_change_in_the_export() {
    let hidden = |file: ModelProto| {
        let (model, catalog) = (Model::from_bytes(file.encode_to_vec()).unwrap(), OperatorCatalog::standard());
        let report = describe(&model, None, &catalog).unwrap();
        let all = export_advice(&model, &report, &catalog).unwrap().into_iter();
        all.map(|one| one.finding).find(|finding| finding.contains("no gradient goes through it"))
    };
    let found = hidden(recurrent()).unwrap();
    assert!(found.starts_with("64 parameters in 1 loop (`last` first) are not trained"), "{found}");
    assert_eq!([hidden(while_small()), hidden(scanned())], [None, None]);
}

#[test]
fn a_gradient_that_such_a_loop_has_not_is_refused_with_its_name_and_with_what_can_be_trained() {
    let model = Model::from_bytes(recurrent().encode_to_vec()).unwrap();
    let error = compile(&model, &everything(), &OperatorCatalog::standard()).unwrap_err().to_string();
    for part in [
        "no gradient for operator Loop (opset 17), node `last`: the data decide how often it goes round",
        "The last 2 of 4 layers can be trained: `train: {last: 2}`",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_gradient_through_the_different_ones_of_some_floats_is_refused_and_the_layer_behind_them_is_trained() {
    let nodes = vec![
        node("MatMul", "x first.weight", "h"),
        node("Reshape", "h flat", "all"),
        node("Unique", "all", "different"),
        node("ReduceMean", "different", "mean").with("keepdims", Value::Int(0)),
        node("Mul", "h mean", "z"),
    ];
    let weights = vec![weight("first.weight", &[6, 8]), integers("flat", &[1], &[-1])];
    let model = Model::from_bytes(network(17, &[6], nodes, weights).encode_to_vec()).unwrap();
    let error = compile(&model, &everything(), &OperatorCatalog::standard()).unwrap_err().to_string();
    for part in [
        "no gradient for operator Unique (opset 17), node `different`: which elements differ",
        "The last of 2 layers can be trained: `train: {last: 1}`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let last = FineTuning { train: TrainSelection::Last(1), ..everything() };
    let program = compile(&model, &last, &OperatorCatalog::standard()).unwrap();
    assert_eq!(program.trained, 45);
    if onnx_runtime::available() {
        let (square, slope) = slopes(&program, &[3, 6]);
        assert!((slope - square).abs() <= 2e-2 * square, "slope {slope}, squared gradient {square}");
    }
}
