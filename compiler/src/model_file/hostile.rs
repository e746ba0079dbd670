//! Models that are damaged or mean harm: each must give an error that names the place.

use std::path::PathBuf;

use prost::Message;

use super::Model;
use super::onnx::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataLocation,
    tensor_shape_proto::dimension::Value as Length, type_proto,
};
use crate::handmade::{constant_node, graph, node, proto, untyped, value, weight, with};
use crate::losses::PredictionKind;
use crate::{CompilerError, FineTuning, OperatorCatalog, compile, describe};

/// `x` [batch, 2] times `w` plus `b` to `y` [batch, 2].
fn whole() -> ModelProto {
    let nodes = vec![node("Gemm", &["x", "w", "b"], &["y"])];
    let weights = vec![weight("w", &[2, 2]), weight("b", &[2])];
    proto(graph(nodes, weights, vec![value("x", &[2])], vec![value("y", &[2])]))
}

fn graph_of(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

/// Reads a model and does with it all that can be done without running it.
fn everything(bytes: Vec<u8>) -> Result<(), CompilerError> {
    let model = Model::from_bytes(bytes)?;
    let wanted = FineTuning::head(2, 5);
    model.evaluated(None, PredictionKind::ClassScores, None, &OperatorCatalog::standard())?;
    describe(&model, None, &OperatorCatalog::standard())?;
    describe(&model, Some(&wanted), &OperatorCatalog::standard())?;
    let program = compile(&model, &wanted, &OperatorCatalog::standard())?;
    program.export(&program.parameters, &[]).map(|_| ())
}

type Damage = fn(&mut ModelProto);

fn push(node: NodeProto) -> impl Fn(&mut ModelProto) {
    move |model| graph_of(model).node.push(node.clone())
}

#[test]
fn files_of_all_versions_of_the_format_that_onnx_runtime_loads_are_read() {
    for version in 3..=13 {
        let model = ModelProto { ir_version: Some(version), ..whole() };
        everything(model.encode_to_vec()).unwrap();
    }
}

#[test]
fn damaged_models_are_refused_with_the_place() {
    everything(whole().encode_to_vec()).unwrap();
    let rows: Vec<(Damage, &str)> = vec![
        (|m| m.graph = None, "is not a whole ONNX model"),
        (|m| graph_of(m).initializer[0].dims = vec![3], "tensor `w` of shape [3] needs 12 bytes and has 16"),
        (|m| graph_of(m).initializer[0].dims = vec![-2], "tensor `w` has an axis of length -2"),
        (|m| graph_of(m).initializer[0].dims = vec![i64::MAX, i64::MAX], "larger than memory"),
        (|m| graph_of(m).initializer[0].dims = vec![0, i64::MAX], "larger than memory"),
        (|m| graph_of(m).initializer[0].data_type = Some(99), "element type 99"),
        (|m| graph_of(m).initializer[0].data_type = Some(17), "is of float8e4m3fn (element type 17), which is not"),
        (|m| graph_of(m).initializer[0].name = Some("\u{1b}[31m".into()), "reads `w` before anything makes it"),
        (|m| graph_of(m).initializer[1] = weight("w", &[2]), "two initializers are named `w`"),
        (|m| graph_of(m).initializer.push(weight("", &[2])), "an initializer has no name"),
        (|m| graph_of(m).sparse_initializer.push(SparseTensorProto::default()), "a sparse initializer"),
        (|m| m.functions = vec![FunctionProto::default(); 2], "two functions are named ``"),
        (|m| m.functions.push(function("f", &["a", "a"], "b", vec![])), "two inputs of function `f` are named `a`"),
        (|m| m.functions.push(function("f", &["a"], "b", vec![])), "nothing makes output `b` of function `f`"),
        (
            |m| m.functions.push(function("f", &["a"], "b", vec![node("Relu", &["x"], &["b"])])),
            "node `b` reads `x` before",
        ),
        (|m| graph_of(m).input.push(value("x", &[2])), "two inputs are named `x`"),
        (|m| graph_of(m).input.push(value("", &[2])), "an input has no name"),
        (|m| graph_of(m).node[0].input[0] = "nothing".into(), "node `y` reads `nothing` before anything makes it"),
        (|m| push(node("Relu", &["x"], &["y"]))(m), "node `y` makes `y` a second time"),
        (|m| push(node("Relu", &["x"], &["x"]))(m), "node `x` makes `x` a second time"),
        (|m| push(node("Relu", &["x"], &[]))(m), "(Relu) makes nothing"),
        (|m| push(node("Relu", &["x"], &["", ""]))(m), "(Relu) makes nothing"),
        (|m| push(NodeProto { output: vec![], ..constant_node("c", &[2]) })(m), "(Constant) makes nothing"),
        (|m| push(node("Identity", &["w"], &[]))(m), "(Identity) makes nothing"),
        (|m| graph_of(m).output[0].name = Some("z".into()), "nothing makes its output `z`"),
        (|m| graph_of(m).output[0].name = None, "nothing makes its output ``"),
        (|m| graph_of(m).output.push(value("y", &[2])), "two outputs are named `y`"),
        (|m| graph_of(m).node.clear(), "no nodes"),
        (|m| m.ir_version = Some(99), "a file of version 99 of ONNX's format (`ir_version`) is not supported"),
        (|m| m.ir_version = Some(14), "let onnx store it as version 13"),
        (|m| m.ir_version = Some(0), "it names no version of ONNX's format (`ir_version`)"),
        (|m| m.ir_version = Some(-1), "it names no version of ONNX's format (`ir_version`)"),
        (|m| m.ir_version = None, "it names no version of ONNX's format (`ir_version`)"),
        (|m| m.opset_import.clear(), "no version of the standard operators"),
        (|m| m.opset_import[0].version = Some(6), "opset 6 is not supported"),
        (
            |m| {
                let (kind, g) = (Some(AttributeType::Graph as i32), Some(GraphProto::default()));
                graph_of(m).node[0].attribute = vec![AttributeProto { r#type: kind, g, ..AttributeProto::default() }];
            },
            "node `y` (Gemm) with a nested graph",
        ),
        (|m| graph_of(m).initializer[0] = external("w.bin", "16"), "it must hold its weights itself"),
    ];
    for (damage, wanted) in rows {
        let mut model = whole();
        damage(&mut model);
        let error = Model::from_bytes(model.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains(wanted), "wanted `{wanted}` in `{error}`");
    }
}

/// States the first axis of the input `x`.
fn declare_rows(model: &mut ModelProto, length: i64) {
    let kind = graph_of(model).input[0].r#type.as_mut().unwrap();
    let Some(type_proto::Value::TensorType(tensor)) = &mut kind.value else { panic!("a tensor") };
    tensor.shape.as_mut().unwrap().dim[0].value = Some(Length::DimValue(length));
}

#[test]
fn an_axis_of_an_input_that_no_machine_holds_is_not_told_to_be_undeclared() {
    let rows = [
        (1_i64 << 62, Some("input `x` declares axes of lengths [4611686018427387904, 2], which no machine holds")),
        (-7, Some("input `x` declares an axis of length -7")),
        (-1, None),
        (0, None),
    ];
    for (length, wanted) in rows {
        let mut model = whole();
        declare_rows(&mut model, length);
        let message = everything(model.encode_to_vec()).err().map_or_else(String::new, |error| error.to_string());
        match wanted {
            Some(wanted) => assert!(message.contains(wanted), "{length}: wanted `{wanted}` in `{message}`"),
            None => assert_eq!(message, "", "{length}"),
        }
    }
}

#[test]
fn two_versions_of_one_domain_are_refused() {
    let again = |domain: &str, version: i64| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    let rows = [
        ("", 13, Some("it names versions 17 and 13 of the standard operators (`opset_import`)")),
        ("ai.onnx", 13, Some("it names versions 17 and 13 of the standard operators (`opset_import`)")),
        ("odd", 4, Some("it names versions 3 and 4 of the operators of `odd` (`opset_import`)")),
        ("ai.onnx", 17, None),
    ];
    for (domain, version, wanted) in rows {
        let mut model = whole();
        model.opset_import.push(again(domain, version));
        let message = everything(model.encode_to_vec()).err().map_or_else(String::new, |error| error.to_string());
        match wanted {
            Some(wanted) => assert!(message.contains(wanted), "`{domain}`: wanted `{wanted}` in `{message}`"),
            None => assert_eq!(message, "", "`{domain}`"),
        }
    }
    let mut model = whole();
    let mut called = function("f", &["a"], "b", vec![node("Relu", &["a"], &["b"])]);
    called.opset_import = vec![again("", 17), again("ai.onnx", 16)];
    model.functions.push(called);
    let message = everything(model.encode_to_vec()).unwrap_err().to_string();
    assert!(message.contains("function `f` names versions 17 and 16 of the standard operators"), "{message}");
}

#[test]
fn a_float_attribute_that_is_no_number_is_refused_where_it_is_computed_with() {
    let float = |node: NodeProto, name: &str, number: f32| {
        let kind = Some(AttributeType::Float as i32);
        let own =
            AttributeProto { name: Some(name.into()), f: Some(number), r#type: kind, ..AttributeProto::default() };
        NodeProto { attribute: [node.attribute, vec![own]].concat(), ..node }
    };
    let gemm = || node("Gemm", &["y", "w", "b"], &["z"]);
    let microsoft = |node: NodeProto| NodeProto { domain: Some("com.microsoft".into()), ..node };
    let attention = || microsoft(with(node("Attention", &["y", "w"], &["z"]), "num_heads", &[1]));
    let infinite = f32::INFINITY;
    let rows: Vec<(NodeProto, &str)> = vec![
        (float(gemm(), "alpha", f32::NAN), "attribute `alpha` of node `z` (Gemm), which is NaN, is not supported"),
        (float(gemm(), "beta", infinite), "attribute `beta` of node `z` (Gemm), which is inf, is not supported"),
        (float(node("Elu", &["y"], &["z"]), "alpha", -infinite), "attribute `alpha` of node `z` (Elu), which is -inf,"),
        (float(attention(), "mask_filter_value", f32::NAN), "attribute `mask_filter_value` of node `z`"),
    ];
    for (tail, wanted) in rows {
        let mut model = whole();
        let imported = OperatorSetIdProto { domain: Some("com.microsoft".into()), version: Some(1) };
        model.opset_import.push(imported);
        graph_of(&mut model).node.push(tail);
        graph_of(&mut model).output = vec![untyped("z")];
        let message = everything(model.encode_to_vec()).unwrap_err().to_string();
        assert!(message.contains(wanted), "wanted `{wanted}` in `{message}`");
    }
    // without a bound
    let mut model = whole();
    model.opset_import[0].version = Some(10);
    let clip = float(float(node("Clip", &["x"], &["h"]), "min", -infinite), "max", infinite);
    graph_of(&mut model).node[0].input[0] = "h".into();
    graph_of(&mut model).node.insert(0, clip);
    everything(model.encode_to_vec()).unwrap();
}

#[test]
fn odd_models_that_are_read_give_errors_later_but_never_panic() {
    // a tail in place of the output's node, and what describing or compiling must say of it
    let rows: Vec<(Vec<NodeProto>, &str)> = vec![
        (vec![node("Softmax", &[], &["z"])], "`z` has no input"),
        (vec![node("Identity", &[], &["z"])], "`z` has no input"),
        (vec![node("Reshape", &[""], &["z"])], "`z` has no input"),
        (vec![node("Add", &["b"], &["z"])], "`z` adds two computed values"),
        (vec![node("Gemm", &["y"], &["z"])], "`z` multiplies two computed values"),
        (vec![node("Relu", &[], &["z"])], "node `z` (Relu) is no dense layer"),
        (vec![node("Softmax", &["y"], &["", "z"])], ""),
        (vec![node("Identity", &["w"], &["", "c"]), node("Softmax", &["y"], &["z"])], ""),
        (
            vec![
                NodeProto { output: vec!["".into(), "c".into()], ..constant_node("", &[2]) },
                node("Add", &["y", "b"], &["z"]),
            ],
            "",
        ),
        (vec![node("Reshape", &["y", "b"], &["z"])], ""),
        (vec![with(node("Flatten", &["y"], &["z"]), "axis", &[i64::MIN])], "axis"),
    ];
    for (tail, wanted) in rows {
        let mut model = whole();
        let graph = graph_of(&mut model);
        graph.node.extend(tail.clone());
        graph.output = vec![untyped("z")];
        let message = everything(model.encode_to_vec()).err().map_or_else(String::new, |error| error.to_string());
        assert!(message.contains(wanted), "wanted `{wanted}` in `{message}` for {tail:?}");
    }
}

#[test]
fn every_truncation_of_a_model_is_an_error() {
    // the graph comes last: wherever it is cut, its length is wrong
    let (head, graph) = (ModelProto { graph: None, ..whole() }.encode_to_vec(), whole());
    let only_graph = ModelProto { graph: graph.graph, ..ModelProto::default() }.encode_to_vec();
    let bytes = [head.clone(), only_graph].concat();
    everything(bytes.clone()).unwrap();
    for length in 0..bytes.len() {
        assert!(Model::from_bytes(bytes[..length].to_vec()).is_err(), "cut to {length} of {} bytes", bytes.len());
    }
}

/// A function of the domain `odd` with one output.
fn function(name: &str, inputs: &[&str], output: &str, nodes: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: Some(name.into()),
        domain: Some("odd".into()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        node: nodes,
        ..FunctionProto::default()
    }
}

fn nested(mut node: NodeProto, name: &str, graph: GraphProto) -> NodeProto {
    let (g, kind) = (Some(graph), Some(AttributeType::Graph as i32));
    node.attribute.push(AttributeProto { name: Some(name.into()), g, r#type: kind, ..AttributeProto::default() });
    node
}

/// A loop over `x` that goes on as long as its body says; `count` turns at most, any number where that is not there.
fn turns(count: &str, output: &str, body: Vec<NodeProto>) -> NodeProto {
    let inputs = ["turn", "go_on", "h"].map(untyped).to_vec();
    let (body, outputs) = ([vec![node("Identity", &["go_on"], &["further"])], body].concat(), ["further", "next"]);
    nested(
        node("Loop", &[count, "", "y"], &[output]),
        "body",
        graph(body, vec![], inputs, outputs.map(untyped).to_vec()),
    )
}

fn whole_number(name: &str, value: i64) -> TensorProto {
    TensorProto { name: Some(name.into()), data_type: Some(7), int64_data: vec![value], ..TensorProto::default() }
}

/// Functions each of which calls the next twice: 2^`depth` nodes.
fn doubling(depth: usize) -> Vec<FunctionProto> {
    let name = |at: usize| format!("f{at}");
    let call = |at: usize, from: &str, to: &str| node(&format!("odd.{}", name(at)), &[from], &[to]);
    let twice = |at: usize| function(&name(at), &["a"], "c", vec![call(at + 1, "a", "b"), call(at + 1, "b", "c")]);
    let last = function(&name(depth), &["a"], "c", vec![node("Relu", &["a"], &["c"])]);
    (0..depth).map(twice).chain([last]).collect()
}

/// Functions each of which calls the next.
fn chain(length: usize) -> Vec<FunctionProto> {
    let call =
        |at: usize| function(&format!("f{at}"), &["a"], "b", vec![node(&format!("odd.f{}", at + 1), &["a"], &["b"])]);
    let last = function(&format!("f{length}"), &["a"], "b", vec![node("Relu", &["a"], &["b"])]);
    (0..length).map(call).chain([last]).collect()
}

/// A sequence that so many tensors are put into.
fn growing(count: usize) -> Vec<NodeProto> {
    let name = |at: usize| format!("s{at}");
    let insert = |at: usize| node("SequenceInsert", &[&name(at), "y"], &[&name(at + 1)]);
    let last = node("ConcatFromSequence", &[&name(count)], &["z"]);
    std::iter::once(node("SequenceEmpty", &[], &["s0"])).chain((0..count).map(insert)).chain([last]).collect()
}

/// A constant of 4000 rows taken apart so often.
fn apart(count: usize) -> Vec<NodeProto> {
    let tall = constant_node("tall", &[4000]);
    let split = |at: usize| node("SplitToSequence", &["tall"], &[&format!("s{at}")]);
    let last = with(node("ConcatFromSequence", &["s0"], &["z"]), "axis", &[0]);
    std::iter::once(tall).chain((0..count).map(split)).chain([last]).collect()
}

#[test]
fn what_writes_out_to_more_than_fits_is_refused_in_bounded_time() {
    let long = "n".repeat(1 << 20);
    let step = |name: &str| vec![node("Relu", &["h"], &[name]), node("Identity", &[name], &["next"])];
    let same = || vec![node("Identity", &["h"], &["next"])];
    let inner = |body: Vec<NodeProto>| {
        vec![NodeProto { input: vec!["many".into(), String::new(), "h".into()], ..turns("many", "next", body) }]
    };
    let calls = |name: &str| vec![node(&format!("odd.{name}"), &["y"], &["z"])];
    let of = |name: &str, calls: &str| function(name, &["a"], "b", vec![node(&format!("odd.{calls}"), &["a"], &["b"])]);
    let rows: Vec<(&str, Vec<NodeProto>, Vec<FunctionProto>, &str)> = vec![
        ("a function that calls itself", calls("f"), vec![of("f", "f")], "function `odd.f`, which calls itself,"),
        ("a circle", calls("f"), vec![of("f", "g"), of("g", "f")], "function `odd.f`, which calls itself,"),
        ("functions that double", calls("f0"), doubling(60), "written out to at most"),
        ("any number of turns", vec![turns("huge", "z", same())], vec![], "written out to at most"),
        ("no end", vec![turns("", "z", same())], vec![], "written out to at most"),
        ("no nodes", vec![turns("huge", "z", vec![node("Relu", &["h"], &["next"])])], vec![], "written out to at most"),
        ("loops in loops", vec![turns("many", "z", inner(inner(same())))], vec![], "written out to at most"),
        ("long names", vec![turns("many", "z", step(&long))], vec![], "written out to at most"),
        (
            "what nobody knows",
            vec![turns("huge", "z", vec![node("odd.Bend", &["h"], &["b"]), node("Relu", &["b"], &["next"])])],
            vec![],
            "written out to at most",
        ),
        ("a chain of functions", calls("f0"), chain(5000), "followed 64 deep"),
        ("lists that grow", growing(100_000), vec![], "a sequence of 4097 tensors"),
        ("tensors taken apart", apart(4000), vec![], "written out to at most"),
    ];
    for (name, tail, functions, wanted) in rows {
        let before = processor_time();
        let mut model = whole();
        model.functions = functions;
        let graph = graph_of(&mut model);
        graph.node.extend(tail);
        graph.initializer.extend([whole_number("huge", i64::MAX), whole_number("many", 1000)]);
        graph.output = vec![untyped("z")];
        let message = everything(model.encode_to_vec()).unwrap_err().to_string();
        assert!(message.contains(wanted), "{name}: wanted `{wanted}` in `{message}`");
        let taken = processor_time().zip(before).map(|(now, before)| now.saturating_sub(before));
        assert!(taken.is_none_or(|taken| taken.as_secs() < 40), "{name} took {taken:?} of a processor");
    }
}

/// How long this thread has had a processor, where the system tells it: how busy the machine is does not matter.
fn processor_time() -> Option<std::time::Duration> {
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    scheduled.split_whitespace().next()?.parse().ok().map(std::time::Duration::from_nanos)
}

#[test]
fn branches_in_branches_are_followed_as_deep_as_the_decoder_goes() {
    let branches = |depth: usize| {
        let mut inner = node("Relu", &["y"], &["z"]);
        for _ in 0..depth {
            let branch = graph(vec![inner], vec![], vec![], vec![untyped("z")]);
            let outer = nested(node("If", &["yes"], &["z"]), "then_branch", branch.clone());
            inner = nested(
                outer,
                "else_branch",
                graph(vec![node("Neg", &["y"], &["z"])], vec![], vec![], vec![untyped("z")]),
            );
        }
        let mut model = whole();
        let graph = graph_of(&mut model);
        graph.node.push(inner);
        let truth =
            TensorProto { name: Some("yes".into()), data_type: Some(9), int32_data: vec![1], ..TensorProto::default() };
        graph.initializer.push(truth);
        graph.output = vec![value("z", &[2])];
        everything(model.encode_to_vec())
    };
    branches(24).unwrap();
    assert!(branches(200).unwrap_err().to_string().contains("is not a whole ONNX model"));
}

#[test]
fn odd_branches_loops_and_sequences_give_errors_and_never_panic() {
    let empty = || graph(vec![], vec![], vec![], vec![]);
    let shown = |name: &str| graph(vec![], vec![], vec![], vec![untyped(name)]);
    let scan = |count: i64| with(node("Scan", &["y"], &["z"]), "num_scan_inputs", &[count]);
    let rows: Vec<(Vec<NodeProto>, &str)> = vec![
        (vec![node("If", &["yes"], &["z"])], "it has no then_branch"),
        (vec![node("If", &[], &["z"])], "it has no condition"),
        (vec![node("If", &["y"], &["z"])], "it has no then_branch"),
        (
            vec![nested(nested(node("If", &["y"], &["z"]), "then_branch", empty()), "else_branch", empty())],
            "then_branch makes 0 values",
        ),
        (vec![nested(node("If", &["yes"], &["z"]), "then_branch", empty())], "its branch makes 0 values"),
        (vec![nested(node("If", &["yes"], &["z"]), "then_branch", shown("q"))], "nothing makes its output `q`"),
        (vec![nested(node("If", &["yes"], &["z"]), "then_branch", shown("y"))], ""),
        (vec![node("Loop", &[], &["z"])], "it has no body"),
        (vec![nested(node("Loop", &["", "", "y"], &["z"]), "body", empty())], "its body makes 0 values"),
        (vec![nested(node("Loop", &["two", "", ""], &["z"]), "body", shown("y"))], "an input is left out"),
        (vec![nested(node("Loop", &["two", ""], &["z"]), "body", shown("y"))], "it takes 0 values and is given 2"),
        (vec![nested(node("Loop", &["y", ""], &["z"]), "body", shown("y"))], "its body makes 1 values"),
        (vec![nested(scan(0), "body", shown("y"))], "of which it scans 0"),
        (vec![nested(scan(7), "body", shown("y"))], "of which it scans 7"),
        (vec![nested(scan(1), "body", shown("y"))], "its graph takes 0 values and is given 1"),
        (vec![node("SequenceAt", &["y", "two"], &["z"])], "input 0 is no sequence"),
        (vec![node("SequenceEmpty", &[], &["s"]), node("SequenceAt", &["s", "two"], &["z"])], "tensor 2 of 0"),
        (vec![node("SequenceEmpty", &[], &["s"]), node("SequenceErase", &["s"], &["z"])], "the sequence is empty"),
        (vec![node("SequenceEmpty", &[], &["s"]), node("ConcatFromSequence", &["s"], &["z"])], "it has no axis"),
        (vec![node("SequenceConstruct", &["y"], &["s"]), node("Relu", &["s"], &["z"])], "which reads a sequence"),
        (vec![node("SequenceConstruct", &["y"], &["z"])], "output `z`, a sequence of tensors,"),
        (vec![node("SplitToSequence", &["y"], &["z"])], "whose length is batch"),
    ];
    for (tail, wanted) in rows {
        let mut model = whole();
        let graph = graph_of(&mut model);
        graph.node.extend(tail.clone());
        let truth =
            TensorProto { name: Some("yes".into()), data_type: Some(9), int32_data: vec![1], ..TensorProto::default() };
        graph.initializer.extend([truth, whole_number("two", 2)]);
        graph.output = vec![untyped("z")];
        let message = everything(model.encode_to_vec()).err().map_or_else(String::new, |error| error.to_string());
        assert!(message.contains(wanted), "wanted `{wanted}` in `{message}` for {tail:?}");
    }
}

fn external(location: &str, length: &str) -> TensorProto {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![entry("location", location), entry("length", length)],
        float_data: vec![],
        ..weight("w", &[2, 2])
    }
}

#[test]
fn external_data_stays_inside_the_model_folder() {
    let folder = std::env::temp_dir().join(format!("millstream-external-{}", std::process::id()));
    let inside = folder.join("model");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("w.bin"), [0; 16]).unwrap();
    std::fs::write(folder.join("secret.bin"), [1; 16]).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.join("secret.bin"), inside.join("link.bin")).unwrap();
    let read = |location: &str, length: &str| {
        let mut model = whole();
        graph_of(&mut model).initializer[0] = external(location, length);
        let path: PathBuf = inside.join("model.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        Model::read(&path)
    };
    let scoring = read("w.bin", "16")
        .unwrap()
        .evaluated(None, PredictionKind::ClassScores, None, &OperatorCatalog::standard())
        .unwrap();
    let inside_now = ModelProto::decode(scoring.model.file().to_vec().as_slice()).unwrap().graph.unwrap().initializer;
    assert!(inside_now[0].external_data.is_empty() && inside_now[0].raw_data().len() == 16);
    let absolute = folder.join("secret.bin");
    let refused = ["../secret.bin", absolute.to_str().unwrap(), "link.bin", "", "sub/../../secret.bin", "."];
    for location in refused.iter().filter(|location| cfg!(unix) || **location != "link.bin") {
        let error = read(location, "16").unwrap_err();
        assert!(matches!(error, CompilerError::ExternalData { .. }), "{location}: {error}");
        assert!(error.to_string().contains("tensor `w`"), "{error}");
    }
    assert!(read("w.bin", "17").unwrap_err().to_string().contains("too short"));
    assert!(read("missing.bin", "16").unwrap_err().to_string().contains("cannot read"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// A model with a tensor in `w.bin`, and its 16 bytes, under these names.
#[cfg(unix)]
fn written_apart(file: &std::path::Path, data: &std::path::Path) {
    let mut model = whole();
    graph_of(&mut model).initializer[0] = external("w.bin", "16");
    for (place, bytes) in [(file, model.encode_to_vec()), (data, vec![0; 16])] {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_model_of_a_cache_of_links_has_its_external_data() {
    use std::os::unix::fs::symlink;
    let folder = std::env::temp_dir().join(format!("millstream-links-{}", std::process::id()));
    let at = |place: &str| folder.join(place);
    let linked = |target: &str, place: &str| {
        std::fs::create_dir_all(at(place).parent().unwrap()).unwrap();
        symlink(target, at(place)).unwrap();
    };
    // as Hugging Face's cache has it
    written_apart(&at("hub/blobs/aaa"), &at("hub/blobs/bbb"));
    linked("../../../blobs/aaa", "hub/snapshots/one/onnx/model.onnx");
    linked("../../../blobs/bbb", "hub/snapshots/one/onnx/w.bin");
    // links to links, from elsewhere
    linked("hub/snapshots/one/onnx/model.onnx", "m.onnx");
    symlink(at("m.onnx"), at("again.onnx")).unwrap();
    // the model itself beside a link to the cache's data
    linked("../../blobs/bbb", "hub/snapshots/two/w.bin");
    std::fs::copy(at("hub/blobs/aaa"), at("hub/snapshots/two/model.onnx")).unwrap();
    // a link to a model that lies beside its data, and one whose data lies beside the link
    written_apart(&at("real/model.onnx"), &at("real/w.bin"));
    linked("../real/model.onnx", "only_model/other.onnx");
    written_apart(&at("bare/model.onnx"), &at("beside/w.bin"));
    linked("../bare/model.onnx", "beside/model.onnx");
    for place in [
        "hub/snapshots/one/onnx/model.onnx",
        "m.onnx",
        "again.onnx",
        "hub/snapshots/two/model.onnx",
        "only_model/other.onnx",
        "beside/model.onnx",
    ] {
        let read = Model::read(&at(place));
        assert!(read.is_ok(), "{place}: {:?}", read.err().map(|error| error.to_string()));
    }
    // no cache, and no model where the link leads
    written_apart(&at("own/model.onnx"), &at("elsewhere/w.bin"));
    linked("../elsewhere/w.bin", "own/w.bin");
    // blobs of a cache that are a link out of it
    linked("../elsewhere", "fake/blobs");
    linked("../../blobs/w.bin", "fake/snapshots/one/w.bin");
    std::fs::copy(at("own/model.onnx"), at("fake/snapshots/one/model.onnx")).unwrap();
    for place in ["own/model.onnx", "fake/snapshots/one/model.onnx"] {
        let message = Model::read(&at(place)).unwrap_err().to_string();
        assert!(message.contains("outside the model's folder; put the file itself"), "{place}: {message}");
    }
    // links that lead to each other are an error, and no loop
    linked("b.onnx", "round/a.onnx");
    linked("a.onnx", "round/b.onnx");
    assert!(matches!(Model::read(&at("round/a.onnx")), Err(CompilerError::Read { .. })));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn tensors_that_share_a_region_of_a_file_are_held_and_written_once() {
    const SIDE: usize = 256;
    let folder = std::env::temp_dir().join(format!("millstream-shared-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let bytes = SIDE * SIDE * 4;
    std::fs::write(folder.join("w.bin"), vec![0; bytes]).unwrap();
    let shared = |name: String| TensorProto {
        name: Some(name),
        dims: vec![SIDE as i64; 2],
        ..external("w.bin", &bytes.to_string())
    };
    let many = 40;
    let mut nodes: Vec<NodeProto> = (0..many)
        .map(|at| node("MatMul", &[&format!("h{at}"), &format!("w{at}")], &[&format!("h{}", at + 1)]))
        .collect();
    nodes.push(node("Gemm", &[&format!("h{many}"), "head.weight"], &["y"]));
    let mut weights: Vec<TensorProto> = (0..many).map(|at| shared(format!("w{at}"))).collect();
    weights.push(weight("head.weight", &[SIDE, 3]));
    let inputs = vec![value("h0", &[SIDE as i64])];
    let path = folder.join("model.onnx");
    std::fs::write(&path, proto(graph(nodes, weights, inputs, vec![value("y", &[3])])).encode_to_vec()).unwrap();
    let model = Model::read(&path).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let tensors = model.file_graph().initializer.iter().take(many);
    let places: std::collections::HashSet<_> =
        tensors.map(|tensor| tensor.raw_data.as_ref().unwrap().as_ptr()).collect();
    assert_eq!(places.len(), 1);
    let program = compile(&model, &FineTuning::head(2, 5), &OperatorCatalog::standard()).unwrap();
    let exported = program.export(&program.parameters, &[]).unwrap();
    let scoring = model.evaluated(None, PredictionKind::ClassScores, None, &OperatorCatalog::standard()).unwrap().model;
    let [step, evaluation] = [program.step(), program.evaluation()].map(Result::unwrap);
    for written in [&step, &evaluation, &exported, scoring.file()] {
        assert!(written.length() < 2 * bytes, "{} bytes written for {bytes} read", written.length());
    }
    // trained, each is its own
    let all = FineTuning { train: millstream_schemas::recipe::TrainSelection::All, ..FineTuning::head(2, 5) };
    let program = compile(&model, &all, &OperatorCatalog::standard()).unwrap();
    assert!(program.export(&program.parameters, &[]).unwrap().length() > many * bytes);
}
