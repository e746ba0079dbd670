use std::collections::HashMap;

use crate::model_file::onnx::{GraphProto, TensorProto};

/// Brings the ways in which exporters store weights to one: initializers read directly by the nodes that use them.
///
/// `Constant` nodes with float tensors become initializers, and what reads a weight through `Identity` reads the
/// weight. What the model computes stays the same.
pub(crate) fn normalize(graph: &mut GraphProto) {
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    let mut moved: Vec<TensorProto> = Vec::new();
    graph.node.retain(|node| {
        let tensor =
            node.attribute.iter().find(|attribute| attribute.name() == "value").and_then(|value| value.t.as_ref());
        let Some(tensor) = tensor.filter(|tensor| {
            node.op_type() == "Constant"
                && tensor.data_type() == 1
                && !tensor.dims.is_empty()
                && !outputs.contains(&node.output[0])
        }) else {
            return true;
        };
        moved.push(TensorProto { name: Some(node.output[0].clone()), ..tensor.clone() });
        false
    });
    graph.initializer.extend(moved);

    let mut alias: HashMap<String, String> =
        graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.name().to_owned())).collect();
    graph.node.retain(|node| {
        let source = node.input.first().and_then(|input| alias.get(input)).cloned();
        match source {
            Some(source) if node.op_type() == "Identity" && !outputs.contains(&node.output[0]) => {
                alias.insert(node.output[0].clone(), source);
                false
            }
            _ => true,
        }
    });
    for input in graph.node.iter_mut().flat_map(|node| node.input.iter_mut()) {
        if let Some(source) = alias.get(input) {
            input.clone_from(source);
        }
    }
}
