//! Operators on texts, files and sequences: what they make is left aside or refused with the reason.

use millstream_compiler::operators::Gradient;
use millstream_compiler::{Model, OperatorCatalog, compile};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto};
use crate::onnx_file::{Value, node, rows, weight};
use crate::{compiled, everything, ints, network};

/// ONNX's numbers of element types.
const TEXT: i32 = 8;
const BYTES: i32 = 2;

/// x → dense → scores, with more inputs, nodes and outputs beside.
fn beside(inputs: &[(&str, i32)], nodes: Vec<NodeProto>, outputs: &[(&str, i32)]) -> ModelProto {
    let dense = node("MatMul", "x a.weight", "z");
    let mut file = network(20, &[4], [vec![dense], nodes].concat(), vec![weight("a.weight", &[4, 8])]);
    let graph = file.graph.as_mut().unwrap();
    graph.input.extend(inputs.iter().map(|(name, kind)| rows(name, *kind, &[])));
    graph.output.extend(outputs.iter().map(|(name, kind)| rows(name, *kind, &[])));
    file
}

#[test]
fn what_is_made_of_texts_is_left_aside() {
    let nodes = vec![
        node("StringNormalizer", "name", "lower").with("case_change_action", Value::Text("LOWER")),
        node("StringConcat", "lower name", "twice"),
        node("StringSplit", "twice", "parts count").with("delimiter", Value::Text(" ")),
        node("RegexFullMatch", "lower", "fits").with("pattern", Value::Text("a.*")),
    ];
    let file = beside(&[("name", TEXT)], nodes, &[("twice", TEXT), ("fits", 9)]);
    let program = compiled(&file.encode_to_vec());
    assert_eq!(program.trained, 4 * 8 + 45);
    let left = "of strings, maps or sequences, and";
    let wanted = [
        format!("input `name` is {left} is left aside; the exported model goes without"),
        format!("outputs `twice`, `fits` are {left} are left aside; the exported model goes without"),
    ];
    assert_eq!(program.notes, wanted);
}

#[test]
fn a_decoded_file_and_a_graph_for_each_tensor_are_refused_with_the_reason() {
    let decoder = vec![
        node("ImageDecoder", "file", "pixels").with("pixel_format", Value::Text("RGB")),
        node("Cast", "pixels", "floats").with("to", Value::Int(1)),
        node("ReduceMean", "floats", "light").with("keepdims", Value::Int(0)),
        node("Add", "y light", "bright"),
    ];
    let parts = vec![
        node("SplitToSequence", "x", "parts").with("axis", Value::Int(1)),
        node("SequenceMap", "parts", "others").with("body", ints(&[1])),
        node("ConcatFromSequence", "others", "bright").with("axis", Value::Int(1)),
    ];
    let files = [
        (beside(&[("file", BYTES)], decoder, &[]), "the bytes of a file say how large its image is"),
        (beside(&[], parts, &[]), "which reads a sequence"),
    ];
    for (mut file, wanted) in files {
        let graph = file.graph.as_mut().unwrap();
        // the decoder reads the scores, which the network makes last
        let head = graph.node.iter().position(|node| node.output[0] == "y").unwrap();
        let head = graph.node.remove(head);
        graph.node.insert(1, head);
        graph.output = vec![rows("bright", 1, &[5])];
        let model = Model::from_bytes(file.encode_to_vec()).unwrap();
        let error = compile(&model, &everything(), &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(wanted), "wanted `{wanted}` in `{error}`");
    }
}

#[test]
fn no_row_leaves_open_whether_there_is_a_gradient() {
    for row in OperatorCatalog::standard().rows() {
        assert!(!matches!(row.gradient, Gradient::Missing), "{} has neither a gradient nor a reason", row.name);
    }
}
