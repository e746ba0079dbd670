//! Bags of rows of a table, as PyTorch exports `EmbeddingBag`.

use millstream_compiler::{Model, OperatorCatalog, compile};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, StringStringEntryProto, TensorProto};
use crate::onnx_file::{Value, floats, integers, node, sequence, truth, weight};
use crate::written_out::body;
use crate::{everything, holds_within, ints, network, onnx_runtime};

const WRITTEN_OUT: &str = "branches and loops of the file are written out";

/// What the loop does in each turn with `ids`, by `starts` and `ends`.
fn turn(operator: &str) -> Value {
    let constant = |name: &str| node("Constant", "", name).with("value", Value::Tensor(integers("", &[1], &[0])));
    let reduced = match operator {
        "ReduceSum" => node(operator, "rows axis", "bag").with("keepdims", Value::Int(0)),
        _ => node(operator, "rows", "bag").with("axes", ints(&[0])).with("keepdims", Value::Int(0)),
    };
    let nodes = vec![
        node("Gather", "starts turn", "from"),
        node("Gather", "ends turn", "to"),
        constant("axis"),
        node("Unsqueeze", "from axis", "from_1"),
        constant("other_axis"),
        node("Unsqueeze", "to other_axis", "to_1"),
        node("Slice", "ids from_1 to_1 first", "own"),
        node("Gather", "bag.weight own", "rows"),
        reduced,
        node("Cast", "yes", "further").with("to", Value::Int(9)),
    ];
    body(nodes, vec![], &[], &["further", "bag"])
}

/// The rows of a table that `x` `[batch, 6]` means, one bag for each row of `x`: `offsets` makes the value `begin` of `rows`, the number of
/// each bag, and `each`, how many there are in a row.
fn bags(operator: &str, offsets: Vec<NodeProto>) -> ModelProto {
    let in_front = vec![
        node("Mul", "x five", "wide"),
        node("Abs", "wide", "above"),
        node("Cast", "above", "whole").with("to", Value::Int(7)),
        node("Shape", "whole", "shape"),
        node("ReduceProd", "shape", "all").with("keepdims", Value::Int(0)),
        node("Gather", "shape one", "each"),
        node("Gather", "shape zero", "count"),
        node("Reshape", "whole flat", "ids"),
    ];
    let behind = vec![
        node("Shape", "ids", "all_1"),
        node("Concat", "begin all_1", "starts").with("axis", Value::Int(0)),
        node("Slice", "starts second last first second", "ends"),
        node("Shape", "ends", "ends_shape"),
        node("Gather", "ends_shape zero", "most"),
        node("Loop", "most yes", "z").with("body", turn(operator)),
    ];
    let weights: Vec<TensorProto> = vec![
        floats("five", &[], &[5.0]),
        integers("zero", &[], &[0]),
        integers("one", &[], &[1]),
        integers("six", &[], &[6]),
        integers("flat", &[1], &[-1]),
        integers("first", &[1], &[0]),
        integers("second", &[1], &[1]),
        integers("last", &[1], &[i64::MAX]),
        truth("yes", true),
        weight("bag.weight", &[7, 8]),
    ];
    network(17, &[6], [in_front, offsets, behind].concat(), weights)
}

#[test]
fn the_table_of_an_embedding_bag_is_trained() {
    if !onnx_runtime::available() {
        return;
    }
    for operator in ["ReduceMax", "ReduceMean", "ReduceSum"] {
        // as many rows in each bag, told by a range; a bag of them in the middle that has none; and offsets of which nothing is known
        let even = vec![node("Range", "zero all each", "begin")];
        let numbered = || node("Range", "zero count one", "number");
        let uneven = vec![numbered(), node("Min", "number one", "low"), node("Mul", "low six", "begin")];
        let scaled = vec![numbered(), node("Mul", "number six", "begin")];
        let forms = match operator {
            "ReduceMax" => vec![("even", even)],
            // ONNX Runtime's mean of nothing is no number, and PyTorch's is zero
            "ReduceMean" => vec![("even", even), ("scaled", scaled)],
            _ => vec![("even", even), ("scaled", scaled), ("uneven", uneven)],
        };
        for (name, offsets) in forms {
            let file = bags(operator, offsets);
            holds_within(1e-5, &format!("{name}, {operator}"), &file, &[WRITTEN_OUT], 56 + 45);
        }
    }
}

#[test]
fn an_embedding_bag_of_the_newer_exporter_with_an_open_batch_is_refused_with_what_to_do() {
    let cell = vec![
        node("Gather", "bag.weight first", "row"),
        node("SequenceInsert", "so_far row", "more"),
        node("Identity", "go_on", "further"),
    ];
    let Value::Graph(mut turns) = body(cell, vec![], &["so_far"], &["further", "more"]) else {
        panic!("a body is a graph")
    };
    turns.input[2] = sequence("so_far");
    turns.output[1] = sequence("more");
    let mut bags = node("Loop", "count yes none", "all").with("body", Value::Graph(turns));
    let scopes = "bag: torch.nn.modules.sparse.EmbeddingBag/embedding_bag: aten.embedding_bag.padding_idx";
    bags.metadata_props = vec![StringStringEntryProto { key: Some("namespace".into()), value: Some(scopes.into()) }];
    let nodes = vec![
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "count"),
        node("SequenceEmpty", "", "none"),
        bags,
        node("ConcatFromSequence", "all", "z").with("axis", Value::Int(0)),
    ];
    let weights = vec![
        integers("zero", &[], &[0]),
        integers("first", &[1], &[0]),
        truth("yes", true),
        weight("bag.weight", &[7, 8]),
    ];
    let model = Model::from_bytes(network(17, &[6], nodes, weights).encode_to_vec()).unwrap();
    let error = compile(&model, &everything(), &OperatorCatalog::standard()).err().unwrap().to_string();
    assert!(error.contains("EmbeddingBag") && error.contains("dynamo=False"), "{error}");
}
