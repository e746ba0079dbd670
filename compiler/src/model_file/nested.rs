//! All of a model that its graph holds in its nodes, and what its functions hold.

use super::onnx::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Every dense tensor of a model. The decoder bounds how deep graphs lie in each other.
pub(super) fn tensors(model: &mut ModelProto) -> Vec<&mut TensorProto> {
    let mut found = Vec::new();
    if let Some(graph) = &mut model.graph {
        of_graph(graph, &mut found);
    }
    for function in &mut model.functions {
        let defaults = function.attribute_proto.iter_mut();
        found.extend(defaults.flat_map(|attribute| attribute.t.iter_mut().chain(&mut attribute.tensors)));
        of_nodes(&mut function.node, &mut found);
    }
    found
}

fn of_graph<'a>(graph: &'a mut GraphProto, found: &mut Vec<&'a mut TensorProto>) {
    found.extend(&mut graph.initializer);
    of_nodes(&mut graph.node, found);
}

fn of_nodes<'a>(nodes: &'a mut [NodeProto], found: &mut Vec<&'a mut TensorProto>) {
    for attribute in nodes.iter_mut().flat_map(|node| &mut node.attribute) {
        found.extend(attribute.t.iter_mut().chain(&mut attribute.tensors));
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            of_graph(graph, found);
        }
    }
}
