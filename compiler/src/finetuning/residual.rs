//! Residual branches of a graph: additions that join a value with what layers make of it.

use std::collections::{HashMap, HashSet};

use super::nodes::producers;
use crate::graph::{Graph, Length, Node, ValueId};

/// An addition of a value and what layers make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// The value that it starts from, which the addition reads too.
    pub(crate) start: ValueId,
    /// What it ends with.
    pub(crate) end: ValueId,
    /// Whether its first axis is known to be another than that of the rows.
    pub(crate) is_across_rows: bool,
}

/// Those that lead to a value, in the order of the graph. One within which others lie, as a skip over many layers, is none; nor
/// is one without a product, as x + 0.04·x³ in an activation.
pub(crate) fn branches(graph: &Graph, value: ValueId) -> Vec<Branch> {
    let made = producers(graph);
    let leading = leading(graph, value);
    let of_rows: HashSet<&Length> = graph.inputs().iter().filter_map(|input| first_axis(graph, *input)).collect();
    let mut found: Vec<(usize, HashSet<usize>, Branch)> = Vec::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        let [Some(a), Some(b)] = node.inputs[..] else { continue };
        let is_constant = |value: &ValueId| graph.constant_of(*value).is_some();
        let is_sum = (node.is("Add") || node.is("Sum")) && a != b;
        if !is_sum || [a, b].iter().any(is_constant) || !leading.contains(&at) {
            continue;
        }
        let mut ways = [(a, b), (b, a)].into_iter().map(|(start, end)| (start, end, between(graph, &made, start, end)));
        let Some((start, end, nodes)) = ways.find(|(.., nodes)| !nodes.is_empty()) else { continue };
        if nodes.iter().any(|inner| multiplies(&graph.nodes()[*inner])) {
            let is_across_rows = first_axis(graph, end).is_some_and(|axis| !of_rows.contains(axis));
            found.push((at, nodes, Branch { start, end, is_across_rows }));
        }
    }
    let sums: HashSet<usize> = found.iter().map(|(at, ..)| *at).collect();
    found.retain(|(_, nodes, _)| nodes.is_disjoint(&sums));
    found.into_iter().map(|(.., branch)| branch).collect()
}

/// Whether some additions are a part of a node that ONNX Runtime's optimizer made of them and what follows.
pub(crate) fn has_fused_sums(graph: &Graph) -> bool {
    let fused = ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "FusedConv"];
    graph.nodes().iter().any(|node| !node.domain.is_empty() && fused.contains(&node.operator.as_str()))
}

fn first_axis(graph: &Graph, value: ValueId) -> Option<&Length> {
    graph.tensor_type(value)?.shape.first()
}

/// The places of the nodes that a value is made of.
pub(crate) fn leading(graph: &Graph, value: ValueId) -> HashSet<usize> {
    let (mut needed, mut found) = (HashSet::from([value]), HashSet::new());
    for (at, node) in graph.nodes().iter().enumerate().rev() {
        if node.outputs.iter().flatten().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().flatten());
            found.insert(at);
        }
    }
    found
}

/// The places of the nodes on all ways from one value to another; none where no way leads there.
fn between(graph: &Graph, made: &HashMap<ValueId, usize>, start: ValueId, end: ValueId) -> HashSet<usize> {
    // nodes stand in order: what depends on a value stands behind the node that makes it
    let first = made.get(&start).map_or(0, |at| at + 1);
    let (mut behind, mut open, mut seen) = (Vec::new(), vec![end], HashSet::from([end]));
    while let Some(value) = open.pop() {
        let Some(at) = made.get(&value).copied().filter(|at| *at >= first) else { continue };
        behind.push(at);
        open.extend(graph.nodes()[at].inputs.iter().flatten().copied().filter(|input| seen.insert(*input)));
    }
    behind.sort_unstable();
    behind.dedup();
    let (mut reached, mut nodes) = (HashSet::from([start]), HashSet::new());
    for at in behind {
        let node = &graph.nodes()[at];
        if node.inputs.iter().flatten().any(|input| reached.contains(input)) {
            reached.extend(node.outputs.iter().flatten());
            nodes.insert(at);
        }
    }
    if reached.contains(&end) { nodes } else { HashSet::new() }
}

/// Whether a node is a convolution or a product of matrices, whatever they are stored as.
fn multiplies(node: &Node) -> bool {
    ["Conv", "Gemm", "MatMul"].iter().any(|product| node.operator.contains(product))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, value, weight};
    use crate::model_file::onnx::NodeProto;

    /// Names of the ends of the branches that lead to `y`.
    fn found(nodes: Vec<NodeProto>) -> Vec<String> {
        let weights = vec![weight("w", &[4, 4]), weight("c", &[4])];
        let graph = read(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[4])]));
        let y = graph.find("y").unwrap();
        branches(&graph, y).iter().map(|branch| graph.name(branch.end).to_owned()).collect()
    }

    fn product(x: &str, y: &str) -> NodeProto {
        node("MatMul", &[x, "w"], &[y])
    }

    #[test]
    fn a_branch_is_what_layers_make_of_the_value_that_it_is_added_to() {
        let add = |a: &str, b: &str, y: &str| node("Add", &[a, b], &[y]);
        let rows: Vec<(&str, Vec<NodeProto>, Vec<&str>)> = vec![
            ("one", vec![product("x", "f"), add("x", "f", "y")], vec!["f"]),
            ("turned", vec![product("x", "f"), node("Sum", &["f", "x"], &["y"])], vec!["f"]),
            (
                "two in a row",
                vec![
                    product("x", "f"),
                    add("f", "x", "a"),
                    node("Relu", &["a"], &["r"]),
                    product("r", "g"),
                    add("r", "g", "y"),
                ],
                vec!["f", "g"],
            ),
            (
                "a skip over others",
                vec![product("x", "f"), add("f", "x", "a"), product("a", "g"), add("g", "a", "b"), add("x", "b", "y")],
                vec!["f", "g"],
            ),
            ("a bias", vec![product("x", "f"), add("f", "c", "y")], vec![]),
            ("no layer", vec![node("Mul", &["x", "x"], &["f"]), add("x", "f", "y")], vec![]),
            ("a projection", vec![product("x", "f"), product("x", "g"), add("f", "g", "y")], vec![]),
            ("doubled", vec![product("x", "f"), add("f", "f", "y")], vec![]),
            ("beside", vec![product("x", "f"), add("x", "f", "a"), node("Relu", &["x"], &["y"])], vec![]),
        ];
        for (what, nodes, wanted) in rows {
            assert_eq!(found(nodes), wanted, "{what}");
        }
    }
}
