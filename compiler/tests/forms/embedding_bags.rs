//! Bags of rows of a table, as PyTorch exports `EmbeddingBag`.

use millstream_compiler::{Model, OperatorCatalog, compile};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, StringStringEntryProto, TensorProto};
use crate::onnx_file::{Value, floats, graph, integers, node, of_type, sequence, truth, weight};
use crate::written_out::body;
use crate::{FLOAT, everything, holds_within, ints, network, onnx_runtime};

/// ONNX's element type of 64-bit integers.
const INTEGER: i32 = 7;
const WRITTEN_OUT: &str = "branches and loops of the file are written out";

/// Whether a reduction reads its axes as an input.
fn has_axes_as_input(opset: i64, operator: &str) -> bool {
    opset >= 18 || operator == "ReduceSum"
}

/// What the loop does in each turn with `ids`, by `starts` and `ends`; each row times its weight where there are weights.
fn turn(opset: i64, operator: &str, is_weighted: bool) -> Value {
    let constant =
        |name: &str, value: i64| node("Constant", "", name).with("value", Value::Tensor(integers("", &[1], &[value])));
    let given = if is_weighted { "weighted" } else { "rows" };
    let with_axes = has_axes_as_input(opset, operator);
    let reduced =
        if with_axes { node(operator, &format!("{given} axis"), "bag") } else { node(operator, given, "bag") };
    let reduced = if with_axes { reduced } else { reduced.with("axes", ints(&[0])) };
    let reduced = reduced.with("keepdims", Value::Int(0));
    let mut nodes = vec![
        node("Gather", "starts turn", "from"),
        node("Gather", "ends turn", "to"),
        constant("axis", 0),
        node("Unsqueeze", "from axis", "from_1"),
        constant("other_axis", 0),
        node("Unsqueeze", "to other_axis", "to_1"),
        node("Slice", "ids from_1 to_1 first", "own"),
        node("Gather", "bag.weight own", "rows"),
    ];
    if is_weighted {
        nodes.extend([
            node("Slice", "flat_x from_1 to_1 first", "own_weights"),
            constant("weight_axis", 1),
            node("Unsqueeze", "own_weights weight_axis", "column"),
            node("Mul", "rows column", "weighted"),
        ]);
    }
    nodes.extend([reduced, node("Cast", "yes", "further").with("to", Value::Int(9))]);
    body(nodes, vec![], &[], &["further", "bag"])
}

/// The rows of a table that `x` `[batch, 6]` means, one bag for each row of `x`: `offsets` makes the value `begin` of `rows`, the number of
/// each bag, and `each`, how many there are in a row. `bags` makes `z` of them.
fn network_of(opset: i64, offsets: Vec<NodeProto>, bags: Vec<NodeProto>) -> ModelProto {
    let in_front = vec![
        node("Mul", "x five", "wide"),
        node("Abs", "wide", "above"),
        node("Cast", "above", "whole").with("to", Value::Int(7)),
        node("Shape", "whole", "shape"),
        node("ReduceProd", "shape", "all").with("keepdims", Value::Int(0)),
        node("Gather", "shape one", "each"),
        node("Gather", "shape zero", "count"),
        node("Reshape", "whole flat", "ids"),
        node("Reshape", "x flat", "flat_x"),
    ];
    let behind =
        vec![node("Shape", "ids", "all_1"), node("Concat", "begin all_1", "starts").with("axis", Value::Int(0))];
    let weights: Vec<TensorProto> = vec![
        floats("five", &[], &[5.0]),
        integers("zero", &[], &[0]),
        integers("one", &[], &[1]),
        integers("two", &[], &[2]),
        integers("four", &[], &[4]),
        integers("six", &[], &[6]),
        integers("seven", &[], &[7]),
        integers("no_places", &[0], &[]),
        integers("flat", &[1], &[-1]),
        integers("first", &[1], &[0]),
        integers("second", &[1], &[1]),
        integers("last", &[1], &[i64::MAX]),
        truth("yes", true),
        weight("bag.weight", &[7, 8]),
    ];
    network(opset, &[6], [in_front, offsets, behind, bags].concat(), weights)
}

/// Bags as torch.onnx writes them with `dynamo=False`.
fn bags(opset: i64, operator: &str, offsets: Vec<NodeProto>, is_weighted: bool) -> ModelProto {
    let nodes = vec![
        node("Slice", "starts second last first second", "ends"),
        node("Shape", "ends", "ends_shape"),
        node("Gather", "ends_shape zero", "most"),
        node("Loop", "most yes", "z").with("body", turn(opset, operator, is_weighted)),
    ];
    network_of(opset, offsets, nodes)
}

/// Where bags begin: as many rows in each, told by a range; a bag in the middle without rows; offsets of which nothing is known, of bags
/// that have as many rows each, and of such that have not.
fn offsets(name: &str) -> Vec<NodeProto> {
    let numbered = node("Range", "zero count one", "number");
    match name {
        "even" => vec![node("Range", "zero all each", "begin")],
        "with none" => vec![numbered, node("Min", "number one", "low"), node("Mul", "low six", "begin")],
        "scaled" => vec![numbered, node("Mul", "number six", "begin")],
        _ => vec![numbered, node("Mul", "number four", "begin")],
    }
}

#[test]
fn the_table_of_an_embedding_bag_is_trained() {
    if !onnx_runtime::available() {
        return;
    }
    // ONNX Runtime has no mean and no largest of nothing, and PyTorch's is zero
    let some = ["even", "scaled", "uneven"];
    let all = ["even", "scaled", "uneven", "with none"];
    for (opset, operator, is_weighted, forms) in [
        (17, "ReduceMax", false, &some[..]),
        (18, "ReduceMax", false, &some[..]),
        (18, "ReduceMax", true, &some[..]),
        (17, "ReduceMean", false, &some[..]),
        (17, "ReduceSum", false, &all[..]),
        (17, "ReduceSum", true, &all[..]),
    ] {
        for name in forms {
            let file = bags(opset, operator, offsets(name), is_weighted);
            let told = format!("{name}, {operator}, weights {is_weighted}, opset {opset}");
            holds_within(1e-5, &told, &file, &[WRITTEN_OUT], 56 + 45);
        }
    }
}

fn branch(nodes: Vec<NodeProto>, weights: Vec<TensorProto>, output: &str) -> Value {
    Value::Graph(graph(nodes, weights, vec![], vec![of_type(output, FLOAT)]))
}

fn either(condition: &str, [then, other]: [Value; 2], output: &str) -> NodeProto {
    node("If", condition, output).with("then_branch", then).with("else_branch", other)
}

fn over_first_axis(opset: i64, operator: &str, given: &str, made: &str) -> NodeProto {
    if has_axes_as_input(opset, operator) {
        node(operator, &format!("{given} first"), made)
    } else {
        node(operator, given, made).with("axes", ints(&[0]))
    }
}

/// What a bag without rows gives.
fn nothing() -> Value {
    branch(vec![], vec![floats("nothing", &[1, 8], &[0.0; 8])], "nothing")
}

/// A loop that puts a row behind a sequence in each turn.
fn loop_of_rows(cell: Vec<NodeProto>) -> NodeProto {
    let Value::Graph(mut turns) = body(cell, vec![], &["so_far", "number"], &["further", "more", "next"]) else {
        panic!("a body is a graph")
    };
    (turns.input[2], turns.input[3]) = (sequence("so_far"), of_type("number", INTEGER));
    (turns.output[1], turns.output[2]) = (sequence("more"), of_type("next", INTEGER));
    node("Loop", "_ any none zero", "list turns").with("body", Value::Graph(turns))
}

/// The rows that `ids` means of a table, each times a weight, and what a loop makes of them: `z`.
fn rows_in_a_loop(ids: &str, cell: Vec<NodeProto>) -> Vec<NodeProto> {
    vec![
        node("Gather", &format!("bag.weight {ids}"), "gathered"),
        node("Unsqueeze", "flat_x second", "weights"),
        node("Mul", "gathered weights", "rows"),
        node("Size", "begin", "bags"),
        node("SequenceEmpty", "", "none"),
        node("Less", "zero bags", "any"),
        loop_of_rows(cell),
        node("ConcatFromSequence", "list", "z").with("axis", Value::Int(0)),
    ]
}

/// Bags as torch.onnx writes them with `dynamo=True`: a row behind a sequence in each turn. They begin at `starts`, behind which the end of
/// the last one stands.
fn listed(opset: i64, operator: &str, starts: &str, offsets: Vec<NodeProto>) -> ModelProto {
    let first_axis = |operator: &str, given: &str, made: &str| over_first_axis(opset, operator, given, made);
    let own = || node("Slice", "rows start end", "own");
    let is_last = [node("Sub", "bags one", "last_turn"), node("Equal", "number last_turn", "is_last")];
    let row = match operator {
        "ReduceSum" => vec![own(), first_axis(operator, "own", "made")],
        "ReduceMax" => {
            let of_last = branch(vec![node("Slice", "rows start all_1", "own_last")], vec![], "own_last");
            let of_others = branch(vec![own()], vec![], "own");
            let own_rows = either("is_last", [of_last, of_others], "own_rows");
            [is_last.to_vec(), vec![own_rows, first_axis(operator, "own_rows", "made")]].concat()
        }
        _ => {
            let divided = vec![
                node("Cast", "divisor", "divisor_1").with("to", Value::Int(1)),
                node("Div", "summed divisor_1", "mean_of_some"),
            ];
            let undivided = vec![node("Identity", "summed", "mean_of_none")];
            let of_last = vec![
                first_axis("ReduceSum", "own", "summed"),
                node("Shape", "ids", "all_2").with("start", Value::Int(0)).with("end", Value::Int(1)),
                node("Sub", "all_2 start", "divisor"),
                node("Greater", "divisor zero", "has_rows"),
                either(
                    "has_rows",
                    [branch(divided, vec![], "mean_of_some"), branch(undivided, vec![], "mean_of_none")],
                    "mean_of_last",
                ),
            ];
            let of_others = branch(vec![first_axis(operator, "own", "mean")], vec![], "mean");
            let made = either("is_last", [branch(of_last, vec![], "mean_of_last"), of_others], "made");
            [vec![own()], is_last.to_vec(), vec![made]].concat()
        }
    };
    let cell = vec![
        node("Reshape", "number flat", "place"),
        node("CastLike", "one place", "one_1"),
        node("Add", "place one_1", "place_1"),
        node("Slice", &format!("{starts} place place_1"), "start"),
        node("CastLike", "two place", "two_1"),
        node("Add", "place two_1", "place_2"),
        node("Slice", &format!("{starts} place_1 place_2"), "end"),
        node("Equal", "start end", "is_empty"),
        either("is_empty", [nothing(), branch(row, vec![], "made")], "row"),
        node("SequenceInsert", "so_far row", "more"),
        node("Add", "number one", "next"),
        node("Less", "next bags", "further"),
    ];
    let ended = vec![
        node("Sub", "all_1 second", "last_end"),
        node("Concat", "begin last_end", "starts_to_an_end").with("axis", Value::Int(0)),
    ];
    network_of(opset, offsets, [ended, rows_in_a_loop("ids", cell)].concat())
}

/// Bags as torch.onnx writes them with `dynamo=True` and a `padding_idx`, here 2: a loop inside finds the places in a bag that mean another
/// row of the table. `ids` counts these from the first one, or from behind the last one.
fn padded(opset: i64, operator: &str, ids: &str, offsets: Vec<NodeProto>) -> ModelProto {
    let whole = |nodes: Vec<NodeProto>, output: &str| {
        Value::Graph(graph(nodes, vec![], vec![], vec![of_type(output, INTEGER)]))
    };
    let counted = whole(vec![node("Add", "id seven", "counted")], "counted");
    let as_it_is = whole(vec![node("Identity", "id", "as_it_is")], "as_it_is");
    let longer = vec![
        node("Reshape", "place flat", "place_1"),
        node("Concat", "kept_so_far place_1", "longer").with("axis", Value::Int(0)),
    ];
    let as_before = whole(vec![node("Identity", "kept_so_far", "as_before")], "as_before");
    let place = vec![
        node("Gather", &format!("{ids} place"), "id"),
        node("CastLike", "zero id", "zero_1"),
        node("Less", "id zero_1", "is_negative"),
        either("is_negative", [counted, as_it_is], "from_front"),
        node("Equal", "from_front two", "is_padding"),
        node("Not", "is_padding", "is_row"),
        either("is_row", [whole(longer, "longer"), as_before], "more_kept"),
        node("CastLike", "one place", "one_1"),
        node("Add", "place one_1", "next_place"),
        node("Less", "next_place end", "goes_on_in_bag"),
    ];
    let outputs = ["goes_on_in_bag", "more_kept", "next_place"];
    let Value::Graph(mut places) = body(place, vec![], &["kept_so_far", "place"], &outputs) else {
        panic!("a body is a graph")
    };
    places.input[0].name = Some("turn_in_bag".into());
    places.input[1].name = Some("began_in_bag".into());
    (places.input[2], places.input[3]) = (of_type("kept_so_far", INTEGER), of_type("place", INTEGER));
    (places.output[1], places.output[2]) = (of_type("more_kept", INTEGER), of_type("next_place", INTEGER));
    let row = vec![node("Gather", "rows kept", "own"), over_first_axis(opset, operator, "own", "made")];
    let cell = vec![
        node("Gather", "starts number", "start"),
        node("CastLike", "one number", "one_2"),
        node("Add", "number one_2", "number_1"),
        node("Gather", "starts number_1", "end"),
        node("Less", "start end", "has_places"),
        node("Loop", "_ has_places no_places start", "kept behind_bag").with("body", Value::Graph(places)),
        node("Size", "kept", "kept_count"),
        node("CastLike", "zero kept_count", "zero_2"),
        node("Equal", "kept_count zero_2", "is_empty"),
        either("is_empty", [nothing(), branch(row, vec![], "made")], "row"),
        node("SequenceInsert", "so_far row", "more"),
        node("Add", "number one", "next"),
        node("Less", "next bags", "further"),
    ];
    let from_behind = vec![node("Sub", "ids seven", "ids_from_behind")];
    network_of(opset, offsets, [from_behind, rows_in_a_loop(ids, cell)].concat())
}

#[test]
fn the_table_of_an_embedding_bag_of_the_newer_exporter_is_trained_with_an_open_batch() {
    if !onnx_runtime::available() {
        return;
    }
    for (opset, operator) in [(17, "ReduceMax"), (18, "ReduceMax"), (17, "ReduceMean"), (17, "ReduceSum")] {
        for name in ["even", "scaled", "uneven", "with none"] {
            let file = listed(opset, operator, "starts", offsets(name));
            holds_within(1e-5, &format!("{name}, {operator}, opset {opset}"), &file, &[WRITTEN_OUT], 56 + 45);
        }
    }
}

#[test]
fn the_table_of_an_embedding_bag_that_is_told_where_its_last_bag_ends_is_trained_with_an_open_batch() {
    if !onnx_runtime::available() {
        return;
    }
    // of the last bag the exporter takes the largest, and the number that the average divides by, up to the last row
    for (opset, operator) in [(17, "ReduceMax"), (18, "ReduceMax"), (17, "ReduceMean"), (17, "ReduceSum")] {
        for name in ["even", "scaled", "uneven", "with none"] {
            let file = listed(opset, operator, "starts_to_an_end", offsets(name));
            holds_within(1e-5, &format!("{name}, {operator}, opset {opset}"), &file, &[WRITTEN_OUT], 56 + 45);
        }
    }
}

#[test]
fn the_table_of_an_embedding_bag_that_leaves_padding_out_is_trained_with_an_open_batch() {
    if !onnx_runtime::available() {
        return;
    }
    for (opset, operator) in [(17, "ReduceMax"), (18, "ReduceMax"), (17, "ReduceMean"), (17, "ReduceSum")] {
        for name in ["even", "scaled", "uneven", "with none"] {
            for ids in ["ids", "ids_from_behind"] {
                let file = padded(opset, operator, ids, offsets(name));
                let told = format!("{name}, {operator}, {ids}, opset {opset}");
                holds_within(1e-5, &told, &file, &[WRITTEN_OUT], 56 + 45);
            }
        }
    }
}

#[test]
fn an_embedding_bag_in_a_loop_of_another_form_is_refused_with_what_to_do() {
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
