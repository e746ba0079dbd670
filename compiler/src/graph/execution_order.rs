//! The order of nodes in a file, by which ONNX Runtime decides when it runs them.
//!
//! It walks back from the nodes that no node reads, beginning with the last one in the file, and runs what they need depth
//! first (`Graph::ReverseDFSFrom` in `onnxruntime/core/graph/graph.cc`). If the gradient of the first layer's weight stands
//! last, as it does where nodes are listed as they are made, the whole way back is run before any other layer's: each layer's
//! activations and their gradients are held until the end.

use std::collections::{HashMap, HashSet};

use super::{Graph, Length, Node, ValueId};

/// Nodes as they are to be listed, so that they are run in the order in which they are given: those that no node reads come
/// last, in the opposite order.
pub(super) fn listed(nodes: Vec<&Node>) -> Vec<&Node> {
    let read: HashSet<ValueId> = nodes.iter().flat_map(|node| node.inputs.iter().flatten().copied()).collect();
    let is_read = |node: &&Node| node.outputs.iter().flatten().any(|output| read.contains(output));
    let (mut listed, last): (Vec<&Node>, Vec<&Node>) = nodes.into_iter().partition(is_read);
    listed.extend(last.into_iter().rev());
    listed
}

impl Graph {
    /// Lets a reshape of what was just reshaped read what lies before both. The runtime would join them too, but as new nodes,
    /// which it then runs in another order.
    pub(crate) fn join_reshapes(&mut self) {
        let mut before: HashMap<ValueId, ValueId> = HashMap::new();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let (Some(read), Some(made)) = (node.input(0), node.outputs.first().copied().flatten()) else { continue };
            if node.operator != "Reshape" || !node.domain.is_empty() {
                continue;
            }
            // a 0 stands for a length of what is read, and an expression of names may be 0
            let is_plain =
                |length: &Length| length.as_number().map_or_else(|| length.name().is_some(), |number| number != 0);
            let lengths = node.input(1).and_then(|lengths| self.lengths_of(lengths));
            let is_free = lengths.is_some_and(|lengths| lengths.iter().all(is_plain));
            let first = before.get(&read).copied().filter(|_| is_free).unwrap_or(read);
            self.nodes[at].inputs[0] = Some(first);
            before.insert(made, first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    #[test]
    fn what_nothing_reads_is_listed_last_and_the_latest_of_it_first() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 6]));
        let a = graph.add("Relu", &[x], &[]).unwrap();
        let first = graph.add("Exp", &[a], &[]).unwrap();
        let b = graph.add("Tanh", &[a], &[]).unwrap();
        let second = graph.add("Neg", &[b], &[]).unwrap();
        graph.set_outputs(&[first, second]);
        let order: Vec<&str> =
            listed(graph.nodes().iter().collect()).into_iter().map(|node| node.operator.as_str()).collect();
        assert_eq!(order, ["Relu", "Tanh", "Neg", "Exp"]);
    }

    #[test]
    fn reshapes_of_reshapes_read_what_lies_before_unless_they_copy_a_length() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 6]));
        let mut reshaped = |value: ValueId, lengths: &[i64]| {
            let lengths = graph.integers(lengths);
            graph.add("Reshape", &[value, lengths], &[]).unwrap()
        };
        let a = reshaped(x, &[3, 4]);
        let b = reshaped(a, &[4, -1]);
        let c = reshaped(b, &[0, 3]);
        let d = reshaped(c, &[12]);
        graph.set_outputs(&[d]);
        graph.join_reshapes();
        let read: Vec<ValueId> = graph.nodes().iter().filter_map(|node| node.input(0)).collect();
        assert_eq!(read, [x, x, b, b]);
    }
}
