use std::collections::{HashMap, HashSet};

use super::module_path::{is_generated, of_weight, without_numbers};
use super::parameters::may_be_merged;
use super::ties::tie;
use crate::graph::{Attribute, ElementType, Graph, Node, ValueId};

/// Brings the ways in which exporters store weights to one: constants read directly by the nodes that use them.
///
/// `Constant` nodes with float tensors become constants, and what reads a weight through `Identity` reads the
/// weight; a bias or scale with a name of its own becomes one of its own, and a matrix that is stored several times for one
/// module becomes one. What the model computes stays the same. Returns what was tied so, each with what stands for it.
pub(crate) fn normalize(graph: &mut Graph) -> Vec<(String, String)> {
    let outputs: HashSet<ValueId> = graph.outputs().iter().copied().collect();
    // a node that serves the graph's output stays
    let inner = |node: &Node, operator: &str| {
        node.outputs.first().copied().flatten().filter(|made| node.is(operator) && !outputs.contains(made))
    };
    let mut weights = HashMap::new();
    for node in graph.nodes() {
        if let (Some(made), Some(Attribute::Tensor(tensor))) = (inner(node, "Constant"), node.attributes.get("value"))
            && tensor.dtype == ElementType::F32
            && !tensor.shape.is_empty()
        {
            weights.insert(made, tensor.clone());
        }
    }
    graph.retain_nodes(|node| !node.outputs.iter().flatten().any(|made| weights.contains_key(made)));
    for (value, weight) in weights {
        graph.set_constant(value, weight);
    }

    let mut source_of: HashMap<ValueId, ValueId> = graph.constants().into_iter().map(|value| (value, value)).collect();
    let mut aliases = HashSet::new();
    for node in graph.nodes() {
        let source = node.input(0).and_then(|input| source_of.get(&input).copied());
        if let (Some(made), Some(source)) = (inner(node, "Identity"), source) {
            source_of.insert(made, source);
            aliases.insert(made);
        }
    }
    graph.retain_nodes(|node| !node.outputs.iter().flatten().any(|made| aliases.contains(made)));
    let read: HashSet<ValueId> = graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten().copied()).collect();
    let mut handed_on = HashMap::new();
    for alias in aliases.into_iter().filter(|alias| read.contains(alias)) {
        let source = source_of[&alias];
        let are_siblings = are_siblings(graph.name(source), graph.name(alias));
        match graph.float_constant(source).filter(|constant| are_siblings || may_be_merged(constant)).cloned() {
            // an exporter's note that two parameters began alike: it has the name of the second
            Some(constant) if !is_generated(graph.name(alias)) && !graph.are_stored_apart(alias, source) => {
                graph.set_constant(alias, constant);
                let origin = graph.origin(alias).or(graph.origin(source));
                graph.set_origin(alias, origin);
            }
            _ => {
                handed_on.insert(alias, source);
            }
        }
    }
    graph.replace_all_reads(&handed_on);
    tie(graph)
}

/// Whether these are names of the same weight of two modules that differ by their numbers alone: `layers.0.linear.weight`. What has
/// names that differ by more is one tensor by design.
fn are_siblings(first: &str, second: &str) -> bool {
    let are_weights = of_weight(first).is_some() && of_weight(second).is_some();
    are_weights && first != second && without_numbers(first) == without_numbers(second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{constant_node, graph, node, read, reads, value, weight};

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
        let mut graph = read(graph(nodes, vec![weight("b", &[2])], vec![value("x", &[2])], outputs));
        normalize(&mut graph);
        let operators: Vec<&str> = graph.nodes().iter().map(|node| node.operator.as_str()).collect();
        assert_eq!(operators, ["Identity", "Gemm", "Identity"], "the graph's own output keeps its node");
        assert_eq!(reads(&graph), ["x", "x_copy w b_second", "b"]);
        let constants = graph.constants().into_iter().map(|value| graph.name(value));
        assert_eq!(constants.collect::<Vec<_>>(), ["b", "w", "b_second"]);
    }

    #[test]
    fn a_weight_that_an_exporter_gives_a_sibling_by_identity_is_untied() {
        // what the second layer's weight is called, and whether it is one of its own
        for (second, is_own) in [("blocks.1.attn.v.weight", true), ("head.weight", false), ("onnx::MatMul_9", false)] {
            let nodes = vec![
                node("Identity", &["blocks.0.attn.v.weight"], &[second]),
                node("Transpose", &["blocks.0.attn.v.weight"], &["first"]),
                node("MatMul", &["x", "first"], &["h"]),
                node("Transpose", &[second], &["turned"]),
                node("MatMul", &["h", "turned"], &["y"]),
            ];
            let weights = vec![weight("blocks.0.attn.v.weight", &[2, 2])];
            let mut graph = read(graph(nodes, weights, vec![value("x", &[2])], vec![value("y", &[2])]));
            normalize(&mut graph);
            assert_eq!(graph.constants().len(), if is_own { 2 } else { 1 }, "{second}");
        }
    }
}
