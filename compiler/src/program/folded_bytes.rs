use std::collections::HashSet;

use crate::graph::{Graph, ValueId};

/// Bytes of what nodes make of constants alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedBytes {
    /// Of the constants that nothing else reads, which are gone afterwards.
    pub read: u64,
    /// Of all of it, which is there together while the graph is opened.
    pub made: u64,
    /// Of what other nodes read, which is kept.
    pub kept: u64,
}

impl FoldedBytes {
    /// Of a graph in which known constants are given.
    pub(super) fn of(graph: &Graph) -> Self {
        let bytes = |value: ValueId| {
            let known = graph.tensor_type(value).filter(|known| known.fits_a_machine());
            let elements = known.and_then(|known| known.elements().fixed()).unwrap_or(0);
            (elements * known.map_or(0, |known| known.dtype.bytes())) as u64
        };
        let (mut folded, mut kept, mut total) = (HashSet::new(), HashSet::new(), Self::default());
        let (mut sources, mut others) = (HashSet::new(), HashSet::new());
        for node in graph.live_nodes() {
            let is_given = |value: &ValueId| graph.constant_of(*value).is_some() || folded.contains(value);
            let mut read = node.inputs.iter().flatten();
            if node.bodies().next().is_none() && read.clone().next().is_some() && read.all(is_given) {
                let made = node.outputs.iter().flatten().copied().filter(|value| folded.insert(*value));
                total.made = made.map(bytes).fold(total.made, u64::saturating_add);
                sources.extend(node.inputs.iter().flatten().copied());
                continue;
            }
            others.extend(node.inputs.iter().flatten().copied());
            let read = node.inputs.iter().flatten().copied().filter(|value| folded.contains(value));
            total.kept = read.filter(|value| kept.insert(*value)).map(bytes).fold(total.kept, u64::saturating_add);
        }
        let gone = sources.difference(&others).filter_map(|value| graph.constant_of(*value));
        total.read = gone.map(|constant| constant.bytes.len() as u64).fold(0, u64::saturating_add);
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, TensorType};
    use crate::operators::OperatorCatalog;

    #[test]
    fn what_is_made_of_constants_alone_is_counted_and_what_other_nodes_read_of_it_is_kept() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 8]));
        let weight = graph.constant("weight", Constant::f32([8, 8], &[1.0; 64]));
        let half = graph.scalar(0.5);
        let halved = graph.times(weight, half).unwrap();
        let standardized = graph.plus(halved, half).unwrap();
        let y = graph.add("MatMul", &[x, standardized], &[]).unwrap();
        let again = graph.add("MatMul", &[y, standardized], &[]).unwrap();
        graph.set_outputs(&[again]);
        assert_eq!(FoldedBytes::of(&graph), FoldedBytes { read: 64 * 4 + 4, made: 2 * 64 * 4, kept: 64 * 4 });
    }
}
