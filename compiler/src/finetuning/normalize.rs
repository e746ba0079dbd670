use std::collections::{HashMap, HashSet};

use crate::model_file::onnx::{GraphProto, NodeProto, TensorProto};

/// Brings the ways in which exporters store weights to one: initializers read directly by the nodes that use them.
///
/// `Constant` nodes with float tensors become initializers, and what reads a weight through `Identity` reads the
/// weight. What the model computes stays the same.
pub(crate) fn normalize(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    // a node that serves the graph's output stays
    let inner = |node: &NodeProto, operator: &str| {
        let standard = matches!(node.domain(), "" | "ai.onnx") && node.op_type() == operator;
        node.output.first().filter(|name| standard && !name.is_empty() && !outputs.contains(*name)).cloned()
    };
    let mut moved: Vec<TensorProto> = Vec::new();
    graph.node.retain(|node| {
        let value = node.attribute.iter().find(|attribute| attribute.name() == "value");
        let weight = value
            .and_then(|value| value.t.as_ref())
            .filter(|tensor| tensor.data_type() == 1 && !tensor.dims.is_empty());
        let (Some(name), Some(tensor)) = (inner(node, "Constant"), weight) else { return true };
        moved.push(TensorProto { name: Some(name), ..tensor.clone() });
        false
    });
    graph.initializer.extend(moved);

    let mut alias: HashMap<String, String> =
        graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.name().to_owned())).collect();
    graph.node.retain(|node| {
        let source = node.input.first().and_then(|input| alias.get(input)).cloned();
        let (Some(name), Some(source)) = (inner(node, "Identity"), source) else { return true };
        alias.insert(name, source);
        false
    });
    for input in graph.node.iter_mut().flat_map(|node| node.input.iter_mut()) {
        if let Some(source) = alias.get(input) {
            input.clone_from(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{constant_node, graph, node, value, weight};

    #[test]
    fn weights_in_constant_nodes_and_behind_identities_are_read_directly() {
        let nodes = vec![
            constant_node("w", &[2, 2]),
            node("Identity", &["b"], &["b_copy"]),
            node("Identity", &["b_copy"], &["b_second"]),
            node("Identity", &["x"], &["x_copy"]),
            node("Gemm", &["x_copy", "w", "b_second"], &["y"]),
            node("Identity", &["b"], &["shown"]),
        ];
        let outputs = vec![value("y", &[2]), value("shown", &[])];
        let mut graph = graph(nodes, vec![weight("b", &[2])], vec![value("x", &[2])], outputs);
        normalize(&mut graph);
        let nodes: Vec<(&str, Vec<&str>)> =
            graph.node.iter().map(|node| (node.op_type(), node.input.iter().map(String::as_str).collect())).collect();
        let wanted = [("Identity", vec!["x"]), ("Gemm", vec!["x_copy", "w", "b"]), ("Identity", vec!["b"])];
        assert_eq!(nodes, wanted, "the graph's own output keeps its node");
        assert_eq!(graph.initializer.iter().map(|tensor| tensor.name()).collect::<Vec<_>>(), ["b", "w"]);
    }
}
