//! Normalizations of files that were exported for training.

use std::collections::HashSet;

use super::views::VIEWS;
use crate::graph::{Graph, Node, ValueId};

/// Whether a BatchNormalization standardizes a weight, as networks without normalization of their activations write it: what it
/// reads is a constant, perhaps in another form.
pub(crate) fn standardizes_weight(graph: &Graph, node: &Node) -> bool {
    let mut read = node.input(0);
    loop {
        let Some(value) = read else { return false };
        if graph.constant_of(value).is_some() {
            return true;
        }
        let view =
            graph.producer(value).filter(|view| view.domain.is_empty() && VIEWS.contains(&view.operator.as_str()));
        read = view.and_then(|view| view.input(0));
    }
}

/// Lets each BatchNormalization that a file has in training mode take the running statistics, as in inference, where nothing reads the new
/// ones that it makes; returns how many. What training does about them is for the recipe to say. Where a weight is standardized and no node
/// computes its statistics, the mode is part of the formula, and stays.
pub(crate) fn leave(graph: &mut Graph) -> u64 {
    let nodes = graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten());
    let read: HashSet<ValueId> = nodes.chain(graph.outputs()).copied().collect();
    let of_weights: HashSet<usize> = {
        let nodes = graph.nodes().iter().enumerate();
        let are_given =
            |node: &Node| [3, 4].iter().all(|at| node.input(*at).is_none_or(|id| graph.constant_of(id).is_some()));
        let is_own = |node: &Node| node.is("BatchNormalization") && are_given(node) && standardizes_weight(graph, node);
        let all = nodes.filter(|(_, node)| is_own(node));
        all.map(|(at, _)| at).collect()
    };
    let mut left = 0;
    for (at, mut node) in graph.take_nodes().into_iter().enumerate() {
        let by_batch = node.is("BatchNormalization") && node.normalizes_by_batch() && !of_weights.contains(&at);
        if by_batch && node.outputs.iter().skip(1).flatten().all(|made| !read.contains(made)) {
            node.attributes.remove("training_mode");
            node.outputs.truncate(1);
            left += 1;
        }
        graph.push_node(node);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, untyped, value, weight, with};

    fn left(outputs: &[&str], training_mode: Option<i64>) -> (u64, usize, i64) {
        let normalization = node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y", "mean", "variance"]);
        let nodes = vec![match training_mode {
            Some(mode) => with(normalization, "training_mode", &[mode]),
            None => normalization,
        }];
        let weights = ["s", "b", "m", "v"].map(|name| weight(name, &[2])).to_vec();
        let outputs = outputs.iter().map(|name| untyped(name)).collect();
        let mut graph = read(graph(nodes, weights, vec![value("x", &[2])], outputs));
        let left = leave(&mut graph);
        let node = &graph.nodes()[0];
        (left, node.outputs.len(), node.int("training_mode").unwrap_or(0))
    }

    #[test]
    fn a_file_exported_in_training_mode_has_normalizations_as_any_other() {
        assert_eq!(left(&["y"], Some(1)), (1, 1, 0));
        assert_eq!(left(&["y"], None), (1, 1, 0), "as opsets below 14 have it");
        assert_eq!(left(&["y", "mean"], Some(1)), (0, 3, 1), "new statistics that are read stay");
    }
}
