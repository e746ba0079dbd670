//! The types of a graph's values, as far as they are known while axes have names.

use std::collections::HashSet;

use crate::graph::{Graph, OperatorTypes, TensorType, ValueId};
use crate::operators::OperatorCatalog;
use crate::simplify;

/// States what the rules of a catalog tell of nodes, in order. Where they cannot, what was known before stays: nodes that do
/// not fit are refused when lengths are bound.
pub(crate) struct Inference<'a> {
    catalog: &'a OperatorCatalog,
    budget: usize,
}

impl<'a> Inference<'a> {
    pub(crate) fn new(catalog: &'a OperatorCatalog) -> Self {
        Self { catalog, budget: simplify::FOLDED_BYTES }
    }

    /// States the types of what the node `at` makes.
    pub(crate) fn state(&mut self, graph: &mut Graph, at: usize) {
        let outputs = graph.nodes()[at].outputs.clone();
        let types = graph.quietly(|graph| self.types(graph, at));
        for (output, stated) in outputs.iter().flatten().zip(types) {
            if stated.is_some() {
                graph.set_type(*output, stated);
            }
        }
        // What a fold rule refuses is refused when lengths are bound, too.
        let _ = simplify::fold(graph, at, self.catalog, &mut self.budget);
    }

    /// The types of the outputs that are given, where they are known.
    fn types(&self, graph: &Graph, at: usize) -> Vec<Option<TensorType>> {
        let node = &graph.nodes()[at];
        let types = match self.catalog.output_types(graph, node, node.outputs.len()) {
            Some(Ok(types)) => types,
            _ => Vec::new(),
        };
        let given = node.outputs.iter().enumerate().filter(|(_, output)| output.is_some());
        given.map(|(index, _)| types.get(index).cloned()).collect()
    }
}

/// States anew what all nodes make.
pub(crate) fn infer_all(graph: &mut Graph, catalog: &OperatorCatalog) {
    let mut inference = Inference::new(catalog);
    (0..graph.nodes().len()).for_each(|at| inference.state(graph, at));
}

/// States anew what depends on values whose types have changed. Where the rules cannot tell, `stated` says what is made.
pub(crate) fn infer_behind(
    graph: &mut Graph,
    changed: impl IntoIterator<Item = ValueId>,
    catalog: &OperatorCatalog,
    stated: &dyn Fn(ValueId) -> Option<TensorType>,
) {
    let mut changed: HashSet<ValueId> = changed.into_iter().collect();
    let mut inference = Inference::new(catalog);
    for at in 0..graph.nodes().len() {
        let node = &graph.nodes()[at];
        if !node.inputs.iter().flatten().any(|input| changed.contains(input)) {
            continue;
        }
        let outputs: Vec<ValueId> = node.outputs.iter().flatten().copied().collect();
        let types = graph.quietly(|graph| inference.types(graph, at));
        for (output, found) in outputs.iter().zip(types) {
            let found = found.or_else(|| stated(*output));
            if graph.tensor_type(*output) != found.as_ref() || graph.integers_of(*output).is_some() {
                graph.set_type(*output, found);
                changed.insert(*output);
            }
        }
        let _ = simplify::fold(graph, at, catalog, &mut inference.budget);
    }
}
