//! Branches, loops, sequences and functions.

use millstream_compiler::{Model, OperatorCatalog, compile};
use prost::Message;

use crate::onnx_file::onnx::{self, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::onnx_file::{
    Value, attribute, floats, function, graph, integers, node, of_type, rows, sequence, truth, weight,
};
use crate::{FLOAT, compiled, everything, holds, ints, network, onnx_runtime};

const TRUTH: i32 = 9;
const INTEGER: i32 = 7;

/// `x` `[batch, 6]` times a matrix, if the axis is as long as that; else as it is.
fn branches() -> ModelProto {
    let product = graph(vec![node("MatMul", "x a.weight", "p")], vec![], vec![], vec![of_type("p", FLOAT)]);
    let same = graph(vec![node("Identity", "x", "i")], vec![], vec![], vec![of_type("i", FLOAT)]);
    let nodes = vec![
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "width"),
        node("Equal", "width six", "is_six"),
        node("If", "is_six", "z").with("then_branch", Value::Graph(product)).with("else_branch", Value::Graph(same)),
    ];
    let weights = vec![integers("one", &[], &[1]), integers("six", &[], &[6]), weight("a.weight", &[6, 8])];
    network(17, &[6], nodes, weights)
}

pub(crate) fn body(nodes: Vec<NodeProto>, weights: Vec<TensorProto>, states: &[&str], outputs: &[&str]) -> Value {
    let mut inputs = vec![of_type("turn", INTEGER), of_type("go_on", TRUTH)];
    inputs[0] = scalar("turn", INTEGER);
    inputs[1] = scalar("go_on", TRUTH);
    inputs.extend(states.iter().map(|name| of_type(name, FLOAT)));
    let mut made = vec![scalar(outputs[0], TRUTH)];
    made.extend(outputs[1..].iter().map(|name| of_type(name, FLOAT)));
    Value::Graph(graph(nodes, weights, inputs, made))
}

fn scalar(name: &str, kind: i32) -> onnx::ValueInfoProto {
    let mut value = rows(name, kind, &[]);
    if let Some(onnx::type_proto::Value::TensorType(tensor)) =
        value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    {
        tensor.shape = Some(onnx::TensorShapeProto::default());
    }
    value
}

/// Four turns of h = tanh(hW + b + k), what all turns make added up.
fn recurrent() -> ModelProto {
    let cell = vec![
        NodeProto { name: Some("/cell/MatMul".into()), ..node("MatMul", "h cell.weight", "m") },
        NodeProto { name: Some("/cell/Add".into()), ..node("Add", "m cell.bias", "a") },
        node("Constant", "", "k").with("value", Value::Tensor(weight("", &[8]))),
        node("Mul", "a k", "ak"),
        node("Add", "ak inner", "s"),
        node("Tanh", "s", "next"),
        node("Identity", "go_on", "further"),
    ];
    let inner = vec![weight("inner", &[8])];
    let nodes = vec![
        node("Loop", "four _ x", "last all").with("body", body(cell, inner, &["h"], &["further", "next", "next"])),
        node("ReduceMean", "all", "mean").with("axes", ints(&[0])).with("keepdims", Value::Int(0)),
        node("Add", "last mean", "z"),
    ];
    let weights = vec![integers("four", &[], &[4]), weight("cell.weight", &[8, 8]), weight("cell.bias", &[8])];
    network(17, &[8], nodes, weights)
}

/// Turns as long as their number is less than three; the numbers are compared as whole numbers, or as floats, as tf2onnx writes the recurrent
/// layers of Keras, the first turn by two floats of the file.
fn counted(in_floats: bool) -> ModelProto {
    let to_float = |from: &str, to: &str| node("Cast", from, to).with("to", Value::Int(1));
    let compared = match in_floats {
        true => vec![
            to_float("number", "number_as_float"),
            to_float("three", "three_as_float"),
            node("Less", "number_as_float three_as_float", "less"),
            node("And", "less less", "further"),
        ],
        false => vec![node("Less", "number three", "further")],
    };
    let mut turn = vec![node("Add", "turn one", "number")];
    turn.extend(compared);
    turn.push(node("Mul", "h scale.weight", "next"));
    let turns = node("Loop", "_ yes first", "z").with("body", body(turn, vec![], &["h"], &["further", "next"]));
    let mut nodes = vec![node("MatMul", "x a.weight", "product")];
    let mut weights = vec![
        weight("a.weight", &[8, 8]),
        integers("one", &[], &[1]),
        integers("three", &[], &[3]),
        weight("scale.weight", &[8]),
    ];
    if in_floats {
        // the number fills the first state as well
        nodes.push(node("Less", "zeros limit", "is_less"));
        nodes.push(node("And", "is_less is_less", "yes"));
        nodes.push(node("Expand", "zeros size", "state"));
        nodes.push(node("MatMul", "product state", "nothing"));
        nodes.push(node("Add", "product nothing", "first"));
        weights.extend([floats("zeros", &[], &[0.0]), floats("limit", &[], &[3.0]), integers("size", &[2], &[8, 8])]);
    } else {
        nodes.push(node("Identity", "product", "first"));
        weights.push(truth("yes", true));
    }
    nodes.push(turns);
    network(17, &[8], nodes, weights)
}

/// A list that each step of the data is appended to, as TorchScript writes loops.
fn appended() -> ModelProto {
    let turn = vec![
        node("Gather", "x turn", "step").with("axis", Value::Int(1)),
        node("MatMul", "step a.weight", "made"),
        node("SequenceInsert", "list made", "longer"),
        node("Identity", "go_on", "further"),
    ];
    let inputs = vec![scalar("turn", INTEGER), scalar("go_on", TRUTH), sequence("list")];
    let turn = graph(turn, vec![], inputs, vec![scalar("further", TRUTH), sequence("longer")]);
    let nodes = vec![
        node("SequenceEmpty", "", "empty"),
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "count"),
        node("Loop", "count yes empty", "list_of_all").with("body", Value::Graph(turn)),
        node("ConcatFromSequence", "list_of_all", "all").with("axis", Value::Int(1)).with("new_axis", Value::Int(1)),
        node("ReduceMean", "all", "mean").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
        node("SequenceAt", "list_of_all back", "last"),
        node("Add", "mean last", "z"),
    ];
    let weights =
        vec![integers("one", &[], &[1]), integers("back", &[], &[-1]), truth("yes", true), weight("a.weight", &[6, 8])];
    network(17, &[4, 6], nodes, weights)
}

/// h = tanh(xW + hU) from the last step to the first.
fn scanned() -> ModelProto {
    let cell = vec![
        node("MatMul", "step a.weight", "m"),
        node("MatMul", "h b.weight", "n"),
        node("Add", "m n", "s"),
        node("Tanh", "s", "next"),
        node("Identity", "next", "shown"),
    ];
    let (inputs, outputs) = (["h", "step"], ["next", "shown"]);
    let [inputs, outputs] = [inputs, outputs].map(|names| names.map(|name| of_type(name, FLOAT)).to_vec());
    let nodes = vec![
        node("Transpose", "x", "steps").with("perm", ints(&[1, 0, 2])),
        node("Shape", "x", "shape"),
        node("Slice", "shape zero one", "count"),
        node("Concat", "count eight", "state").with("axis", Value::Int(0)),
        node("ConstantOfShape", "state", "first"),
        node("Scan", "first steps", "last all")
            .with("body", Value::Graph(graph(cell, vec![], inputs, outputs)))
            .with("num_scan_inputs", Value::Int(1))
            .with("scan_input_directions", ints(&[1]))
            .with("scan_output_axes", ints(&[1]))
            .with("scan_output_directions", ints(&[1])),
        node("ReduceMean", "all", "mean").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
        node("Add", "last mean", "z"),
    ];
    let weights = vec![
        integers("zero", &[1], &[0]),
        integers("one", &[1], &[1]),
        integers("eight", &[1], &[8]),
        weight("a.weight", &[6, 8]),
        weight("b.weight", &[8, 8]),
    ];
    network(17, &[4, 6], nodes, weights)
}

/// A tensor taken apart, in another order, and joined.
fn taken_apart() -> ModelProto {
    let nodes = vec![
        node("SplitToSequence", "x", "parts").with("axis", Value::Int(1)).with("keepdims", Value::Int(0)),
        node("SequenceAt", "parts one", "second"),
        node("SequenceErase", "parts one", "fewer"),
        node("SequenceInsert", "fewer second zero", "turned"),
        node("ConcatFromSequence", "turned", "joined").with("axis", Value::Int(-1)),
        node("SplitToSequence", "joined ten", "tens").with("axis", Value::Int(1)),
        node("SequenceLength", "tens", "three"),
        node("Sub", "three one", "two"),
        node("SequenceAt", "tens two", "four_left"),
        node("SequenceAt", "tens zero", "ten_first"),
        node("SequenceConstruct", "ten_first four_left", "both"),
        node("Identity", "both", "both_again"),
        node("ConcatFromSequence", "both_again", "fourteen").with("axis", Value::Int(1)),
        node("MatMul", "fourteen a.weight", "z"),
    ];
    let scalars = [("zero", 0), ("one", 1), ("ten", 10)];
    let mut weights: Vec<TensorProto> = scalars.iter().map(|(name, value)| integers(name, &[], &[*value])).collect();
    weights.push(weight("a.weight", &[14, 8]));
    network(17, &[4, 6], nodes, weights)
}

/// A block of a dense layer in a function, called twice; its slope is handed on.
fn functions() -> ModelProto {
    let dense = function(
        "Dense",
        17,
        &["x", "w", "b"],
        &["y"],
        vec![node("Gemm", "x w b", "g"), node("LeakyRelu", "g", "y").with("alpha", Value::Given("slope"))],
    );
    let mut block = function(
        "Block",
        17,
        &["x", "w", "b"],
        &["o"],
        vec![
            node("own.Dense", "x w b", "d").with("slope", Value::Given("slope")),
            node("Constant", "", "k").with("value", Value::Tensor(weight("", &[8]))),
            node("Mul", "d k", "dk"),
            node("Add", "dk x", "o"),
        ],
    );
    block.attribute_proto = vec![attribute("slope", Value::Float(0.2))];
    let nodes = vec![
        node("own.Block", "x l0.weight l0.bias", "h"),
        node("own.Block", "h l1.weight l1.bias", "z").with("slope", Value::Float(0.3)),
    ];
    let weights = ["l0", "l1"]
        .into_iter()
        .flat_map(|layer| [weight(&format!("{layer}.weight"), &[8, 8]), weight(&format!("{layer}.bias"), &[8])]);
    let mut file = network(17, &[8], nodes, weights.collect());
    file.functions = vec![dense, block];
    file
}

#[test]
fn branches_loops_sequences_and_functions_are_written_out() {
    if !onnx_runtime::available() {
        return;
    }
    let note = "functions, branches and loops of the file are written out, in the exported model too";
    let rows: [(&str, ModelProto, usize); 8] = [
        ("If", branches(), 48),
        // a weight that several turns read is trained as one
        ("Loop", recurrent(), 64 + 8 + 8 + 8),
        ("Loop that counts", counted(false), 64 + 8),
        ("Loop that counts in floats", counted(true), 64 + 8),
        ("a list in a Loop", appended(), 48),
        ("Scan", scanned(), 48 + 64),
        ("sequences", taken_apart(), 14 * 8),
        ("functions", functions(), 2 * 72 + 8),
    ];
    for (name, file, trained) in rows {
        let notes: &[&str] = if name == "sequences" { &[] } else { &[note] };
        holds(name, &file, notes, trained + 45);
    }
}

#[test]
fn a_number_that_decides_whether_a_loop_begins_is_not_trained_whatever_its_name() {
    let mut file = counted(true);
    let renamed = file.graph.as_mut().unwrap();
    let names = renamed.node.iter_mut().flat_map(|node| &mut node.input);
    let own = renamed.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut());
    names.chain(own).filter(|name| name.as_str() == "zeros").for_each(|name| "state.bias".clone_into(name));
    assert_eq!(compiled(&file.encode_to_vec()).trained, 64 + 8 + 45);
}

#[test]
fn what_is_written_out_says_where_it_comes_from() {
    let names = |file: &ModelProto| {
        let program = compiled(&file.encode_to_vec());
        let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
        let graph: GraphProto = ModelProto::decode(exported.as_slice()).unwrap().graph.unwrap();
        graph.node.into_iter().map(|node| node.name.unwrap_or_default()).collect::<Vec<String>>()
    };
    let turns = names(&recurrent());
    assert!(
        turns.contains(&"last/0//cell/MatMul".to_owned()) && turns.contains(&"last/3/next".to_owned()),
        "{turns:?}"
    );
    let calls = names(&functions());
    assert_eq!(calls, ["h/d/g", "h/d/y", "h/dk", "h/o", "z/d/g", "z/d/y", "z/dk", "z/o", "y"]);
}

#[test]
fn a_list_that_the_data_make_as_long_as_they_like_is_refused_with_the_culprit() {
    let mut by_length = appended();
    by_length.graph.as_mut().unwrap().input[0] = rows("x", FLOAT, &[0, 6]);
    let model = Model::from_bytes(by_length.encode_to_vec()).unwrap();
    let error = compile(&model, &everything(), &OperatorCatalog::standard()).unwrap_err().to_string();
    let wanted = "node `list_of_all` (Loop), whose number of turns depends on the length of `x_axis_1`, is not supported: \
                  export the model with a fixed length of that axis";
    assert_eq!(error, wanted);
}
