use prost::Message;

use crate::model_file::onnx::{GraphProto, ModelProto};

/// Whether a model pads in front of a `MaxPool`. ONNX Runtime's `Pad_Fusion` makes that the pool's own padding, which counts as
/// nothing in a maximum where the zeros of the node count as zeros: sessions of such a model are to be opened without it.
///
/// Bytes that are no model have none.
pub fn pads_in_front_of_pools(model: &[u8]) -> bool {
    ModelProto::decode(model).is_ok_and(|model| model.graph.is_some_and(|graph| in_graph(&graph)))
}

fn in_graph(graph: &GraphProto) -> bool {
    let padded: Vec<&str> = graph
        .node
        .iter()
        .filter(|node| node.op_type() == "Pad")
        .filter_map(|node| node.output.first().map(String::as_str))
        .collect();
    let is_padded = |name: &String| padded.contains(&name.as_str());
    let pools = |operator: &str| operator == "MaxPool";
    let found = graph.node.iter().any(|node| pools(node.op_type()) && node.input.first().is_some_and(is_padded));
    let nested = || graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_ref());
    found || nested().any(in_graph)
}
