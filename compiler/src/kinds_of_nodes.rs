//! One node of each kind of a graph: which kernels a runtime has does not depend on how often a kind stands in it.

use std::collections::HashSet;
use std::fmt::Write;

use crate::graph::{Attribute, Constant, Graph, Node, ValueId};

/// Constants of so many bytes are told apart by what they hold: lengths and axes, which shapes follow from.
const MOST_TOLD_APART: usize = 64;

impl Graph {
    /// The first node of each kind that the outputs need, each with what it makes as outputs; what they read is given to them. Two are of
    /// one kind whose operators, attributes and types are the same. Nothing where the type of something that is read is not known.
    pub(crate) fn one_of_each_kind(&self) -> Option<Self> {
        let mut kinds = HashSet::new();
        let live = self.live_nodes();
        let first_ones: Vec<&Node> = live.into_iter().filter(|node| kinds.insert(self.kind(node))).collect();
        let made = first_ones.iter().flat_map(|node| node.outputs.iter().flatten().copied());
        let made: Vec<ValueId> = made.filter(|value| self.constant_of(*value).is_none()).collect();
        let is_made: HashSet<ValueId> = made.iter().copied().collect();
        let mut seen = HashSet::new();
        let read = first_ones.iter().flat_map(|node| node.inputs.iter().flatten().copied());
        let given: Vec<ValueId> = read
            .filter(|value| !is_made.contains(value) && self.constant_of(*value).is_none() && seen.insert(*value))
            .collect();
        if given.iter().any(|value| self.tensor_type(*value).is_none()) {
            return None;
        }
        let mut graph = self.clone();
        graph.retain_nodes(|node| node.outputs.iter().flatten().any(|output| is_made.contains(output)));
        let inputs = graph.inputs().to_vec();
        graph.give_instead(&inputs, &given);
        graph.set_outputs(&made);
        Some(graph)
    }

    fn kind(&self, node: &Node) -> String {
        let mut kind = format!("{} {}", node.domain, node.operator);
        for (name, attribute) in &node.attributes {
            let told = match attribute {
                Attribute::Tensor(constant) => told(constant),
                // one with a graph in it is a kind of its own
                Attribute::Body(_) => format!("{:?}", node.outputs),
                other => format!("{other:?}"),
            };
            let _ = write!(kind, " {name}={told}");
        }
        for value in node.inputs.iter().chain(&node.outputs) {
            let known = value.and_then(|value| self.tensor_type(value)).map(ToString::to_string);
            let constant = value.and_then(|value| self.constant_of(value)).map(told);
            let _ = write!(kind, " {}:{known:?}:{constant:?}", value.is_some());
        }
        kind
    }
}

fn told(constant: &Constant) -> String {
    let bytes = &constant.bytes;
    let held = (bytes.len() <= MOST_TOLD_APART && !constant.dtype.is_float()).then(|| bytes.as_ref());
    format!("{} {:?} {held:?}", constant.dtype.name(), constant.shape)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    fn operators(graph: &Graph) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        for node in graph.live_nodes() {
            *counts.entry(node.operator.as_str()).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn equal_layers_are_one_kind_and_what_differs_in_a_length_or_a_type_is_another() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let mut value = graph.input("x", TensorType::f32([2, 12]));
        for layer in 0..50 {
            let weight = graph.constant(&format!("w{layer}"), Constant::f32([12, 12], &[layer as f32; 144]));
            value = graph.add("MatMul", &[value, weight], &[]).unwrap();
            value = graph.add("Relu", &[value], &[]).unwrap();
            // three shapes
            let wide = graph.reshape(value, &[2, 3 + layer % 2, 12 / (3 + layer % 2)]).unwrap();
            value = graph.reshape(wide, &[2, 12]).unwrap();
        }
        let indices = graph.add("ArgMax", &[value], &[]).unwrap();
        graph.set_outputs(&[value, indices]);
        let kinds = graph.one_of_each_kind().unwrap();
        assert_eq!(operators(&kinds), HashMap::from([("MatMul", 1), ("Relu", 1), ("Reshape", 4), ("ArgMax", 1)]));
        assert_eq!(kinds.outputs().len(), 7);
        assert_eq!(operators(&graph).values().sum::<usize>(), 201, "the graph itself stays");
    }
}
