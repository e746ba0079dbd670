use std::collections::{BTreeMap, HashMap};

use millstream_schemas::AxisLength;

use crate::Model;
use crate::binding::{Bindings, bind};
use crate::graph::{Graph, TensorType, ValueId};
use crate::operators::OperatorCatalog;

/// What a model holds while it answers a batch, as far as that can be told before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferenceMemory {
    /// Bytes of computed values at the fullest moment.
    pub activations: u64,
    /// Bytes of its constants.
    pub weights: u64,
    /// Nodes of its graph.
    pub nodes: usize,
}

impl Model {
    /// What it holds for a batch whose inputs have these shapes; `lengths` are those of axes that have names in them. Nothing where its
    /// shapes do not follow from those of its inputs.
    pub fn inference_memory(
        &self,
        inputs: &BTreeMap<String, Vec<AxisLength>>,
        lengths: &BTreeMap<String, usize>,
        catalog: &OperatorCatalog,
    ) -> Option<InferenceMemory> {
        let graph = self.graph(inputs, catalog).ok()?;
        let rows = inputs.values().next()?.first()?.clone();
        let bindings = Bindings { batch: Some(rows), shapes: inputs.clone(), stated: BTreeMap::new() };
        let bound = bind(&graph, &bindings, catalog).ok()?;
        let live = bound.live_nodes();
        let is_known = |value: &ValueId| bound.tensor_type(*value).is_some_and(TensorType::fits_a_machine);
        if !live.iter().flat_map(|node| node.outputs.iter().flatten()).all(is_known) {
            return None;
        }
        let nodes = live.len();
        let activations = bound.activation_bytes(lengths).ok()?;
        Some(InferenceMemory { activations, weights: constant_bytes(&bound), nodes })
    }
}

/// Bytes of the constants of a graph, each once.
fn constant_bytes(graph: &Graph) -> u64 {
    let constants = graph.constants().into_iter().filter_map(|value| graph.constant_of(value));
    let distinct: HashMap<usize, usize> =
        constants.map(|constant| (constant.bytes.as_ptr() as usize, constant.bytes.len())).collect();
    distinct.into_values().map(|bytes| bytes as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, model, node, value, weight};

    #[test]
    fn an_answer_holds_two_values_at_a_time_and_the_weights() {
        let nodes =
            vec![node("Gemm", &["x", "w"], &["a"]), node("Relu", &["a"], &["b"]), node("Gemm", &["b", "w"], &["y"])];
        let model = model(graph(nodes, vec![weight("w", &[64, 64])], vec![value("x", &[64])], vec![value("y", &[64])]));
        let catalog = OperatorCatalog::standard();
        let of = |rows: usize| {
            let inputs = BTreeMap::from([("x".to_owned(), vec![AxisLength::from(rows), AxisLength::from(64)])]);
            model.inference_memory(&inputs, &BTreeMap::new(), &catalog).unwrap()
        };
        let value = 1000 * 64 * 4;
        let held = InferenceMemory { activations: 2 * value, weights: 64 * 64 * 4, nodes: 3 };
        assert_eq!(of(1000), held);
        assert!(of(1_000_000).activations >= 1000 * 2 * value);
    }

    #[test]
    fn of_shapes_that_do_not_follow_nothing_is_told() {
        let nodes = vec![node("odd.Bend", &["x"], &["a"]), node("Relu", &["a"], &["y"])];
        let model = model(graph(nodes, vec![], vec![value("x", &[4])], vec![value("y", &[4])]));
        let inputs = BTreeMap::from([("x".to_owned(), vec![AxisLength::from(2), AxisLength::from(4)])]);
        assert_eq!(model.inference_memory(&inputs, &BTreeMap::new(), &OperatorCatalog::standard()), None);
    }
}
